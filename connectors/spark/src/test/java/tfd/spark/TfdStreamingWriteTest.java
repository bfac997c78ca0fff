package tfd.spark;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.apache.arrow.flight.CallStatus;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.catalyst.expressions.GenericInternalRow;
import org.apache.spark.sql.connector.write.DataWriter;
import org.apache.spark.sql.connector.write.WriterCommitMessage;
import org.apache.spark.sql.connector.write.streaming.StreamingDataWriterFactory;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Micro-batches, with Spark's part of them played by the test. */
@Timeout(30)
class TfdStreamingWriteTest {
  private static final StructType TYPE = new StructType().add("id", DataTypes.IntegerType);

  private FakeFeed feed;

  @BeforeEach
  void startFeed() throws Exception {
    feed = new FakeFeed();
  }

  @AfterEach
  void stopFeed() throws Exception {
    feed.close();
  }

  private TfdStreamingWrite write(String job) {
    return new TfdStreamingWrite(
        WriteOptions.parse(Map.of("coordinator", feed.address(), "job", job)), TYPE, "query");
  }

  /** A task that writes so many rows. */
  private static WriterCommitMessage run(
      StreamingDataWriterFactory factory, int partition, long epoch, int rows) throws Exception {
    try (DataWriter<InternalRow> writer = factory.createWriter(partition, 0, epoch)) {
      for (int id = 0; id < rows; id++) {
        writer.write(new GenericInternalRow(new Object[] {id}));
      }
      return writer.commit();
    }
  }

  /** A micro-batch of two partitions, of which one is empty, from begin to commit. */
  private void runBatch(long epoch) throws Exception {
    TfdStreamingWrite write = write("j");
    StreamingDataWriterFactory factory = write.createStreamingWriterFactory(() -> 2);
    write.commit(
        epoch, new WriterCommitMessage[] {run(factory, 0, epoch, 5), run(factory, 1, epoch, 0)});
  }

  private String last() {
    return feed.actions.get(feed.actions.size() - 1);
  }

  private List<String> kinds() {
    return feed.actions.stream().map(a -> a.split(" ")[0]).collect(Collectors.toList());
  }

  @Test
  void EachBatchIsCommittedByItsNumberUnderTheQuerysName() throws Exception {
    runBatch(0);
    runBatch(1);
    assertEquals(List.of("begin", "commit", "begin", "commit"), kinds());
    assertTrue(last().contains("\"producer\":\"spark-query\""), last());
    assertTrue(last().contains("\"batch\":1"), last());
    assertTrue(last().contains("\"partition\":\"1-0-"), last());
    assertEquals(1, feed.lastBatch);
  }

  @Test
  void ABatchThatWasPublishedBeforeIsNotPublishedAgain() throws Exception {
    runBatch(7);
    runBatch(7);
    assertEquals(7, feed.lastBatch);
    feed.refusesOldBatches = true;
    runBatch(7);
    assertTrue(last().contains("\"attempt\":\"\""), last());
  }

  @Test
  void WhatARunThatDiedHasLeftOfABatchIsNotTaken() throws Exception {
    StreamingDataWriterFactory dead = write("j").createStreamingWriterFactory(() -> 2);
    run(dead, 0, 3, 9);
    runBatch(3);
    assertEquals(3, feed.lastBatch);
    assertTrue(last().contains("\"rows\":5"), last());
  }

  @Test
  void APartitionThatNobodyHasSealedIsNotCommitted() throws Exception {
    TfdStreamingWrite write = write("j");
    StreamingDataWriterFactory factory = write.createStreamingWriterFactory(() -> 1);
    // The feed says so, and the coordinator knows nothing of it.
    feed.beforeSeal =
        () -> {
          throw CallStatus.ALREADY_EXISTS.withDescription("sealed").toRuntimeException();
        };
    WriterCommitMessage message = run(factory, 0, 0, 5);
    TfdException e =
        assertThrows(
            TfdException.class, () -> write.commit(0, new WriterCommitMessage[] {message}));
    assertTrue(e.getMessage().contains("is not sealed by that attempt"), e.getMessage());
    assertEquals(-1, feed.lastBatch);
  }

  @Test
  void AnUnknownJobFailsInTheCoordinatorsWords() {
    assertEquals(
        "there is no job here",
        assertThrows(TfdException.class, () -> write("other").createStreamingWriterFactory(() -> 1))
            .getMessage());
  }
}
