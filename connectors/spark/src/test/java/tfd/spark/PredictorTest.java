package tfd.spark;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.arrow.flight.CallStatus;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.RootAllocator;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.catalyst.expressions.GenericInternalRow;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Rows and their answers. That memory was freed is checked by every close(). */
@Timeout(30)
class PredictorTest {
  private static final StructType TYPE =
      new StructType()
          .add("name", DataTypes.StringType)
          .add("id", DataTypes.IntegerType)
          .add("pixels", DataTypes.createArrayType(DataTypes.FloatType));
  private static final int ROWS = 2000;
  private static final int FEW = 100;

  private FakeFeed worker;

  @BeforeEach
  void startWorker() throws Exception {
    worker = new FakeFeed();
  }

  @AfterEach
  void stopWorker() throws Exception {
    worker.close();
  }

  private WriteOptions options(String timeout) {
    return WriteOptions.parse(
        Map.of(
            "coordinator",
            worker.address(),
            "job",
            "j",
            "dataset",
            "predict",
            "batchBytes",
            "1KiB",
            "timeout",
            timeout));
  }

  private static List<Row> rows(int count) {
    List<Row> rows = new ArrayList<>();
    for (int id = 0; id < count; id++) {
      rows.add(RowFactory.create("row " + id, id, new float[] {id}));
    }
    return rows;
  }

  private AnsweredRows answered(String timeout, Iterator<Row> rows) {
    FeatureReader features = new FeatureReader(TYPE, List.of("id"));
    return new AnsweredRows(options(timeout), features, List.of(worker.endpoint()), 0, rows);
  }

  private void assertAllAnswered() {
    int id = 0;
    try (AnsweredRows answered = answered("20s", rows(ROWS).iterator())) {
      while (answered.hasNext()) {
        Row row = answered.next();
        assertEquals(5, row.size());
        assertEquals("row " + id, row.get(0));
        assertEquals((long) id, row.get(3));
        assertEquals(0.5f, row.get(4));
        id++;
      }
    }
    assertEquals(ROWS, id);
  }

  @Test
  void EveryRowIsAnsweredInItsPlaceWithAllItsColumns() {
    assertAllAnswered();
    assertEquals(1, worker.calls);
  }

  @Test
  void WhatABrokenConnectionHasNotAnsweredIsAskedAgain() {
    AtomicInteger left = new AtomicInteger(3);
    worker.beforeAnswer =
        batch -> {
          if (batch == 2 && left.getAndDecrement() > 0) {
            throw CallStatus.UNAVAILABLE.withDescription("gone").toRuntimeException();
          }
        };
    assertAllAnswered();
    assertEquals(4, worker.calls);
  }

  @Test
  void ARefusalFailsInTheWorkersWordsAtOnce() {
    worker.beforeAnswer =
        batch -> {
          throw CallStatus.INVALID_ARGUMENT
              .withDescription("a row has 1 numbers, and the model takes 784")
              .toRuntimeException();
        };
    TfdException e = assertThrows(TfdException.class, this::assertAllAnswered);
    assertTrue(e.getMessage().contains("job j: worker 127.0.0.1:"), e.getMessage());
    assertTrue(e.getMessage().contains("the model takes 784"), e.getMessage());
    assertEquals(1, worker.calls);
  }

  @Test
  void AWorkerThatSaysNothingIsNotWaitedForForEver() throws Exception {
    Object never = new Object();
    worker.beforeAnswer =
        batch -> {
          synchronized (never) {
            try {
              never.wait();
            } catch (InterruptedException e) {
              Thread.currentThread().interrupt();
            }
          }
        };
    try (AnsweredRows answered = answered("300ms", rows(1).iterator())) {
      String message = assertThrows(TfdException.class, answered::hasNext).getMessage();
      assertTrue(message.contains("waited 300 ms for answers"), message);
    } finally {
      synchronized (never) {
        never.notifyAll();
      }
    }
  }

  private void assertEachRowIsAnswered(Endpoint endpoint) {
    StructType type = new StructType().add("id", DataTypes.IntegerType);
    try (BufferAllocator allocator = new RootAllocator();
        RowEncoder encoder = new RowEncoder(type, allocator, 1 << 20);
        Predictor predictor =
            new Predictor(options("5s"), encoder.schema(), allocator, List.of(endpoint), 0)) {
      for (int id = 0; id < FEW; id++) {
        encoder.append(new GenericInternalRow(new Object[] {id}));
        predictor.send(encoder.finish());
        assertEquals((long) id, predictor.next().get(0, 0));
      }
    }
    assertEquals(1, worker.calls);
  }

  @Test
  void RowsMayBeAskedOneByOne() {
    assertEachRowIsAnswered(worker.endpoint());
  }

  @Test
  void AnswersMayArriveInPieces() throws Exception {
    try (SlicingProxy proxy = new SlicingProxy(worker.endpoint())) {
      assertEachRowIsAnswered(proxy.endpoint());
    }
  }

  @Test
  void NoRowsNeedNoWorker() {
    try (AnsweredRows answered = answered("20s", rows(0).iterator())) {
      assertFalse(answered.hasNext());
    }
    assertEquals(0, worker.calls);
  }

  @Test
  void AReaderThatStopsHalfWayLeavesNothing() {
    try (AnsweredRows answered = answered("20s", rows(ROWS).iterator())) {
      assertTrue(answered.hasNext());
      answered.next();
    }
  }

  @Test
  void WhatIsNoFeatureIsRefusedByName() {
    assertTrue(refused("missing").contains("there is no column \"missing\" with features"));
    assertTrue(refused("missing").contains("there are name, id, pixels"));
    assertTrue(refused("name").contains("column \"name\" is a string"));
  }

  private static String refused(String... names) {
    return assertThrows(TfdException.class, () -> new FeatureReader(TYPE, Arrays.asList(names)))
        .getMessage();
  }

  @Test
  void ColumnsThatAreThereAlreadyAreNotReplaced() {
    StructType answers = Answers.type(2, true);
    StructType all = Transform.add(TYPE, answers, "my_");
    assertEquals("my_probabilities", all.fieldNames()[all.length() - 1]);
    TfdException e = assertThrows(TfdException.class, () -> Transform.add(all, answers, "my_"));
    assertTrue(e.getMessage().contains("there is a column \"my_prediction\" already"));
  }
}
