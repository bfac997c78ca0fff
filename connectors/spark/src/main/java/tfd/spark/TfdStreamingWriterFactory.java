package tfd.spark;

import java.util.List;
import java.util.UUID;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.connector.write.DataWriter;
import org.apache.spark.sql.connector.write.streaming.StreamingDataWriterFactory;
import org.apache.spark.sql.types.StructType;

/** What the driver sends to the executors for a micro-batch. Immutable. */
final class TfdStreamingWriterFactory implements StreamingDataWriterFactory {
  private static final long serialVersionUID = 1;
  // Of the name of a write, in the name of a partition.
  private static final int SHORT = 8;

  private final WriteOptions options;
  private final StructType schema;
  private final List<Endpoint> endpoints;
  private final String producer;
  private final String write;

  TfdStreamingWriterFactory(
      WriteOptions options,
      StructType schema,
      List<Endpoint> endpoints,
      String producer,
      String write) {
    this.options = options;
    this.schema = schema;
    this.endpoints = endpoints;
    this.producer = producer;
    this.write = write;
  }

  @Override
  public DataWriter<InternalRow> createWriter(int partition, long task, long epoch) {
    String name = epoch + "-" + partition + "-" + write.substring(0, SHORT);
    String attempt = Attempts.of(write, UUID.randomUUID());
    return new TfdDataWriter(options, schema, endpoints, producer, partition, name, attempt);
  }
}
