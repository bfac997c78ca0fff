package tfd.spark;

import java.util.BitSet;
import java.util.List;
import java.util.function.IntPredicate;
import org.apache.arrow.memory.ArrowBuf;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.vector.BitVectorHelper;
import org.apache.arrow.vector.ipc.message.ArrowFieldNode;
import org.apache.arrow.vector.types.pojo.ArrowType;
import org.apache.arrow.vector.types.pojo.Field;
import org.apache.arrow.vector.types.pojo.FieldType;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.catalyst.expressions.UnsafeRow;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.StringType;
import org.apache.spark.unsafe.Platform;

/**
 * One column of a batch: takes values out of Spark's rows and puts them into Arrow's memory. No
 * objects are made per row where the rows are UnsafeRows, which is nearly always.
 * Thread-compatible.
 */
abstract class ColumnEncoder implements AutoCloseable {
  final int ordinal;

  // Rows of the batch.
  private final BitSet nulls = new BitSet();

  ColumnEncoder(int ordinal) {
    this.ordinal = ordinal;
  }

  static ColumnEncoder of(int ordinal, DataType type, BufferAllocator allocator) {
    ColumnType.Number number = ColumnType.Number.of(type);
    if (number != null) {
      return new NumberColumn(ordinal, number, allocator);
    } else if (ColumnType.isBytes(type)) {
      return new BytesColumn(ordinal, type instanceof StringType, allocator);
    } else if (ColumnType.isImage(type)) {
      return new BytesColumn.Image(ordinal, allocator);
    } else if (ColumnType.isVector(type)) {
      return new ListColumn.Vector(ordinal, allocator);
    }
    return ListColumn.of(ordinal, type, allocator);
  }

  abstract Field field(String name, boolean nullable);

  /** The row's value, which is not null. NullElement where it has one inside. */
  abstract void append(InternalRow row);

  /** Any value, in the place of one that is null. */
  abstract void appendNothing();

  /** The row, counted from the batch's first, has a null in this column. */
  final void appendNull(int row) {
    nulls.set(row);
    appendNothing();
  }

  /** Of the batch so far. */
  abstract long bytes();

  /** Adds what the batch has of this column, and begins anew. The caller closes the buffers. */
  abstract void finish(int rows, List<ArrowFieldNode> nodes, List<ArrowBuf> buffers);

  @Override
  public abstract void close();

  /** A list with a null in it. */
  static final class NullElement extends RuntimeException {
    private static final long serialVersionUID = 1;

    NullElement() {
      super(null, null, false, false);
    }
  }

  static Field field(String name, boolean nullable, ArrowType type, List<Field> children) {
    return new Field(name, new FieldType(nullable, type, null), children);
  }

  /** How many rows there are and which of them are null: what a column's buffers begin with. */
  final void finishRows(
      int rows, BufferAllocator allocator, List<ArrowFieldNode> nodes, List<ArrowBuf> buffers) {
    int count = nulls.cardinality();
    nodes.add(new ArrowFieldNode(rows, count));
    buffers.add(count == 0 ? allocator.getEmpty() : bits(rows, i -> !nulls.get(i), allocator));
    nulls.clear();
  }

  /** Numbers as Arrow has them, which the caller closes. */
  static ArrowBuf finishNumbers(
      ColumnType.Number number, GrowingBuffer values, BufferAllocator allocator) {
    if (number != ColumnType.Number.BOOLEAN) {
      return values.take();
    }
    int count = (int) values.size();
    try (ArrowBuf bytes = values.take()) {
      return bits(count, i -> bytes.getByte(i) != 0, allocator);
    }
  }

  private static ArrowBuf bits(int count, IntPredicate isSet, BufferAllocator allocator) {
    int bytes = (count + Byte.SIZE - 1) / Byte.SIZE;
    ArrowBuf bits = allocator.buffer(bytes);
    bits.setZero(0, bytes);
    for (int i = 0; i < count; i++) {
      if (isSet.test(i)) {
        BitVectorHelper.setBit(bits, i);
      }
    }
    return bits.writerIndex(bytes);
  }

  static final class NumberColumn extends ColumnEncoder {
    private final ColumnType.Number number;
    private final BufferAllocator allocator;
    private final GrowingBuffer values;

    NumberColumn(int ordinal, ColumnType.Number number, BufferAllocator allocator) {
      super(ordinal);
      this.number = number;
      this.allocator = allocator;
      values = new GrowingBuffer(allocator);
    }

    @Override
    Field field(String name, boolean nullable) {
      return field(name, nullable, number.arrow, List.of());
    }

    @Override
    void appendNothing() {
      Platform.setMemory(values.grow(number.bytes), (byte) 0, number.bytes);
    }

    @Override
    void append(InternalRow row) {
      long at = values.grow(number.bytes);
      switch (number) {
        case BOOLEAN:
          Platform.putByte(null, at, (byte) (row.getBoolean(ordinal) ? 1 : 0));
          break;
        case BYTE:
          Platform.putByte(null, at, row.getByte(ordinal));
          break;
        case SHORT:
          Platform.putShort(null, at, row.getShort(ordinal));
          break;
        case INT:
          Platform.putInt(null, at, row.getInt(ordinal));
          break;
        case LONG:
          Platform.putLong(null, at, row.getLong(ordinal));
          break;
        case FLOAT:
          Platform.putFloat(null, at, row.getFloat(ordinal));
          break;
        case DOUBLE:
          Platform.putDouble(null, at, row.getDouble(ordinal));
          break;
      }
    }

    @Override
    long bytes() {
      return values.size();
    }

    @Override
    void finish(int rows, List<ArrowFieldNode> nodes, List<ArrowBuf> buffers) {
      finishRows(rows, allocator, nodes, buffers);
      buffers.add(finishNumbers(number, values, allocator));
    }

    @Override
    public void close() {
      values.close();
    }
  }

  /** Values of any length: offsets of 32 bits, of bytes or of elements. */
  abstract static class VariableColumn extends ColumnEncoder {
    final BufferAllocator allocator;
    final GrowingBuffer offsets;
    final GrowingBuffer values;

    VariableColumn(int ordinal, BufferAllocator allocator) {
      super(ordinal);
      this.allocator = allocator;
      offsets = new GrowingBuffer(allocator);
      values = new GrowingBuffer(allocator);
    }

    /** Makes room for the next row's bytes, and gives their address. */
    final long next(long bytes, int bytesOfAnElement) {
      if (values.size() + bytes > Integer.MAX_VALUE) {
        throw new TfdException("a row has " + bytes + " bytes: rows of over 2 GiB are not taken");
      }
      if (offsets.size() == 0) {
        Platform.putInt(null, offsets.grow(Integer.BYTES), 0);
      }
      long at = values.grow(bytes);
      Platform.putInt(null, offsets.grow(Integer.BYTES), (int) (values.size() / bytesOfAnElement));
      return at;
    }

    @Override
    long bytes() {
      return values.size() + offsets.size();
    }

    @Override
    public void close() {
      offsets.close();
      values.close();
    }

    /** Where a value of variable length lies in an UnsafeRow, and how long it is. */
    static long offsetAndSize(UnsafeRow row, int ordinal) {
      return row.getLong(ordinal);
    }
  }
}
