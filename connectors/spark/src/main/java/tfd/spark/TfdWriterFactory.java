package tfd.spark;

import java.util.List;
import java.util.UUID;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.connector.write.DataWriter;
import org.apache.spark.sql.connector.write.DataWriterFactory;
import org.apache.spark.sql.types.StructType;

/** What the driver sends to the executors: all that a writer needs. Immutable. */
final class TfdWriterFactory implements DataWriterFactory {
  private static final long serialVersionUID = 1;

  private final WriteOptions options;
  private final StructType schema;
  private final List<Endpoint> endpoints;
  private final String producer;
  private final String write;

  /** Empty endpoints: the rows are there already and are only counted. */
  TfdWriterFactory(
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
  public DataWriter<InternalRow> createWriter(int partition, long task) {
    if (endpoints.isEmpty()) {
      return new CountingWriter(partition);
    }
    // Random, because Spark's own numbers come again when a stage is retried.
    String attempt = Attempts.of(write, UUID.randomUUID());
    return new TfdDataWriter(
        options, schema, endpoints, producer, partition, Integer.toString(partition), attempt);
  }
}
