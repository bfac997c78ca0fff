package tfd.spark;

import java.time.Duration;
import java.util.List;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.RootAllocator;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.connector.write.DataWriter;
import org.apache.spark.sql.connector.write.WriterCommitMessage;
import org.apache.spark.sql.types.StructType;

/** Writes a partition, in an executor. Thread-compatible. */
final class TfdDataWriter implements DataWriter<InternalRow> {
  // Enough that neither side waits for the other.
  private static final int BATCHES_UNDER_WAY = 4;

  private final String name;
  private final String attempt;
  private final BufferAllocator allocator = new RootAllocator();
  private final RowEncoder encoder;
  private final PartitionWriter writer;
  private long rows;

  /** `partition` is a number and `name` what the feed knows it by. */
  TfdDataWriter(
      WriteOptions options,
      StructType schema,
      List<Endpoint> endpoints,
      String producer,
      int partition,
      String name,
      String attempt) {
    this.name = name;
    this.attempt = attempt;
    encoder = new RowEncoder(schema, allocator, options.batchBytes);
    PartitionWriter.Target target =
        new PartitionWriter.Target(
            List.of("jobs", options.job, options.dataset, producer, name, attempt),
            encoder.schema(),
            allocator,
            () -> {
              try (Coordinator coordinator = new Coordinator(options)) {
                return coordinator.endpoints(Duration.ZERO);
              }
            },
            Endpoint.choose(endpoints, partition));
    writer =
        new PartitionWriter(
            target, endpoints, options.timeout, BATCHES_UNDER_WAY * options.batchBytes);
  }

  @Override
  public void write(InternalRow row) {
    rows++;
    if (!writer.isTaken() && encoder.append(row)) {
      writer.write(encoder.finish());
    }
  }

  @Override
  public WriterCommitMessage commit() {
    boolean isMine = false;
    // An empty partition is not pushed: nobody would read it.
    if (rows > 0) {
      if (!writer.isTaken() && encoder.rows() > 0) {
        writer.write(encoder.finish());
      }
      isMine = writer.seal();
    }
    return new Sealed(name, isMine ? attempt : null, rows);
  }

  /** Nothing to undo: an attempt that is not sealed is dropped once another one is. */
  @Override
  public void abort() {
    close();
  }

  @Override
  public void close() {
    writer.close();
    encoder.close();
    allocator.close();
  }
}
