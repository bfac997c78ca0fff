package tfd.spark;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.RootAllocator;
import org.apache.spark.TaskContext;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.util.TaskCompletionListener;

/**
 * The rows of a task with the answers behind them, in their order. Some batches are always under
 * way, so that neither side waits for the other. Thread-compatible.
 */
final class AnsweredRows implements Iterator<Row>, AutoCloseable {
  private static final int BATCHES_UNDER_WAY = 4;

  private final FeatureReader features;
  private final Iterator<Row> rows;
  private final BufferAllocator allocator = new RootAllocator();
  private final RowEncoder encoder;
  private final Predictor predictor;
  private final Deque<List<Row>> waiting = new ArrayDeque<>();
  private List<Row> answered = List.of();
  private Answers answers;
  private int at;
  private boolean isClosed;

  AnsweredRows(
      WriteOptions options,
      FeatureReader features,
      List<Endpoint> workers,
      int number,
      Iterator<Row> rows) {
    this.features = features;
    this.rows = rows;
    encoder = new RowEncoder(features.type(), allocator, options.batchBytes);
    predictor = new Predictor(options, encoder.schema(), allocator, workers, number);
  }

  /** Of the task that runs in this thread: closed at its end, however it ends. */
  static Iterator<Row> ofTask(
      WriteOptions options, FeatureReader features, List<Endpoint> workers, Iterator<Row> rows) {
    TaskContext task = TaskContext.get();
    AnsweredRows answered = new AnsweredRows(options, features, workers, task.partitionId(), rows);
    task.addTaskCompletionListener((TaskCompletionListener) context -> answered.close());
    return answered;
  }

  @Override
  public boolean hasNext() {
    if (at < answered.size()) {
      return true;
    }
    while (rows.hasNext() && predictor.underWay() < BATCHES_UNDER_WAY) {
      sendBatch();
    }
    if (predictor.underWay() == 0) {
      close();
      return false;
    }
    answers = predictor.next();
    answered = waiting.poll();
    at = 0;
    return true;
  }

  private void sendBatch() {
    List<Row> batch = new ArrayList<>();
    boolean isFull = false;
    while (!isFull && rows.hasNext()) {
      Row row = rows.next();
      batch.add(row);
      isFull = encoder.append(features.read(row));
    }
    waiting.add(batch);
    predictor.send(encoder.finish());
  }

  @Override
  public Row next() {
    if (!hasNext()) {
      throw new NoSuchElementException();
    }
    Row row = answered.get(at);
    Object[] values = new Object[row.size() + answers.columns()];
    for (int i = 0; i < row.size(); i++) {
      values[i] = row.get(i);
    }
    for (int i = 0; i < answers.columns(); i++) {
      values[row.size() + i] = answers.get(at, i);
    }
    at++;
    return RowFactory.create(values);
  }

  @Override
  public void close() {
    if (!isClosed) {
      isClosed = true;
      predictor.close();
      encoder.close();
      allocator.close();
    }
  }
}
