package tfd.spark;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.catalyst.expressions.GenericInternalRow;
import org.apache.spark.sql.connector.write.DataWriter;
import org.apache.spark.sql.connector.write.DataWriterFactory;
import org.apache.spark.sql.connector.write.WriterCommitMessage;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** A whole write, with Spark's part of it played by the test. */
@Timeout(30)
class TfdBatchWriteTest {
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

  private TfdBatchWrite plan(String job) {
    WriteOptions options =
        WriteOptions.parse(Map.of("coordinator", feed.address(), "job", job, "producer", "p"));
    return TfdBatchWrite.plan(options, TYPE, "query");
  }

  /** A task that writes the rows 0 to `rows`. */
  private static WriterCommitMessage run(DataWriterFactory factory, int partition, int rows)
      throws Exception {
    try (DataWriter<InternalRow> writer = factory.createWriter(partition, 0)) {
      for (int id = 0; id < rows; id++) {
        writer.write(new GenericInternalRow(new Object[] {id}));
      }
      return writer.commit();
    }
  }

  private List<String> actions() {
    return feed.actions.stream().map(a -> a.split(" ")[0]).collect(Collectors.toList());
  }

  private String lastAction() {
    return feed.actions.get(feed.actions.size() - 1);
  }

  private String commitOf(String... partitions) {
    List<String> entries = new ArrayList<>();
    for (String partition : partitions) {
      String attempt = feed.sealedBy(partition);
      entries.add(
          String.format(
              "{\"partition\":\"%s\",\"attempt\":\"%s\",\"rows\":%d}",
              partition, attempt, feed.rows(partition, attempt).size()));
    }
    return "commit {\"job\":\"j\",\"dataset\":\"train\",\"producer\":\"p\",\"partitions\":["
        + String.join(",", entries)
        + "]}";
  }

  @Test
  void WhatTheTasksHaveSealedIsCommitted() throws Exception {
    TfdBatchWrite write = plan("j");
    assertEquals(List.of("status"), actions());
    DataWriterFactory factory = write.createBatchWriterFactory(() -> 2);
    write.commit(
        new WriterCommitMessage[] {run(factory, 0, 5), run(factory, 1, 7), run(factory, 2, 0)});
    assertEquals(List.of("status", "abort", "begin", "commit"), actions());
    // An empty partition is not pushed.
    assertEquals(commitOf("0", "1"), lastAction());
  }

  @Test
  void ARetryCommitsTheAttemptThatWasSealedBeforeItsExecutorDied() throws Exception {
    TfdBatchWrite write = plan("j");
    DataWriterFactory factory = write.createBatchWriterFactory(() -> 2);
    run(factory, 0, 5); // and nobody hears of it
    String first = feed.sealedBy("0");
    write.commit(new WriterCommitMessage[] {run(factory, 0, 5), run(factory, 1, 7)});
    assertEquals(first, feed.sealedBy("0"));
    assertEquals(commitOf("0", "1"), lastAction());
    assertTrue(lastAction().contains(first));
  }

  @Test
  void ARetryWithOtherRowsThanWereSealedFailsTheWrite() throws Exception {
    TfdBatchWrite write = plan("j");
    DataWriterFactory factory = write.createBatchWriterFactory(() -> 1);
    run(factory, 0, 5); // and nobody hears of it
    WriterCommitMessage message = run(factory, 0, 6);
    TfdException e =
        assertThrows(TfdException.class, () -> write.commit(new WriterCommitMessage[] {message}));
    assertTrue(e.getMessage().contains("had 5 rows"), e.getMessage());
    assertTrue(e.getMessage().contains("and 6 now"), e.getMessage());
  }

  @Test
  void APartitionThatAnotherWriteHasSealedIsNotTaken() throws Exception {
    TfdBatchWrite write = plan("j");
    DataWriterFactory factory = write.createBatchWriterFactory(() -> 1);
    run(plan("j").createBatchWriterFactory(() -> 1), 0, 5);
    WriterCommitMessage message = run(factory, 0, 5);
    TfdException e =
        assertThrows(TfdException.class, () -> write.commit(new WriterCommitMessage[] {message}));
    assertTrue(e.getMessage().contains("sealed by another write"), e.getMessage());
    write.abort(new WriterCommitMessage[] {message});
    assertEquals("abort", actions().get(actions().size() - 1));
  }

  @Test
  void ARerunOfAProducerThatHasCommittedPushesNothing() throws Exception {
    run(plan("j").createBatchWriterFactory(() -> 1), 0, 5);
    feed.committed = "p";
    int calls = feed.calls;
    TfdBatchWrite again = plan("j");
    DataWriterFactory factory = again.createBatchWriterFactory(() -> 1);
    again.commit(new WriterCommitMessage[] {run(factory, 0, 5)});
    assertEquals(calls, feed.calls);
    assertEquals("status", actions().get(actions().size() - 1));
    WriterCommitMessage other = run(factory, 0, 6);
    TfdException e =
        assertThrows(TfdException.class, () -> again.commit(new WriterCommitMessage[] {other}));
    assertTrue(e.getMessage().contains("has committed 5 rows"), e.getMessage());
    assertTrue(e.getMessage().contains("this run has 6"), e.getMessage());
  }

  @Test
  void AnUnknownJobFailsInTheCoordinatorsWords() {
    assertEquals(
        "there is no job here", assertThrows(TfdException.class, () -> plan("other")).getMessage());
  }

  @Test
  void ACoordinatorThatIsNotThereIsNamed() throws Exception {
    WriteOptions options = WriteOptions.parse(Map.of("coordinator", "127.0.0.1:1", "job", "j"));
    String message =
        assertThrows(TfdException.class, () -> TfdBatchWrite.plan(options, TYPE, "q")).getMessage();
    assertTrue(message.startsWith("no coordinator answers at 127.0.0.1:1 ("), message);
    assertTrue(message.contains("Connection refused"), message);
  }
}
