package tfd.spark;

import java.util.Arrays;
import org.apache.arrow.vector.types.FloatingPointPrecision;
import org.apache.arrow.vector.types.pojo.ArrowType;
import org.apache.spark.sql.types.ArrayType;
import org.apache.spark.sql.types.BinaryType;
import org.apache.spark.sql.types.BooleanType;
import org.apache.spark.sql.types.ByteType;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.DateType;
import org.apache.spark.sql.types.DecimalType;
import org.apache.spark.sql.types.DoubleType;
import org.apache.spark.sql.types.FloatType;
import org.apache.spark.sql.types.IntegerType;
import org.apache.spark.sql.types.LongType;
import org.apache.spark.sql.types.MapType;
import org.apache.spark.sql.types.NullType;
import org.apache.spark.sql.types.ShortType;
import org.apache.spark.sql.types.StringType;
import org.apache.spark.sql.types.StructField;
import org.apache.spark.sql.types.StructType;
import org.apache.spark.sql.types.TimestampNTZType;
import org.apache.spark.sql.types.TimestampType;

/** Which of Spark's types are pushed, and as what. */
final class ColumnType {
  /** A number: as many bytes in Arrow as in Spark's own arrays, but for booleans. */
  enum Number {
    // Spark keeps a byte of 0 or 1 for each, Arrow a bit.
    BOOLEAN(1, new ArrowType.Bool()),
    BYTE(1, new ArrowType.Int(8, true)),
    SHORT(2, new ArrowType.Int(16, true)),
    INT(4, new ArrowType.Int(32, true)),
    LONG(8, new ArrowType.Int(64, true)),
    FLOAT(4, new ArrowType.FloatingPoint(FloatingPointPrecision.SINGLE)),
    DOUBLE(8, new ArrowType.FloatingPoint(FloatingPointPrecision.DOUBLE));

    final int bytes;
    final ArrowType arrow;

    Number(int bytes, ArrowType arrow) {
      this.bytes = bytes;
      this.arrow = arrow;
    }

    /** Null where the type is no number. */
    static Number of(DataType type) {
      if (type instanceof BooleanType) {
        return BOOLEAN;
      } else if (type instanceof ByteType) {
        return BYTE;
      } else if (type instanceof ShortType) {
        return SHORT;
      } else if (type instanceof IntegerType) {
        return INT;
      } else if (type instanceof LongType) {
        return LONG;
      } else if (type instanceof FloatType) {
        return FLOAT;
      } else if (type instanceof DoubleType) {
        return DOUBLE;
      }
      return null;
    }
  }

  // Spark ML's; by name, because MLlib need not be there.
  private static final String VECTOR = "org.apache.spark.ml.linalg.VectorUDT";
  private static final String[] IMAGE = {"origin", "height", "width", "nChannels", "mode", "data"};

  private ColumnType() {}

  static boolean isBytes(DataType type) {
    return type instanceof BinaryType || type instanceof StringType;
  }

  static boolean isVector(DataType type) {
    return type.getClass().getName().equals(VECTOR);
  }

  /** The struct that Spark's image source gives. */
  static boolean isImage(DataType type) {
    return type instanceof StructType
        && Arrays.equals(((StructType) type).fieldNames(), IMAGE)
        && ((StructType) type).fields()[IMAGE.length - 1].dataType() instanceof BinaryType;
  }

  /** TfdException with the cast to write, unless columns of the type are pushed. */
  static void check(StructField field) {
    DataType type = field.dataType();
    boolean isList =
        type instanceof ArrayType && Number.of(((ArrayType) type).elementType()) != null;
    if (Number.of(type) != null || isBytes(type) || isList || isVector(type) || isImage(type)) {
      return;
    }
    throw new TfdException(
        "column \""
            + field.name()
            + "\" has the type "
            + type.simpleString()
            + ", which cannot be pushed: "
            + instead(type, field.name()));
  }

  private static String instead(DataType type, String name) {
    String column = "`" + name + "`";
    if (type instanceof DecimalType) {
      return "write CAST(" + column + " AS DOUBLE)";
    } else if (type instanceof DateType) {
      return "write unix_date(" + column + ")";
    } else if (type instanceof TimestampType) {
      return "write unix_micros(" + column + ")";
    } else if (type instanceof TimestampNTZType) {
      return "write unix_micros(CAST(" + column + " AS TIMESTAMP))";
    } else if (type instanceof MapType) {
      return "write a column for each key, such as " + column + "['KEY']";
    } else if (type instanceof StructType) {
      return "write its fields as columns: " + column + ".*";
    } else if (type instanceof NullType) {
      return "it has no values; leave it out, or CAST(" + column + " AS FLOAT)";
    } else if (type instanceof ArrayType) {
      DataType element = ((ArrayType) type).elementType();
      return element instanceof ArrayType
          ? "write flatten(" + column + ")"
          : "write CAST(" + column + " AS ARRAY<DOUBLE>)";
    }
    return "push numbers, arrays of numbers, binary or strings, and leave other columns out";
  }
}
