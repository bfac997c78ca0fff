package tfd.spark;

import org.apache.arrow.memory.ArrowBuf;
import org.apache.arrow.memory.BufferAllocator;

/** Memory outside the heap that a column is appended to. Thread-compatible. */
final class GrowingBuffer implements AutoCloseable {
  private static final long SMALLEST = 4096;

  private final BufferAllocator allocator;
  private ArrowBuf buffer;
  private long size;
  private long expected = SMALLEST;

  GrowingBuffer(BufferAllocator allocator) {
    this.allocator = allocator;
  }

  /** Makes it longer, and gives the address of what was added. */
  long grow(long bytes) {
    long needed = size + bytes;
    if (buffer == null) {
      buffer = allocator.buffer(Math.max(needed, expected));
    } else if (needed > buffer.capacity()) {
      ArrowBuf larger = allocator.buffer(Math.max(needed, 2 * buffer.capacity()));
      larger.setBytes(0, buffer, 0, size);
      buffer.close();
      buffer = larger;
    }
    long address = buffer.memoryAddress() + size;
    size = needed;
    return address;
  }

  long size() {
    return size;
  }

  /** What is in it, which the caller closes; it is empty from then on. */
  ArrowBuf take() {
    grow(0);
    ArrowBuf taken = buffer;
    taken.writerIndex(size);
    // The next batch is likely to be as long.
    expected = Math.max(SMALLEST, size);
    buffer = null;
    size = 0;
    return taken;
  }

  @Override
  public void close() {
    if (buffer != null) {
      buffer.close();
      buffer = null;
    }
    size = 0;
  }
}
