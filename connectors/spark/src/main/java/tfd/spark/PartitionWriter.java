package tfd.spark;

import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.function.Supplier;
import org.apache.arrow.flight.FlightRuntimeException;
import org.apache.arrow.flight.FlightStatusCode;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.vector.ipc.message.ArrowRecordBatch;
import org.apache.arrow.vector.types.pojo.Schema;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Writes one attempt of a partition to a feed. Batches are kept until the feed has acknowledged
 * them; when the connection is lost the attempt goes on at the row that the feed says. Where
 * another attempt has the partition, rows are dropped: that is as good as success.
 * Thread-compatible.
 */
final class PartitionWriter implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(PartitionWriter.class);
  private static final long FIRST_PAUSE_MS = 50;
  private static final long LONGEST_PAUSE_MS = 2000;

  /** Where and what is written. */
  static final class Target {
    /** ["jobs", job, dataset, producer, partition, attempt]. */
    final List<String> path;

    final Schema schema;

    /** Of the batches, too. */
    final BufferAllocator allocator;

    /** Asked again after a lost connection: a feed may have moved. */
    final Supplier<List<Endpoint>> endpoints;

    /** Which of them. */
    final int endpoint;

    Target(
        List<String> path,
        Schema schema,
        BufferAllocator allocator,
        Supplier<List<Endpoint>> endpoints,
        int endpoint) {
      this.path = path;
      this.schema = schema;
      this.allocator = allocator;
      this.endpoints = endpoints;
      this.endpoint = endpoint;
    }

    @Override
    public String toString() {
      return "partition " + path.get(4) + " of dataset " + path.get(2) + " of job " + path.get(1);
    }
  }

  private static final class Pending {
    final ArrowRecordBatch batch;
    final long row;

    Pending(ArrowRecordBatch batch, long row) {
      this.batch = batch;
      this.row = row;
    }

    long end() {
      return row + batch.getLength();
    }
  }

  private interface Step {
    void run(Patience patience) throws PutStream.NoProgress;
  }

  private final Target target;
  private final Duration timeout;
  private final long windowBytes;
  private Endpoint feed;
  private PutStream stream;
  private final Deque<Pending> pending = new ArrayDeque<>();
  private long pendingBytes;
  // Rows given, and how many of them this connection was given.
  private long rows;
  private long sent;
  private boolean isTaken;

  /** Begins with the given endpoints. So many bytes may be unacknowledged. */
  PartitionWriter(Target target, List<Endpoint> endpoints, Duration timeout, long windowBytes) {
    this.target = target;
    this.timeout = timeout;
    this.windowBytes = windowBytes;
    feed = endpoints.get(target.endpoint);
  }

  /** Sends a batch, and closes it in time. Blocks while too much is unacknowledged. */
  void write(ArrowRecordBatch batch) {
    if (isTaken) {
      batch.close();
      return;
    }
    pending.add(new Pending(batch, rows));
    pendingBytes += batch.computeBodyLength();
    rows += batch.getLength();
    persist(
        patience -> {
          sendUnsent(patience);
          while (pendingBytes > windowBytes) {
            stream.awaitMoreThan(pending.peek().row, patience);
            forgetAcknowledged();
          }
        });
  }

  /** Whether the partition is sealed by this attempt; if not, another one has it. */
  boolean seal() {
    persist(
        patience -> {
          sendUnsent(patience);
          long sealed = stream.seal(rows, patience);
          if (sealed != rows) {
            throw new TfdException(
                target + ": " + rows + " rows were written, and " + sealed + " are sealed");
          }
        });
    dropPending();
    return !isTaken;
  }

  /** Whether another attempt has the partition, so that nothing need be written. */
  boolean isTaken() {
    return isTaken;
  }

  @Override
  public void close() {
    dropPending();
    disconnect();
  }

  // Connects first where that is needed, and again for as long as there is hope.
  private void persist(Step step) {
    Patience patience = new Patience(timeout);
    long pauseMs = FIRST_PAUSE_MS;
    String before = "";
    for (int losses = 0; !isTaken; losses++) {
      try {
        if (stream == null) {
          connect(patience, losses);
        }
        step.run(patience);
        return;
      } catch (PutStream.NoProgress e) {
        disconnect();
        throw failed("waited " + patience + " for " + e.getMessage() + before, e);
      } catch (FlightRuntimeException e) {
        disconnect();
        if (e.status().code() == FlightStatusCode.ALREADY_EXISTS || Status.saysCommitted(e)) {
          LOG.info("{}: another attempt has it: {}", target, Status.words(e));
          isTaken = true;
          dropPending();
        } else if (!Status.isWorthAnotherTry(e)) {
          throw failed(Status.words(e), e);
        } else if (patience.isOver()) {
          throw failed(Status.words(e) + " (tried for " + patience + ")", e);
        } else {
          LOG.warn("{}: feed {}: {}; trying again", target, feed, Status.words(e));
          before = ", and before that: " + Status.words(e);
          Patience.pause(pauseMs);
          pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
        }
      }
    }
  }

  private TfdException failed(String what, Exception cause) {
    return new TfdException(target + ": feed " + feed + ": " + what, cause);
  }

  private void connect(Patience patience, int losses) throws PutStream.NoProgress {
    if (losses > 0) {
      findFeed();
    }
    stream = new PutStream(target.allocator, feed, target.path, target.schema);
    sent = stream.begin(patience);
    forgetAcknowledged();
    boolean isKnown = sent == rows || (!pending.isEmpty() && pending.peek().row == sent);
    if (!isKnown) {
      throw new TfdException(
          target
              + ": feed "
              + feed
              + " wants to go on at row "
              + sent
              + ", which is not at hand any more: it has lost rows that it had acknowledged");
    }
  }

  private void findFeed() {
    try {
      List<Endpoint> endpoints = target.endpoints.get();
      feed = endpoints.get(Math.min(target.endpoint, endpoints.size() - 1));
    } catch (TfdException e) {
      LOG.warn("{}: the feed is where it was, as far as is known: {}", target, e.getMessage());
    }
  }

  private void sendUnsent(Patience patience) throws PutStream.NoProgress {
    for (Pending next : pending) {
      if (next.row >= sent) {
        stream.send(next.batch, next.row, patience);
        sent = next.end();
      }
    }
    forgetAcknowledged();
  }

  private void forgetAcknowledged() {
    long acknowledged = stream.acknowledged();
    while (!pending.isEmpty() && pending.peek().end() <= acknowledged) {
      pendingBytes -= pending.peek().batch.computeBodyLength();
      pending.poll().batch.close();
    }
  }

  private void dropPending() {
    pending.forEach(next -> next.batch.close());
    pending.clear();
    pendingBytes = 0;
  }

  private void disconnect() {
    if (stream != null) {
      stream.close();
      stream = null;
    }
  }
}
