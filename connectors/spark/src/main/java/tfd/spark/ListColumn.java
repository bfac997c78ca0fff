package tfd.spark;

import java.util.List;
import org.apache.arrow.memory.ArrowBuf;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.vector.ipc.message.ArrowFieldNode;
import org.apache.arrow.vector.types.pojo.ArrowType;
import org.apache.arrow.vector.types.pojo.Field;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.catalyst.expressions.UnsafeArrayData;
import org.apache.spark.sql.catalyst.expressions.UnsafeRow;
import org.apache.spark.sql.catalyst.util.ArrayData;
import org.apache.spark.sql.types.ArrayType;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.unsafe.Platform;

/** Arrays of numbers. Thread-compatible. */
class ListColumn extends ColumnEncoder.VariableColumn {
  private static final int WORD = 8;

  private final ColumnType.Number number;
  private final boolean hasNulls;
  // Points at one row's array after the other.
  private final UnsafeArrayData unsafe = new UnsafeArrayData();

  ListColumn(int ordinal, ColumnType.Number number, boolean hasNulls, BufferAllocator allocator) {
    super(ordinal, allocator);
    this.number = number;
    this.hasNulls = hasNulls;
  }

  static ListColumn of(int ordinal, DataType type, BufferAllocator allocator) {
    ArrayType array = (ArrayType) type;
    ColumnType.Number number = ColumnType.Number.of(array.elementType());
    return new ListColumn(ordinal, number, array.containsNull(), allocator);
  }

  @Override
  final Field field(String name, boolean nullable) {
    Field item = field("item", false, number.arrow, List.of());
    return field(name, nullable, new ArrowType.List(), List.of(item));
  }

  @Override
  final void appendNothing() {
    next(0, number.bytes);
  }

  @Override
  void append(InternalRow row) {
    appendArray(arrayAt(row, ordinal));
  }

  final ArrayData arrayAt(InternalRow row, int at) {
    if (!(row instanceof UnsafeRow)) {
      return row.getArray(at);
    }
    UnsafeRow from = (UnsafeRow) row;
    long offsetAndSize = offsetAndSize(from, at);
    unsafe.pointTo(
        from.getBaseObject(), from.getBaseOffset() + (offsetAndSize >> 32), (int) offsetAndSize);
    return unsafe;
  }

  final void appendArray(ArrayData array) {
    int elements = array.numElements();
    if (array instanceof UnsafeArrayData) {
      appendUnsafe((UnsafeArrayData) array, elements);
      return;
    }
    long at = next((long) elements * number.bytes, number.bytes);
    for (int i = 0; i < elements; i++, at += number.bytes) {
      if (hasNulls && array.isNullAt(i)) {
        throw new NullElement();
      }
      putElement(at, array, i);
    }
  }

  // Its elements lie there as Arrow wants them, behind their number and a bit for each.
  private void appendUnsafe(UnsafeArrayData array, int elements) {
    Object base = array.getBaseObject();
    long offset = array.getBaseOffset();
    int header = UnsafeArrayData.calculateHeaderPortionInBytes(elements);
    if (hasNulls) {
      for (int bits = WORD; bits < header; bits += WORD) {
        if (Platform.getLong(base, offset + bits) != 0) {
          throw new NullElement();
        }
      }
    }
    long bytes = (long) elements * number.bytes;
    Platform.copyMemory(base, offset + header, null, next(bytes, number.bytes), bytes);
  }

  private void putElement(long at, ArrayData array, int i) {
    switch (number) {
      case BOOLEAN:
        Platform.putByte(null, at, (byte) (array.getBoolean(i) ? 1 : 0));
        break;
      case BYTE:
        Platform.putByte(null, at, array.getByte(i));
        break;
      case SHORT:
        Platform.putShort(null, at, array.getShort(i));
        break;
      case INT:
        Platform.putInt(null, at, array.getInt(i));
        break;
      case LONG:
        Platform.putLong(null, at, array.getLong(i));
        break;
      case FLOAT:
        Platform.putFloat(null, at, array.getFloat(i));
        break;
      case DOUBLE:
        Platform.putDouble(null, at, array.getDouble(i));
        break;
    }
  }

  @Override
  final void finish(int rows, List<ArrowFieldNode> nodes, List<ArrowBuf> buffers) {
    finishRows(rows, allocator, nodes, buffers);
    buffers.add(offsets.take());
    nodes.add(new ArrowFieldNode(values.size() / number.bytes, 0));
    buffers.add(allocator.getEmpty());
    buffers.add(finishNumbers(number, values, allocator));
  }

  /** Spark ML's vectors; sparse ones are filled up. */
  static final class Vector extends ListColumn {
    // The struct that a VectorUDT is kept as.
    private static final int FIELDS = 4;
    private static final int KIND = 0;
    private static final int SIZE = 1;
    private static final int INDICES = 2;
    private static final int VALUES = 3;
    private static final byte SPARSE = 0;

    Vector(int ordinal, BufferAllocator allocator) {
      super(ordinal, ColumnType.Number.DOUBLE, false, allocator);
    }

    @Override
    void append(InternalRow row) {
      InternalRow vector = row.getStruct(ordinal, FIELDS);
      if (vector.getByte(KIND) != SPARSE) {
        appendArray(arrayAt(vector, VALUES));
        return;
      }
      int size = vector.getInt(SIZE);
      long at = next((long) size * Double.BYTES, Double.BYTES);
      Platform.setMemory(at, (byte) 0, (long) size * Double.BYTES);
      ArrayData indices = vector.getArray(INDICES);
      ArrayData values = vector.getArray(VALUES);
      for (int i = 0; i < indices.numElements(); i++) {
        Platform.putDouble(null, at + (long) indices.getInt(i) * Double.BYTES, values.getDouble(i));
      }
    }
  }
}
