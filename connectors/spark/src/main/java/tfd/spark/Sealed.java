package tfd.spark;

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
}
