package tfd.spark;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.util.List;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.RootAllocator;
import org.apache.arrow.vector.VectorLoader;
import org.apache.arrow.vector.VectorSchemaRoot;
import org.apache.arrow.vector.ipc.message.ArrowRecordBatch;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.catalyst.expressions.GenericInternalRow;
import org.apache.spark.sql.catalyst.expressions.UnsafeProjection;
import org.apache.spark.sql.catalyst.util.GenericArrayData;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;
import org.apache.spark.unsafe.types.UTF8String;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class RowEncoderTest {
  private static final long BATCH = 1 << 20;

  private final BufferAllocator allocator = new RootAllocator();

  /** Whatever was not freed fails the test. */
  @AfterEach
  void closeAllocator() {
    allocator.close();
  }

  private static InternalRow row(Object... values) {
    return new GenericInternalRow(values);
  }

  private static Object array(Object... values) {
    return new GenericArrayData(values);
  }

  /** The rows of one batch as text, as Arrow's own classes read them. */
  private String encode(StructType type, boolean unsafe, InternalRow... rows) {
    UnsafeProjection projection = UnsafeProjection.create(type);
    try (RowEncoder encoder = new RowEncoder(type, allocator, BATCH)) {
      for (InternalRow row : rows) {
        assertFalse(encoder.append(unsafe ? projection.apply(row) : row));
      }
      try (ArrowRecordBatch batch = encoder.finish();
          VectorSchemaRoot root = VectorSchemaRoot.create(encoder.schema(), allocator)) {
        new VectorLoader(root).load(batch);
        return root.contentToTSVString();
      }
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void NumbersKeepTheirTypeAndValue(boolean unsafe) {
    StructType type =
        new StructType()
            .add("boolean", DataTypes.BooleanType, false)
            .add("byte", DataTypes.ByteType, false)
            .add("short", DataTypes.ShortType, false)
            .add("int", DataTypes.IntegerType, false)
            .add("long", DataTypes.LongType, false)
            .add("float", DataTypes.FloatType, false)
            .add("double", DataTypes.DoubleType, false);
    assertEquals(
        "boolean\tbyte\tshort\tint\tlong\tfloat\tdouble\n"
            + "true\t-1\t-2\t-3\t-4\t0.5\t0.25\n"
            + "false\t127\t32767\t2147483647\t9223372036854775807\t-1.5\t1.0E300\n",
        encode(
            type,
            unsafe,
            row(true, (byte) -1, (short) -2, -3, -4L, 0.5f, 0.25),
            row(
                false,
                Byte.MAX_VALUE,
                Short.MAX_VALUE,
                Integer.MAX_VALUE,
                Long.MAX_VALUE,
                -1.5f,
                1e300)));
    assertEquals(
        "Schema<boolean: Bool not null, byte: Int(8, true) not null,"
            + " short: Int(16, true) not null, int: Int(32, true) not null,"
            + " long: Int(64, true) not null, float: FloatingPoint(SINGLE) not null,"
            + " double: FloatingPoint(DOUBLE) not null>",
        schemaOf(type));
  }

  private String schemaOf(StructType type) {
    try (RowEncoder encoder = new RowEncoder(type, allocator, BATCH)) {
      return encoder.schema().toString();
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void BytesAndStringsKeepTheirLengths(boolean unsafe) {
    StructType type =
        new StructType().add("bytes", DataTypes.BinaryType).add("text", DataTypes.StringType);
    byte[] bytes = "a longer value than eight bytes".getBytes(StandardCharsets.UTF_8);
    try (RowEncoder encoder = new RowEncoder(type, allocator, BATCH)) {
      UnsafeProjection projection = UnsafeProjection.create(type);
      for (InternalRow row :
          List.of(
              row(bytes, UTF8String.fromString("größer")),
              row(new byte[0], UTF8String.fromString("")),
              row(new byte[] {-1}, UTF8String.fromString("x")))) {
        encoder.append(unsafe ? projection.apply(row) : row);
      }
      try (ArrowRecordBatch batch = encoder.finish();
          VectorSchemaRoot root = VectorSchemaRoot.create(encoder.schema(), allocator)) {
        new VectorLoader(root).load(batch);
        assertArrayEquals(bytes, (byte[]) root.getVector("bytes").getObject(0));
        assertArrayEquals(new byte[0], (byte[]) root.getVector("bytes").getObject(1));
        assertArrayEquals(new byte[] {-1}, (byte[]) root.getVector("bytes").getObject(2));
        assertEquals("größer", root.getVector("text").getObject(0).toString());
        assertEquals("", root.getVector("text").getObject(1).toString());
        assertEquals("x", root.getVector("text").getObject(2).toString());
      }
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void ArraysOfNumbersBecomeLists(boolean unsafe) {
    StructType type =
        new StructType()
            .add("floats", DataTypes.createArrayType(DataTypes.FloatType))
            .add("bytes", DataTypes.createArrayType(DataTypes.ByteType, false))
            .add("flags", DataTypes.createArrayType(DataTypes.BooleanType))
            .add("longs", DataTypes.createArrayType(DataTypes.LongType));
    assertEquals(
        "floats\tbytes\tflags\tlongs\n[0.5,-1.0,3.0]\t[1,-2]\t[true,false]\t[7]\n[]\t[3]\t[true]\t[8,9]\n",
        encode(
            type,
            unsafe,
            row(array(0.5f, -1f, 3f), array((byte) 1, (byte) -2), array(true, false), array(7L)),
            row(array(), array((byte) 3), array(true), array(8L, 9L))));
    assertTrue(schemaOf(type).contains("flags: List<item: Bool not null>"));
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void AnImageStructBecomesItsPixels(boolean unsafe) {
    StructType image =
        new StructType()
            .add("origin", DataTypes.StringType)
            .add("height", DataTypes.IntegerType)
            .add("width", DataTypes.IntegerType)
            .add("nChannels", DataTypes.IntegerType)
            .add("mode", DataTypes.IntegerType)
            .add("data", DataTypes.BinaryType);
    StructType type = new StructType().add("image", image);
    InternalRow pixels = row(UTF8String.fromString("a.png"), 1, 2, 1, 0, new byte[] {7, 8});
    UnsafeProjection projection = UnsafeProjection.create(type);
    try (RowEncoder encoder = new RowEncoder(type, allocator, BATCH)) {
      encoder.append(unsafe ? projection.apply(row(pixels)) : row(pixels));
      try (ArrowRecordBatch batch = encoder.finish();
          VectorSchemaRoot root = VectorSchemaRoot.create(encoder.schema(), allocator)) {
        new VectorLoader(root).load(batch);
        assertArrayEquals(new byte[] {7, 8}, (byte[]) root.getVector("image").getObject(0));
      }
    }
  }

  @Test
  void BatchesEndAtTheirSizeAndBeginAnew() {
    StructType type = new StructType().add("bytes", DataTypes.BinaryType);
    try (RowEncoder encoder = new RowEncoder(type, allocator, 4096)) {
      int batches = 0;
      for (int i = 0; i < 100; i++) {
        // Values beyond the first buffer's size make it grow.
        if (encoder.append(row((Object) new byte[i == 50 ? 100_000 : 1000]))) {
          try (ArrowRecordBatch batch = encoder.finish()) {
            batches++;
            assertTrue(batch.getLength() <= 5, "rows: " + batch.getLength());
          }
        }
      }
      assertTrue(batches >= 20, "batches: " + batches);
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void NullsArePushedForTheJobToDecide(boolean unsafe) {
    StructType type =
        new StructType()
            .add("flag", DataTypes.BooleanType)
            .add("label", DataTypes.IntegerType)
            .add("bytes", DataTypes.BinaryType)
            .add("image", DataTypes.createArrayType(DataTypes.FloatType));
    InternalRow[] rows = new InternalRow[20];
    StringBuilder expected = new StringBuilder("flag\tlabel\tbytes\timage\n");
    for (int i = 0; i < rows.length; i++) {
      boolean isNull = i % 3 == 0;
      rows[i] =
          isNull
              ? row(null, null, null, null)
              : row(i % 2 == 0, i, new byte[] {(byte) i}, array((float) i));
      if (isNull) {
        expected.append("null\tnull\tnull\tnull\n");
      } else {
        expected.append(i % 2 == 0).append("\t").append(i).append("\t?\t[");
        expected.append((float) i).append("]\n");
      }
    }
    String text = encode(type, unsafe, rows).replaceAll("\\[B@[0-9a-f]+", "?");
    assertEquals(expected.toString(), text);
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void ANullInAnArrayIsRefusedWithItsColumnAndRow(boolean unsafe) {
    StructType type =
        new StructType()
            .add("label", DataTypes.IntegerType)
            .add("image", DataTypes.createArrayType(DataTypes.FloatType));
    String inside = refusal(type, unsafe, row(1, array(1f)), row(1, array(1f, null)));
    assertTrue(inside.startsWith("column \"image\" has a null inside in row 1"), inside);
  }

  private String refusal(StructType type, boolean unsafe, InternalRow... rows) {
    return assertThrows(TfdException.class, () -> encode(type, unsafe, rows)).getMessage();
  }

  @Test
  void TheRowOfANullInAnArrayIsCountedAcrossBatches() {
    StructType type = new StructType().add("image", DataTypes.createArrayType(DataTypes.FloatType));
    try (RowEncoder encoder = new RowEncoder(type, allocator, BATCH)) {
      for (int i = 0; i < 10; i++) {
        encoder.append(row(array((float) i)));
        if (i == 4) {
          encoder.finish().close();
        }
      }
      TfdException e =
          assertThrows(TfdException.class, () -> encoder.append(row(array((Object) null))));
      assertTrue(e.getMessage().contains("in row 10 of"), e.getMessage());
    }
  }

  private static String refused(DataType type) {
    StructType schema = new StructType().add("label", DataTypes.IntegerType).add("x", type);
    return assertThrows(TfdException.class, () -> RowEncoder.check(schema)).getMessage();
  }

  @Test
  void OtherTypesAreRefusedWithTheCastToWrite() {
    assertEquals(
        "column \"x\" has the type decimal(10,2), which cannot be pushed: write CAST(`x` AS"
            + " DOUBLE)",
        refused(DataTypes.createDecimalType(10, 2)));
    assertTrue(refused(DataTypes.DateType).endsWith("write unix_date(`x`)"));
    assertTrue(refused(DataTypes.TimestampType).endsWith("write unix_micros(`x`)"));
    assertTrue(refused(DataTypes.TimestampNTZType).endsWith("unix_micros(CAST(`x` AS TIMESTAMP))"));
    assertTrue(
        refused(DataTypes.createMapType(DataTypes.StringType, DataTypes.FloatType))
            .endsWith("`x`['KEY']"));
    assertTrue(
        refused(new StructType().add("y", DataTypes.FloatType))
            .endsWith("write its fields as columns: `x`.*"));
    assertTrue(
        refused(DataTypes.createArrayType(DataTypes.createArrayType(DataTypes.FloatType)))
            .endsWith("write flatten(`x`)"));
    assertTrue(
        refused(DataTypes.createArrayType(DataTypes.StringType))
            .endsWith("write CAST(`x` AS ARRAY<DOUBLE>)"));
    assertTrue(refused(DataTypes.NullType).contains("it has no values"));
    assertTrue(refused(DataTypes.CalendarIntervalType).contains("push numbers"));
  }
}
