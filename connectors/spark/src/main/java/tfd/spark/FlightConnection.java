package tfd.spark;

import org.apache.arrow.flight.CallHeaders;
import org.apache.arrow.flight.FlightCallHeaders;
import org.apache.arrow.flight.FlightClient;
import org.apache.arrow.flight.HeaderCallOption;
import org.apache.arrow.flight.Location;
import org.apache.arrow.memory.BufferAllocator;

/** A Flight client and the memory that it uses. Thread-compatible. */
final class FlightConnection implements AutoCloseable {
  private final BufferAllocator allocator;
  private final FlightClient client;
  private final HeaderCallOption header;

  /** Uses memory of `parent`, which must be closed after this. */
  FlightConnection(BufferAllocator parent, String host, int port, String token) {
    allocator = parent.newChildAllocator(host + ":" + port, 0, Long.MAX_VALUE);
    client = FlightClient.builder(allocator, Location.forGrpcInsecure(host, port)).build();
    CallHeaders headers = new FlightCallHeaders();
    if (!token.isEmpty()) {
      headers.insert("authorization", "Bearer " + token);
    }
    header = new HeaderCallOption(headers);
  }

  FlightClient client() {
    return client;
  }

  BufferAllocator allocator() {
    return allocator;
  }

  /** Who is calling. */
  HeaderCallOption header() {
    return header;
  }

  @Override
  public void close() {
    try {
      client.close();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    } finally {
      allocator.close();
    }
  }
}
