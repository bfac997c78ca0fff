package tfd.spark;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import org.apache.arrow.flight.CallStatus;
import org.apache.arrow.flight.FlightClient;
import org.apache.arrow.flight.FlightDescriptor;
import org.apache.arrow.flight.FlightRuntimeException;
import org.apache.arrow.flight.PutResult;
import org.apache.arrow.flight.grpc.StatusUtils;
import org.apache.arrow.memory.ArrowBuf;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.vector.VectorLoader;
import org.apache.arrow.vector.VectorSchemaRoot;
import org.apache.arrow.vector.ipc.message.ArrowRecordBatch;
import org.apache.arrow.vector.types.pojo.Schema;

/**
 * One DoPut call. Whatever ends it is thrown by the methods that wait, as a FlightRuntimeException;
 * NoProgress where nothing happens for too long. Used by one thread; Flight's own call the
 * listener.
 */
final class PutStream implements AutoCloseable {
  // Flight has no handler for streams that a client writes.
  private static final long READY_POLL_NANOS = 50_000;
  private static final long WAIT_MS = 50;

  /** Nothing has happened for as long as anybody is waited for. */
  static final class NoProgress extends Exception {
    private static final long serialVersionUID = 1;

    NoProgress(String waitedFor) {
      super(waitedFor);
    }
  }

  private final FlightConnection connection;
  private final VectorSchemaRoot root;
  private final Listener listener = new Listener();
  private final FlightClient.ClientStreamListener call;
  private boolean ended;

  PutStream(BufferAllocator allocator, Endpoint endpoint, List<String> path, Schema schema) {
    connection = new FlightConnection(allocator, endpoint.host, endpoint.port, endpoint.token);
    root = VectorSchemaRoot.create(schema, connection.allocator());
    call =
        connection
            .client()
            .startPut(FlightDescriptor.path(path), root, listener, connection.header());
  }

  /** The row to begin at. */
  long begin(Patience patience) throws NoProgress {
    await(() -> listener.acknowledged >= 0, patience, "its first answer");
    return acknowledged();
  }

  /** Rows that are in the spool: they need not be kept. */
  long acknowledged() {
    synchronized (listener) {
      return listener.acknowledged;
    }
  }

  /** Waits until more than so many rows are acknowledged. */
  void awaitMoreThan(long rows, Patience patience) throws NoProgress {
    await(() -> listener.acknowledged > rows, patience, "the rows after " + rows);
  }

  /** Sends a batch that begins at this row, once the connection takes it. */
  void send(ArrowRecordBatch batch, long row, Patience patience) throws NoProgress {
    while (!call.isReady()) {
      if (listener.isCancelled()) {
        break; // Below it is said why.
      }
      renew(patience);
      if (patience.isOver()) {
        throw new NoProgress("the connection to take row " + row);
      }
      LockSupport.parkNanos(READY_POLL_NANOS);
      if (Thread.currentThread().isInterrupted()) {
        throw Patience.interrupted();
      }
    }
    listener.check();
    new VectorLoader(root).load(batch);
    call.putNext(metadata("offset", row));
    root.clear();
  }

  /**
   * Says that this was all, and how many rows it is; gives the rows that are sealed. The feed seals
   * no other number.
   */
  long seal(long rows, Patience patience) throws NoProgress {
    if (!ended) {
      listener.check();
      ended = true;
      call.putMetadata(metadata("rows", rows));
      call.completed();
    }
    await(() -> listener.sealed >= 0 && listener.isOver, patience, "the partition to be sealed");
    return listener.sealed;
  }

  // Flight's own once it is put.
  private ArrowBuf metadata(String name, long rows) {
    byte[] json = ("{\"" + name + "\":" + rows + "}").getBytes(StandardCharsets.UTF_8);
    ArrowBuf buffer = connection.allocator().buffer(json.length);
    buffer.writeBytes(json);
    return buffer;
  }

  private void await(BooleanSupplier condition, Patience patience, String what) throws NoProgress {
    synchronized (listener) {
      while (!condition.getAsBoolean()) {
        listener.check();
        renew(patience);
        if (patience.isOver()) {
          throw new NoProgress(what);
        }
        try {
          listener.wait(WAIT_MS);
        } catch (InterruptedException e) {
          throw Patience.interrupted();
        }
      }
      renew(patience);
    }
  }

  private void renew(Patience patience) {
    synchronized (listener) {
      if (listener.acknowledged >= 0) {
        patience.renew(listener.progressAt);
      }
    }
  }

  /** Breaks the call off if it is not over. */
  @Override
  public void close() {
    if (!listener.isCancelled()) {
      call.error(CallStatus.CANCELLED.withDescription("the writer has ended").toRuntimeException());
    }
    root.close();
    connection.close();
  }

  /** What the feed answers; guarded by itself. */
  private static final class Listener implements FlightClient.PutListener {
    private static final ObjectMapper JSON = new ObjectMapper();

    private long acknowledged = -1;
    private long sealed = -1;
    private long progressAt;
    private boolean isOver;
    private FlightRuntimeException failure;

    /** Throws what the call has failed with, or that it has ended too early. */
    synchronized void check() {
      if (failure != null) {
        throw failure;
      }
      if (isOver && sealed < 0) {
        throw CallStatus.INTERNAL.withDescription("the feed ended the call").toRuntimeException();
      }
    }

    @Override
    public synchronized void onNext(PutResult result) {
      ArrowBuf metadata = result.getApplicationMetadata();
      byte[] bytes = new byte[(int) metadata.readableBytes()];
      metadata.readBytes(bytes);
      try {
        JsonNode json = JSON.readTree(bytes);
        if (json.path("sealed").asBoolean()) {
          sealed = json.path("rows").asLong(-1);
        } else {
          long offset = json.path("offset").asLong(-1);
          if (offset > acknowledged) {
            progressAt = System.nanoTime();
          }
          acknowledged = offset;
        }
      } catch (IOException e) {
        onError(e);
      }
      notifyAll();
    }

    @Override
    public synchronized void onError(Throwable t) {
      if (failure == null) {
        failure = StatusUtils.fromThrowable(t);
      }
      isOver = true;
      notifyAll();
    }

    @Override
    public synchronized void onCompleted() {
      isOver = true;
      notifyAll();
    }

    /** Flight's wait for a ready stream ends when this is true. */
    @Override
    public synchronized boolean isCancelled() {
      return isOver;
    }

    @Override
    public void getResult() {
      // seal() waits instead, and not for ever.
    }
  }
}
