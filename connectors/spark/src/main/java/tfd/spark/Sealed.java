package tfd.spark;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.HashMap;
import java.util.Map;
import org.apache.spark.sql.connector.write.WriterCommitMessage;

/** What a writer tells the driver of its partition. Immutable. */
final class Sealed implements WriterCommitMessage {
  private static final long serialVersionUID = 1;

  final String partition;

  /** Null where another attempt was granted the partition; the coordinator knows which. */
  final String attempt;

  /** That this writer was given. */
  final long rows;

  Sealed(String partition, String attempt, long rows) {
    this.partition = partition;
    this.attempt = attempt;
    this.rows = rows;
  }

  /** What a dataset has of a producer, by partition. */
  static Map<String, Sealed> granted(JsonNode status, String producer) {
    Map<String, Sealed> granted = new HashMap<>();
    for (JsonNode each : status.path("partitions")) {
      if (each.path("producer").asText().equals(producer)) {
        String partition = each.path("partition").asText();
        // Protobuf's JSON has 64 bits as text.
        granted.put(
            partition,
            new Sealed(partition, each.path("attempt").asText(), each.path("rows").asLong()));
      }
    }
    return granted;
  }
}
