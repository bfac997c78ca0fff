package tfd.spark;

import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.connector.write.DataWriter;
import org.apache.spark.sql.connector.write.WriterCommitMessage;

/** For a producer that has committed before: counts the rows, to compare. Thread-compatible. */
final class CountingWriter implements DataWriter<InternalRow> {
  private final int partition;
  private long rows;

  CountingWriter(int partition) {
    this.partition = partition;
  }

  @Override
  public void write(InternalRow row) {
    rows++;
  }

  @Override
  public WriterCommitMessage commit() {
    return new Sealed(Integer.toString(partition), null, rows);
  }

  @Override
  public void abort() {}

  @Override
  public void close() {}
}
