package tfd.spark;

import org.apache.arrow.vector.BigIntVector;
import org.apache.arrow.vector.FieldVector;
import org.apache.arrow.vector.Float4Vector;
import org.apache.arrow.vector.VarCharVector;
import org.apache.arrow.vector.VectorSchemaRoot;
import org.apache.arrow.vector.complex.BaseListVector;
import org.apache.arrow.vector.types.pojo.ArrowType;
import org.apache.arrow.vector.types.pojo.Field;
import org.apache.arrow.vector.types.pojo.Schema;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;

/**
 * The answers to one batch, as docs/predict.md has them: values as Spark's rows hold them, column
 * by column. Immutable.
 */
final class Answers {
  private final int rows;
  private final Object[][] columns;

  private Answers(int rows, Object[][] columns) {
    this.rows = rows;
    this.columns = columns;
  }

  int rows() {
    return rows;
  }

  int columns() {
    return columns.length;
  }

  Object get(int row, int column) {
    return columns[column][row];
  }

  /** The columns as Spark has them. */
  static StructType type(Schema schema) {
    StructType type = new StructType();
    for (Field field : schema.getFields()) {
      type = type.add(field.getName(), type(field), false);
    }
    return type;
  }

  /** What a job answers that serves with this top_k, of labels that have names or not. */
  static StructType type(int topK, boolean hasNames) {
    DataType label = hasNames ? DataTypes.StringType : DataTypes.LongType;
    StructType type =
        new StructType()
            .add("prediction", label, false)
            .add("probability", DataTypes.FloatType, false);
    return topK == 1
        ? type
        : type.add("predictions", DataTypes.createArrayType(label, false), false)
            .add("probabilities", DataTypes.createArrayType(DataTypes.FloatType, false), false);
  }

  private static DataType type(Field field) {
    ArrowType type = field.getType();
    if (type instanceof ArrowType.Int) {
      return DataTypes.LongType;
    } else if (type instanceof ArrowType.Utf8) {
      return DataTypes.StringType;
    } else if (type instanceof ArrowType.FloatingPoint) {
      return DataTypes.FloatType;
    } else if (type instanceof ArrowType.FixedSizeList || type instanceof ArrowType.List) {
      return DataTypes.createArrayType(type(field.getChildren().get(0)), false);
    }
    throw new TfdException(
        "the worker answers with a column "
            + field
            + ", which this connector does not know: it is older than the worker, so take the"
            + " tfd-spark.jar of the same version");
  }

  /** Copies what is in the root. */
  static Answers of(VectorSchemaRoot root) {
    int rows = root.getRowCount();
    Object[][] columns = new Object[root.getFieldVectors().size()][];
    for (int i = 0; i < columns.length; i++) {
      columns[i] = values(root.getVector(i), rows);
    }
    return new Answers(rows, columns);
  }

  private static Object[] values(FieldVector vector, int rows) {
    Object[] values = new Object[rows];
    if (vector instanceof BaseListVector) {
      BaseListVector lists = (BaseListVector) vector;
      FieldVector elements = vector.getChildrenFromFields().get(0);
      for (int row = 0; row < rows; row++) {
        values[row] =
            list(elements, lists.getElementStartIndex(row), lists.getElementEndIndex(row));
      }
      return values;
    }
    for (int row = 0; row < rows; row++) {
      values[row] = value(vector, row);
    }
    return values;
  }

  private static Object value(FieldVector vector, int at) {
    if (vector instanceof BigIntVector) {
      return ((BigIntVector) vector).get(at);
    } else if (vector instanceof Float4Vector) {
      return ((Float4Vector) vector).get(at);
    }
    return ((VarCharVector) vector).getObject(at).toString();
  }

  private static Object[] list(FieldVector elements, int begin, int end) {
    Object[] list = new Object[end - begin];
    for (int i = begin; i < end; i++) {
      list[i - begin] = value(elements, i);
    }
    return list;
  }
}
