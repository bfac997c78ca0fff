package tfd.spark;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.arrow.flight.CallStatus;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.RootAllocator;
import org.apache.spark.sql.catalyst.expressions.GenericInternalRow;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
class PartitionWriterTest {
  private static final StructType TYPE = new StructType().add("id", DataTypes.IntegerType);
  private static final int ROWS_OF_A_BATCH = 10;
  private static final int ROWS = 200;
  private static final Duration LONG = Duration.ofSeconds(20);
  private static final Duration SHORT = Duration.ofMillis(300);

  private final BufferAllocator allocator = new RootAllocator();
  private FakeFeed feed;

  @BeforeEach
  void startFeed() throws Exception {
    feed = new FakeFeed();
  }

  @AfterEach
  void closeAll() throws Exception {
    feed.close();
    allocator.close(); // fails where memory was not freed
  }

  private PartitionWriter writer(Duration timeout, Supplier<List<Endpoint>> endpoints) {
    try (RowEncoder encoder = new RowEncoder(TYPE, allocator, 1)) {
      PartitionWriter.Target target =
          new PartitionWriter.Target(
              List.of("jobs", "j", "train", "p", "7", "a1"),
              encoder.schema(),
              allocator,
              endpoints,
              0);
      // Of four batches, with the padding of their buffers.
      long window = 4L * ROWS_OF_A_BATCH * Integer.BYTES;
      return new PartitionWriter(target, List.of(feed.endpoint()), timeout, window);
    }
  }

  private PartitionWriter writer(Duration timeout) {
    return writer(timeout, () -> List.of(feed.endpoint()));
  }

  private void writeRows(PartitionWriter writer) {
    try (RowEncoder encoder = new RowEncoder(TYPE, allocator, 1 << 20)) {
      for (int id = 0; id < ROWS; id++) {
        encoder.append(new GenericInternalRow(new Object[] {id}));
        if (encoder.rows() == ROWS_OF_A_BATCH) {
          writer.write(encoder.finish());
        }
      }
    }
  }

  private boolean writeAll(Duration timeout) {
    try (PartitionWriter writer = writer(timeout)) {
      writeRows(writer);
      return writer.seal();
    }
  }

  private static List<Integer> allRows() {
    return IntStream.range(0, ROWS).boxed().collect(Collectors.toList());
  }

  private void assertWritten() {
    assertEquals("a1", feed.sealedBy("7"));
    assertEquals(allRows(), feed.rows("7", "a1"));
  }

  /** Throws the first `times` times that it is called with a number of at least `from`. */
  private static Consumer<Integer> failing(int times, int from, CallStatus status) {
    AtomicInteger left = new AtomicInteger(times);
    return batch -> {
      if (batch >= from && left.getAndDecrement() > 0) {
        throw status.toRuntimeException();
      }
    };
  }

  @Test
  void AllRowsAreWrittenOnceAndSealed() {
    assertTrue(writeAll(LONG));
    assertWritten();
    assertEquals(1, feed.calls);
  }

  @Test
  void ALostConnectionIsGoneOnWithAtTheRowThatTheFeedHas() {
    feed.beforeBatch = failing(3, 2, CallStatus.UNAVAILABLE.withDescription("gone"));
    assertTrue(writeAll(LONG));
    assertWritten();
    assertEquals(4, feed.calls);
  }

  @Test
  void RowsThatWereTakenAndNotAcknowledgedAreNotSentAgain() {
    feed.afterBatch = failing(3, 2, CallStatus.INTERNAL.withDescription("reset"));
    assertTrue(writeAll(LONG));
    assertWritten();
  }

  @Test
  void ASealThatWasNotHeardOfIsAskedForAgain() {
    AtomicInteger left = new AtomicInteger(1);
    feed.afterSeal =
        () -> {
          if (left.getAndDecrement() > 0) {
            throw CallStatus.UNAVAILABLE.withDescription("gone").toRuntimeException();
          }
        };
    assertTrue(writeAll(LONG));
    assertWritten();
    assertEquals(2, feed.calls);
  }

  @Test
  void AFeedThatMovedIsFoundThroughTheCoordinator() throws Exception {
    AtomicInteger asked = new AtomicInteger();
    Endpoint nobody = new Endpoint("127.0.0.1", 1, "secret");
    Supplier<List<Endpoint>> endpoints =
        () -> {
          asked.incrementAndGet();
          return List.of(feed.endpoint());
        };
    PartitionWriter.Target target;
    try (RowEncoder encoder = new RowEncoder(TYPE, allocator, 1)) {
      target =
          new PartitionWriter.Target(
              List.of("jobs", "j", "train", "p", "7", "a1"),
              encoder.schema(),
              allocator,
              endpoints,
              0);
    }
    try (PartitionWriter writer = new PartitionWriter(target, List.of(nobody), LONG, 1 << 20)) {
      writeRows(writer);
      assertTrue(writer.seal());
    }
    assertEquals(1, asked.get());
    assertWritten();
  }

