package tfd.spark;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.apache.spark.sql.connector.write.PhysicalWriteInfo;
import org.apache.spark.sql.connector.write.WriterCommitMessage;
import org.apache.spark.sql.connector.write.streaming.StreamingDataWriterFactory;
import org.apache.spark.sql.connector.write.streaming.StreamingWrite;
import org.apache.spark.sql.types.StructType;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The micro-batches of a streaming query, in the driver. Each is published as a whole and once: the
 * coordinator knows the last one that it has published, and drops one that Spark writes again.
 * Thread-compatible.
 */
final class TfdStreamingWrite implements StreamingWrite {
  private static final Logger LOG = LoggerFactory.getLogger(TfdStreamingWrite.class);

  private final WriteOptions options;
  private final StructType schema;
  private final String producer;
  // What an earlier run of the query has left of a batch is not taken for this one's.
  private final String write = UUID.randomUUID().toString();

  /** `queryId` is the same after the query was started again from its checkpoint. */
  TfdStreamingWrite(WriteOptions options, StructType schema, String queryId) {
    this.options = options;
    this.schema = schema;
    producer = options.producer.isEmpty() ? "spark-" + queryId : options.producer;
    if (!options.spec.isEmpty()) {
      Program.submit(options.coordinator, options.spec, options.job, List.of());
    }
  }

  @Override
  public StreamingDataWriterFactory createStreamingWriterFactory(PhysicalWriteInfo info) {
    try (Coordinator coordinator = new Coordinator(options)) {
      coordinator.begin(producer);
      return new TfdStreamingWriterFactory(
          options, schema, coordinator.endpoints(options.timeout), producer, write);
    }
  }

  /** All attempts may write; the feed grants a partition to one. */
  @Override
  public boolean useCommitCoordinator() {
    return false;
  }

  @Override
  public void commit(long epoch, WriterCommitMessage[] messages) {
    try (Coordinator coordinator = new Coordinator(options)) {
      List<Sealed> partitions = new ArrayList<>();
      Map<String, Sealed> granted = null;
      for (WriterCommitMessage message : messages) {
        Sealed sealed = (Sealed) message;
        if (sealed.rows == 0) {
          continue;
        }
        if (sealed.attempt == null) {
          if (granted == null) {
            granted = Sealed.granted(coordinator.status(), producer);
          }
          sealed = ofOtherAttempt(sealed, granted.get(sealed.partition));
        }
        partitions.add(sealed);
      }
      JsonNode answer = coordinator.commit(producer, epoch, partitions);
      if (!answer.path("published").asBoolean(true)) {
        LOG.info("{}: batch {} of {} was published before", options, epoch, producer);
      }
    }
  }

  // Another task attempt of this write had sealed it before it could say so; or the batch was
  // committed before, and the feed takes nothing of it any more: then there is nothing granted,
  // and the coordinator refuses an attempt without a name unless it is so.
  private Sealed ofOtherAttempt(Sealed told, Sealed granted) {
    if (granted == null) {
      return new Sealed(told.partition, "", told.rows);
    }
    if (granted.rows != told.rows) {
      throw new TfdException(
          "partition "
              + told.partition
              + " of "
              + options.target()
              + " had "
              + granted.rows
              + " rows when a task attempt before had it sealed, and "
              + told.rows
              + " now: rows may be there twice or not at all; a task that runs again must give the"
              + " same rows");
    }
    return granted;
  }

  /** Nothing to undo: what is sealed of a batch that is not committed is never published. */
  @Override
  public void abort(long epoch, WriterCommitMessage[] messages) {}

  @Override
  public String toString() {
    return options.toString();
  }
}
