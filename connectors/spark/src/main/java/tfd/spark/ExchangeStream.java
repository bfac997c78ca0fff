package tfd.spark;

import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.apache.arrow.flight.CallStatus;
import org.apache.arrow.flight.FlightClient;
import org.apache.arrow.flight.FlightDescriptor;
import org.apache.arrow.flight.FlightRuntimeException;
import org.apache.arrow.flight.FlightStream;
import org.apache.arrow.flight.grpc.StatusUtils;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.vector.VectorLoader;
import org.apache.arrow.vector.VectorSchemaRoot;
import org.apache.arrow.vector.ipc.message.ArrowRecordBatch;
import org.apache.arrow.vector.types.pojo.Schema;
import org.apache.spark.sql.types.StructType;

/**
 * One DoExchange call: batches go out, and a thread of its own takes the answers in, so that the
 * worker is never held up. Whatever ends the call is thrown by the methods that wait, as a
 * FlightRuntimeException. Used by one thread.
 */
final class ExchangeStream implements AutoCloseable {
  // The path of a flight: where a dataset's name stands elsewhere.
  static final String PREDICT = "predict";
  // Flight has no handler for streams that a client writes.
  private static final long READY_POLL_NANOS = 50_000;
  private static final long WAIT_MS = 50;

  /** Something that the reading thread has seen: one of the three. */
  private static final class Event {
    final StructType type;
    final Answers answers;
    final FlightRuntimeException failure;

    Event(StructType type, Answers answers, FlightRuntimeException failure) {
      this.type = type;
      this.answers = answers;
      this.failure = failure;
    }
  }

  private final FlightConnection connection;
  private final VectorSchemaRoot root;
  private final FlightClient.ExchangeReaderWriter exchange;
  private final BlockingQueue<Event> events = new LinkedBlockingQueue<>();
  private final Thread reader = new Thread(this::read, "tfd-predict-read");
  private StructType type;
  private FlightRuntimeException failure;

  ExchangeStream(BufferAllocator allocator, Endpoint worker, String job, Schema schema) {
    connection = new FlightConnection(allocator, worker.host, worker.port, worker.token);
    root = VectorSchemaRoot.create(schema, connection.allocator());
    exchange =
        connection
            .client()
            .doExchange(FlightDescriptor.path(List.of("jobs", job, PREDICT)), connection.header());
    exchange.getWriter().start(root);
    reader.setDaemon(true);
    reader.start();
  }

  /** The columns of its answers. */
  StructType type(Patience patience) {
    while (type == null) {
      take(patience, "its first answer");
    }
    return type;
  }

  /** Sends a batch, once the connection takes it; the caller keeps and closes it. */
  void send(ArrowRecordBatch batch, Patience patience) {
    while (!exchange.getWriter().isReady()) {
      if (!reader.isAlive()) {
        break; // putNext would wait for ever
      }
      check(patience, "the connection to take rows");
      LockSupport.parkNanos(READY_POLL_NANOS);
      if (Thread.currentThread().isInterrupted()) {
        throw Patience.interrupted();
      }
    }
    if (!reader.isAlive()) {
      take(patience, "the reason why the call has ended");
    }
    new VectorLoader(root).load(batch);
    exchange.getWriter().putNext();
    root.clear();
  }

  /** Says that no more batches come. */
  void end() {
    exchange.getWriter().completed();
  }

  /** The answers to the oldest batch that has none yet. */
  Answers next(Patience patience) {
    while (true) {
      Event event = take(patience, "answers");
      if (event.answers != null) {
        return event.answers;
      }
    }
  }

  private Event take(Patience patience, String what) {
    try {
      while (failure == null) {
        Event event = events.poll(WAIT_MS, TimeUnit.MILLISECONDS);
        if (event == null) {
          check(patience, what);
          continue;
        }
        failure = event.failure;
        type = event.type == null ? type : event.type;
        if (failure == null) {
          patience.renew(System.nanoTime());
          return event;
        }
      }
    } catch (InterruptedException e) {
      throw Patience.interrupted();
    }
    throw failure;
  }

  private static void check(Patience patience, String what) {
    if (patience.isOver()) {
      throw CallStatus.TIMED_OUT
          .withDescription("waited " + patience + " for " + what)
          .toRuntimeException();
    }
  }

  // The thread `reader`.
  private void read() {
    try {
      FlightStream stream = exchange.getReader();
      events.add(new Event(Answers.type(stream.getSchema()), null, null));
      while (stream.next()) {
        events.add(new Event(null, Answers.of(stream.getRoot()), null));
      }
      events.add(
          ofFailure(
              CallStatus.UNAVAILABLE
                  .withDescription("the worker has ended the call")
                  .toRuntimeException()));
    } catch (TfdException e) {
      events.add(
          ofFailure(CallStatus.UNIMPLEMENTED.withDescription(e.getMessage()).toRuntimeException()));
    } catch (RuntimeException e) {
      events.add(ofFailure(StatusUtils.fromThrowable(e)));
    }
  }

  private static Event ofFailure(FlightRuntimeException failure) {
    return new Event(null, null, failure);
  }

  /** Breaks the call off if it is not over. */
  @Override
  public void close() {
    exchange.getReader().cancel("the caller has ended", null);
    boolean interrupted = false;
    while (true) {
      try {
        reader.join();
        break;
      } catch (InterruptedException e) {
        interrupted = true; // It has been cancelled, and so ends soon.
      }
    }
    try {
      exchange.close();
    } catch (Exception e) {
      throw new TfdException("a call to a worker cannot be closed: " + e.getMessage(), e);
    } finally {
      root.close();
      connection.close();
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
    }
  }
}
