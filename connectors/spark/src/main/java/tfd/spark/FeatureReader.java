package tfd.spark;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.catalyst.expressions.GenericInternalRow;
import org.apache.spark.sql.catalyst.util.GenericArrayData;
import org.apache.spark.sql.types.ArrayType;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StringType;
import org.apache.spark.sql.types.StructField;
import org.apache.spark.sql.types.StructType;
import org.apache.spark.sql.types.UserDefinedType;

/** Takes the columns with features out of rows. Immutable. */
final class FeatureReader implements Serializable {
  private static final long serialVersionUID = 1;
  // In the struct of Spark's image source.
  private static final int IMAGE_DATA = 5;

  private final int[] ordinals;
  private final StructType type;

  /** TfdException unless the rows have these columns and they can be features. */
  FeatureReader(StructType rows, List<String> names) {
    ordinals = new int[names.size()];
    StructType features = new StructType();
    List<String> missing = new ArrayList<>(names);
    missing.removeAll(Arrays.asList(rows.fieldNames()));
    if (!missing.isEmpty() || names.isEmpty()) {
      throw new TfdException(
          "there is no column \""
              + String.join("\", \"", missing)
              + "\" with features; there are "
              + String.join(", ", rows.fieldNames())
              + ": name those that the model takes, in their order, as inputCols");
    }
    for (int i = 0; i < ordinals.length; i++) {
      ordinals[i] = rows.fieldIndex(names.get(i));
      StructField field = rows.fields()[ordinals[i]];
      ColumnType.check(field);
      if (field.dataType() instanceof StringType) {
        throw new TfdException(
            "column \"" + names.get(i) + "\" is a string, which is no feature: give numbers");
      }
      boolean isImage = ColumnType.isImage(field.dataType());
      features = features.add(field.name(), isImage ? DataTypes.BinaryType : field.dataType());
    }
    type = features;
  }

  /** Of the rows that it gives. */
  StructType type() {
    return type;
  }

  InternalRow read(Row row) {
    Object[] values = new Object[ordinals.length];
    for (int i = 0; i < values.length; i++) {
      int at = ordinals[i];
      values[i] = row.isNullAt(at) ? null : value(row, at, type.fields()[i].dataType());
    }
    return new GenericInternalRow(values);
  }

  private static Object value(Row row, int at, DataType type) {
    if (type instanceof ArrayType) {
      return new GenericArrayData(row.getList(at).toArray());
    } else if (ColumnType.isVector(type)) {
      return serialize((UserDefinedType<?>) type, row.get(at));
    }
    Object value = row.get(at);
    return value instanceof Row ? ((Row) value).get(IMAGE_DATA) : value;
  }

  @SuppressWarnings("unchecked")
  private static <T> Object serialize(UserDefinedType<T> type, Object value) {
    return type.serialize((T) value);
  }
}
