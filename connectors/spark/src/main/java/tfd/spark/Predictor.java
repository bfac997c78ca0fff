package tfd.spark;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import org.apache.arrow.flight.FlightRuntimeException;
import org.apache.arrow.flight.FlightStatusCode;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.RootAllocator;
import org.apache.arrow.vector.ipc.message.ArrowRecordBatch;
import org.apache.arrow.vector.types.pojo.Schema;
import org.apache.spark.sql.types.StructType;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Has batches answered by a worker of a serving job, in their order. Batches are kept until they
 * are answered; when a connection is lost they go to the worker that the coordinator then names,
 * because an answer changes nothing. Thread-compatible.
 */
final class Predictor implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(Predictor.class);
  private static final long FIRST_PAUSE_MS = 50;
  private static final long LONGEST_PAUSE_MS = 2000;

  private interface Step<T> {
    T run(Patience patience);
  }

  private final WriteOptions options;
  private final Schema schema;
  private final BufferAllocator allocator;
  private final int number;
  private List<Endpoint> workers;
  private Endpoint worker;
  private ExchangeStream stream;
  private final Deque<ArrowRecordBatch> pending = new ArrayDeque<>();
  // How many of them this connection was given.
  private int sent;

  /** `number` says which of the workers is asked first: callers take turns. */
  Predictor(
      WriteOptions options,
      Schema schema,
      BufferAllocator allocator,
      List<Endpoint> workers,
      int number) {
    this.options = options;
    this.schema = schema;
    this.allocator = allocator;
    this.workers = workers;
    this.number = number;
  }

  /** Sends a batch, and closes it in time. */
  void send(ArrowRecordBatch batch) {
    pending.add(batch);
    persist(
        patience -> {
          sendUnsent(patience);
          return null;
        });
  }

  /** Batches that were sent and are not answered. */
  int underWay() {
    return pending.size();
  }

  /** The answers to the oldest batch that is under way. */
  Answers next() {
    Answers answers =
        persist(
            patience -> {
              sendUnsent(patience);
              return stream.next(patience);
            });
    try (ArrowRecordBatch batch = pending.poll()) {
      sent--;
      if (answers.rows() != batch.getLength()) {
        throw failed(batch.getLength() + " rows got " + answers.rows() + " answers", null);
      }
    }
    return answers;
  }

  /** The columns of its answers. */
  StructType type() {
    return persist(patience -> stream.type(patience));
  }

  private void sendUnsent(Patience patience) {
    int i = 0;
    for (ArrowRecordBatch batch : pending) {
      if (i++ >= sent) {
        stream.send(batch, patience);
        sent = i;
      }
    }
  }

  // Connects first where that is needed, and again for as long as there is hope.
  private <T> T persist(Step<T> step) {
    Patience patience = new Patience(options.timeout);
    long pauseMs = FIRST_PAUSE_MS;
    while (true) {
      try {
        connect();
        return step.run(patience);
      } catch (FlightRuntimeException e) {
        disconnect();
        if (!isBroken(e) || patience.isOver()) {
          throw failed(Status.words(e), e);
        }
        LOG.warn("job {}: worker {}: {}; trying again", options.job, worker, Status.words(e));
        Patience.pause(pauseMs);
        pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
        try (Coordinator coordinator = new Coordinator(options)) {
          // Where the job has ended it says why.
          workers = coordinator.endpoints(options.timeout);
        }
      }
    }
  }

  private static boolean isBroken(FlightRuntimeException e) {
    FlightStatusCode code = e.status().code();
    return code == FlightStatusCode.UNAVAILABLE
        || Status.isConnection(e)
        || (code == FlightStatusCode.INTERNAL && Status.words(e).contains("RST_STREAM"));
  }

  private TfdException failed(String what, Exception cause) {
    return new TfdException("job " + options.job + ": worker " + worker + ": " + what, cause);
  }

  private void connect() {
    if (stream == null) {
      worker = workers.get(Endpoint.choose(workers, number));
      sent = 0;
      stream = new ExchangeStream(allocator, worker, options.job, schema);
    }
  }

  private void disconnect() {
    if (stream != null) {
      stream.close();
      stream = null;
    }
  }

  @Override
  public void close() {
    disconnect();
    pending.forEach(ArrowRecordBatch::close);
    pending.clear();
  }

  /** What a job answers to rows of these columns; asks one of its workers. */
  static StructType answersOf(WriteOptions options, StructType features) {
    List<Endpoint> workers = workersOf(options);
    try (BufferAllocator allocator = new RootAllocator();
        RowEncoder encoder = new RowEncoder(features, allocator, options.batchBytes);
        Predictor predictor = new Predictor(options, encoder.schema(), allocator, workers, 0)) {
      return predictor.type();
    }
  }

  /** Where a serving job answers; waits until it runs. */
  static List<Endpoint> workersOf(WriteOptions options) {
    try (Coordinator coordinator = new Coordinator(options)) {
      return coordinator.endpoints(options.timeout);
    }
  }
}
