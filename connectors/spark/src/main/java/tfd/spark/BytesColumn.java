package tfd.spark;

import java.util.List;
import org.apache.arrow.memory.ArrowBuf;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.vector.ipc.message.ArrowFieldNode;
import org.apache.arrow.vector.types.pojo.ArrowType;
import org.apache.arrow.vector.types.pojo.Field;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.catalyst.expressions.UnsafeRow;
import org.apache.spark.unsafe.Platform;

/** Binary, and strings. Thread-compatible. */
class BytesColumn extends ColumnEncoder.VariableColumn {
  private final boolean isText;

  BytesColumn(int ordinal, boolean isText, BufferAllocator allocator) {
    super(ordinal, allocator);
    this.isText = isText;
  }

  @Override
  final Field field(String name, boolean nullable) {
    ArrowType type = isText ? new ArrowType.Utf8() : new ArrowType.Binary();
    return field(name, nullable, type, List.of());
  }

  @Override
  final void appendNothing() {
    next(0, 1);
  }

  @Override
  void append(InternalRow row) {
    appendFrom(row, ordinal);
  }

  final void appendFrom(InternalRow row, int at) {
    if (row instanceof UnsafeRow) {
      UnsafeRow unsafe = (UnsafeRow) row;
      long offsetAndSize = offsetAndSize(unsafe, at);
      int size = (int) offsetAndSize;
      Platform.copyMemory(
          unsafe.getBaseObject(),
          unsafe.getBaseOffset() + (offsetAndSize >> 32),
          null,
          next(size, 1),
          size);
    } else {
      byte[] bytes = isText ? row.getUTF8String(at).getBytes() : row.getBinary(at);
      Platform.copyMemory(
          bytes, Platform.BYTE_ARRAY_OFFSET, null, next(bytes.length, 1), bytes.length);
    }
  }

  @Override
  final void finish(int rows, List<ArrowFieldNode> nodes, List<ArrowBuf> buffers) {
    finishRows(rows, allocator, nodes, buffers);
    buffers.add(offsets.take());
    buffers.add(values.take());
  }

  /** The pixels of Spark's image struct, as they are there: rows of (blue, green, red). */
  static final class Image extends BytesColumn {
    private static final int FIELDS = 6;
    private static final int DATA = 5;

    Image(int ordinal, BufferAllocator allocator) {
      super(ordinal, false, allocator);
    }

    @Override
    void append(InternalRow row) {
      InternalRow image = row.getStruct(ordinal, FIELDS);
      if (image.isNullAt(DATA)) {
        throw new NullElement();
      }
      appendFrom(image, DATA);
    }
  }
}
