package tfd.spark;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.apache.spark.sql.connector.write.BatchWrite;
import org.apache.spark.sql.connector.write.DataWriterFactory;
import org.apache.spark.sql.connector.write.PhysicalWriteInfo;
import org.apache.spark.sql.connector.write.WriterCommitMessage;
import org.apache.spark.sql.types.StructType;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One write, in the driver: asks where to push, begins, and commits what the executors have sealed.
 * No row comes here. Thread-compatible.
 */
final class TfdBatchWrite implements BatchWrite {
  private static final Logger LOG = LoggerFactory.getLogger(TfdBatchWrite.class);

  private final WriteOptions options;
  private final StructType schema;
  private final String producer;
  // The producer had committed before this write began.
  private final boolean isDone;
  private final String write = UUID.randomUUID().toString();

  private TfdBatchWrite(WriteOptions options, StructType schema, String producer, boolean isDone) {
    this.options = options;
    this.schema = schema;
    this.producer = producer;
    this.isDone = isDone;
  }

  /** Fails if the job takes no data. Changes nothing, but for submitting a spec that is given. */
  static TfdBatchWrite plan(WriteOptions options, StructType schema, String queryId) {
    String producer = options.producer.isEmpty() ? "spark-" + queryId : options.producer;
    if (!options.spec.isEmpty()) {
      Program.submit(options.coordinator, options.spec, options.job, List.of());
    }
    try (Coordinator coordinator = new Coordinator(options)) {
      boolean isDone = isCommitted(coordinator.status(), producer);
      if (!isDone) {
        coordinator.endpoints(options.timeout);
      }
      return new TfdBatchWrite(options, schema, producer, isDone);
    }
  }

  /** Called once, when the query runs and before its tasks do. */
  @Override
  public DataWriterFactory createBatchWriterFactory(PhysicalWriteInfo info) {
    List<Endpoint> endpoints = new ArrayList<>();
    if (isDone) {
      LOG.warn(
          "producer {} has committed {} before: the rows of this run are only counted",
          producer,
          options.target());
    } else {
      try (Coordinator coordinator = new Coordinator(options)) {
        // What an earlier run has left unfinished, perhaps in other partitions.
        coordinator.abort(producer);
        coordinator.begin(producer);
        endpoints.addAll(coordinator.endpoints(options.timeout));
      }
      LOG.info("{}: producer {}, {} feeds", options, producer, endpoints.size());
    }
    return new TfdWriterFactory(options, schema, endpoints, producer, write);
  }

  @Override
  public void commit(WriterCommitMessage[] messages) {
    try (Coordinator coordinator = new Coordinator(options)) {
      if (isDone) {
        compare(Sealed.granted(coordinator.status(), producer).values(), messages);
        return;
      }
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
      coordinator.commit(producer, partitions);
    }
  }

  // The job may have ended since, and would take no commit any more.
  private void compare(Collection<Sealed> before, WriterCommitMessage[] messages) {
    long had = before.stream().mapToLong(each -> each.rows).sum();
    long has = Arrays.stream(messages).mapToLong(each -> ((Sealed) each).rows).sum();
    if (had != has) {
      throw new TfdException(
          "producer \""
              + producer
              + "\" has committed "
              + had
              + " rows to "
              + options.target()
              + " before, and this run has "
              + has
              + ": give other data another name");
    }
  }

  // Another task attempt of this write had sealed it before it could say so.
  private Sealed ofOtherAttempt(Sealed told, Sealed granted) {
    if (granted == null || !Attempts.isOf(write, granted.attempt)) {
      throw new TfdException(
          "partition "
              + told.partition
              + " of "
              + options.target()
              + " was sealed by another write of the producer \""
              + producer
              + "\", which runs at the same time: give each its own name");
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
              + " now: rows may be there twice or not at all; cache the DataFrame, or sort it, so"
              + " that a task that runs again gives the same rows");
    }
    return granted;
  }

  @Override
  public void abort(WriterCommitMessage[] messages) {
    if (isDone) {
      return;
    }
    try (Coordinator coordinator = new Coordinator(options)) {
      coordinator.abort(producer);
    } catch (TfdException e) {
      // Spark shows why the write failed; this is less than that.
      LOG.warn("dropping what producer {} has pushed: {}", producer, e.getMessage());
    }
  }

  @Override
  public String toString() {
    return options.toString();
  }

  private static boolean isCommitted(JsonNode status, String producer) {
    for (JsonNode each : status.path("producers")) {
      if (each.path("name").asText().equals(producer)) {
        return each.path("committed").asBoolean();
      }
    }
    return false;
  }
}