  @Test
  void APartitionThatIsSealedIsNotWrittenAgain() {
    feed.seal("7", "a0");
    assertFalse(writeAll(LONG));
    assertEquals(List.of(), feed.rows("7", "a1"));
  }

  @Test
  void APartitionThatIsSealedMeanwhileIsLeftToTheOther() {
    feed.beforeBatch = batch -> seal(batch == 5);
    assertFalse(writeAll(LONG));
    assertEquals("a0", feed.sealedBy("7"));
  }

  @Test
  void APartitionThatIsSealedAtTheEndIsLeftToTheOther() {
    feed.beforeSeal = () -> seal(true);
    assertFalse(writeAll(LONG));
    assertEquals("a0", feed.sealedBy("7"));
  }

  private void seal(boolean now) {
    if (now) {
      feed.seal("7", "a0");
    }
  }

  @Test
  void WhatTheFeedRefusesIsSaidAtOnce() {
    feed.beforeBatch =
        batch -> {
          throw CallStatus.INVALID_ARGUMENT
              .withDescription("column \"label\":\n labels are 0 to 9")
              .toRuntimeException();
        };
    TfdException e = assertThrows(TfdException.class, () -> writeAll(LONG));
    assertEquals(
        "partition 7 of dataset train of job j: feed "
            + feed.endpoint()
            + ": column \"label\": labels are 0 to 9",
        e.getMessage());
    assertEquals(1, feed.calls);
  }

  @Test
  void AFeedThatSaysNothingIsNotWaitedForLongerThanTheTimeout() throws Exception {
    CountDownLatch end = new CountDownLatch(1);
    feed.beforeBatch = batch -> await(end);
    TfdException e = assertThrows(TfdException.class, () -> writeAll(SHORT));
    assertTrue(
        e.getMessage().contains("feed " + feed.endpoint() + ": waited 300 ms for"), e.getMessage());
    end.countDown();
  }

  @Test
  void ASlowFeedIsWaitedForAsLongAsThereIsProgress() {
    feed.afterBatch = batch -> pause(SHORT.toMillis() / 6);
    assertTrue(writeAll(SHORT));
    assertWritten();
  }

  @Test
  void AFeedThatIsNotThereIsTriedUntilTheTimeout() {
    Endpoint nobody = new Endpoint("127.0.0.1", 1, "secret");
    PartitionWriter.Target target;
    try (RowEncoder encoder = new RowEncoder(TYPE, allocator, 1)) {
      target =
          new PartitionWriter.Target(
              List.of("jobs", "j", "train", "p", "7", "a1"),
              encoder.schema(),
              allocator,
              () -> List.of(nobody),
              0);
    }
    try (PartitionWriter writer = new PartitionWriter(target, List.of(nobody), SHORT, 1 << 20)) {
      TfdException e = assertThrows(TfdException.class, () -> writeRows(writer));
      assertTrue(e.getMessage().contains("feed 127.0.0.1:1: "), e.getMessage());
      assertTrue(e.getMessage().contains("Connection refused"), e.getMessage());
    }
  }

  @Test
  void NoMoreIsSentThanTheFeedHasTakenAndTheWindowHolds() throws Exception {
    List<Integer> seen = new ArrayList<>();
    AtomicInteger given = new AtomicInteger();
    feed.afterBatch =
        batch -> {
          pause(10);
          seen.add(given.get() - ROWS_OF_A_BATCH * (batch + 1));
        };
    try (PartitionWriter writer = writer(LONG);
        RowEncoder encoder = new RowEncoder(TYPE, allocator, 1 << 20)) {
      for (int id = 0; id < ROWS; id++) {
        encoder.append(new GenericInternalRow(new Object[] {id}));
        if (encoder.rows() == ROWS_OF_A_BATCH) {
          given.addAndGet(ROWS_OF_A_BATCH);
          writer.write(encoder.finish());
        }
      }
      assertTrue(writer.seal());
    }
    assertWritten();
    // Four in the window, and one whose acknowledgement is under way.
    for (int ahead : seen) {
      assertTrue(ahead <= 5 * ROWS_OF_A_BATCH, "rows ahead: " + seen);
    }
  }

  @Test
  void AFeedThatHasLostWhatItAcknowledgedIsAnError() {
    AtomicInteger left = new AtomicInteger(1);
    feed.beforeBatch =
        batch -> {
          if (batch == 15 && left.getAndDecrement() > 0) {
            feed.lose("7", "a1");
            throw CallStatus.UNAVAILABLE.withDescription("gone").toRuntimeException();
          }
        };
    TfdException e = assertThrows(TfdException.class, () -> writeAll(LONG));
    assertTrue(e.getMessage().contains("it has lost rows"), e.getMessage());
  }

  private static void pause(long milliseconds) {
    try {
      Thread.sleep(milliseconds);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private static void await(CountDownLatch latch) {
    try {
      latch.await();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
