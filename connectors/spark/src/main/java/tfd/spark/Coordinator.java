package tfd.spark;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import org.apache.arrow.flight.Action;
import org.apache.arrow.flight.CallOption;
import org.apache.arrow.flight.CallOptions;
import org.apache.arrow.flight.FlightClient;
import org.apache.arrow.flight.FlightDescriptor;
import org.apache.arrow.flight.FlightEndpoint;
import org.apache.arrow.flight.FlightRuntimeException;
import org.apache.arrow.flight.FlightStatusCode;
import org.apache.arrow.flight.Result;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.RootAllocator;

/**
 * What the coordinator is asked about one dataset, as docs/feed.md has it. Each question has a
 * deadline. What it refuses is a TfdException with its own words. Thread-compatible.
 */
final class Coordinator implements AutoCloseable {
  private static final ObjectMapper JSON = new ObjectMapper();
  // It answers GetFlightInfo within half a minute, with the reason where a job is not running yet.
  private static final long CALL_SECONDS = 40;
  private static final long PAUSE_MS = 200;

  private final WriteOptions options;
  private final BufferAllocator allocator = new RootAllocator();
  private final FlightConnection connection;

  Coordinator(WriteOptions options) {
    this.options = options;
    int colon = options.coordinator.lastIndexOf(':');
    connection =
        new FlightConnection(
            allocator,
            options.coordinator.substring(0, colon),
            Integer.parseInt(options.coordinator.substring(colon + 1)),
            options.token);
  }

  /** The dataset as it is: see DatasetStatus in proto/tfd/v1/job.proto. */
  JsonNode status() {
    return act("status", body(), Duration.ZERO);
  }

  void begin(String producer) {
    act("begin", body().put("producer", producer), Duration.ZERO);
  }

  /**
   * Ends what a producer writes. Idempotent, and so repeated while the coordinator is away; so is
   * the other one.
   */
  void commit(String producer, List<Sealed> partitions) {
    act("commit", list(partitions, producer), options.timeout);
  }

  /** Publishes a micro-batch, unless one of this number or a later one is published. */
  JsonNode commit(String producer, long batch, List<Sealed> partitions) {
    return act("commit", list(partitions, producer).put("batch", batch), options.timeout);
  }

  private ObjectNode list(List<Sealed> partitions, String producer) {
    ObjectNode body = body().put("producer", producer);
    ArrayNode list = body.putArray("partitions");
    for (Sealed sealed : partitions) {
      list.addObject()
          .put("partition", sealed.partition)
          .put("attempt", sealed.attempt)
          .put("rows", sealed.rows);
    }
    return body;
  }

  void abort(String producer) {
    act("abort", body().put("producer", producer), Duration.ZERO);
  }

  /** Where to push. Asks for so long while the job is not running yet; at least once. */
  List<Endpoint> endpoints(Duration patience) {
    FlightDescriptor path = FlightDescriptor.path("jobs", options.job, options.dataset);
    List<Endpoint> endpoints = new ArrayList<>();
    for (FlightEndpoint endpoint :
        ask(() -> client().getInfo(path, deadline(), connection.header()), patience)
            .getEndpoints()) {
      URI uri = endpoint.getLocations().get(0).getUri();
      String token = new String(endpoint.getTicket().getBytes(), StandardCharsets.UTF_8);
      endpoints.add(new Endpoint(uri.getHost(), uri.getPort(), token));
    }
    if (endpoints.isEmpty()) {
      throw new TfdException("job " + options.job + " runs, and the coordinator names no feed");
    }
    return endpoints;
  }

  @Override
  public void close() {
    connection.close();
    allocator.close();
  }

  private FlightClient client() {
    return connection.client();
  }

  private static CallOption deadline() {
    return CallOptions.timeout(CALL_SECONDS, TimeUnit.SECONDS);
  }

  private ObjectNode body() {
    return JSON.createObjectNode().put("job", options.job).put("dataset", options.dataset);
  }

  private JsonNode act(String kind, ObjectNode body, Duration patience) {
    return ask(
        () -> {
          try {
            Action action = new Action(kind, JSON.writeValueAsBytes(body));
            Iterator<Result> results = client().doAction(action, deadline(), connection.header());
            return results.hasNext() ? JSON.readTree(results.next().getBody()) : body();
          } catch (JsonProcessingException e) {
            throw new TfdException("the coordinator's answer to " + kind + " is no JSON", e);
          } catch (IOException e) {
            throw new TfdException("the answer to " + kind + " cannot be read", e);
          }
        },
        patience);
  }

  private <T> T ask(Supplier<T> question, Duration patience) {
    Patience waiting = new Patience(patience);
    while (true) {
      try {
        return question.get();
      } catch (FlightRuntimeException e) {
        boolean away = e.status().code() == FlightStatusCode.UNAVAILABLE;
        if (!away || waiting.isOver()) {
          throw new TfdException(words(e, away), e);
        }
        Patience.pause(PAUSE_MS);
      }
    }
  }

  private String words(FlightRuntimeException e, boolean away) {
    String said = Status.words(e);
    if (away && Status.isConnection(e)) {
      return "no coordinator answers at "
          + options.coordinator
          + " ("
          + said
          + "): `tfd up` starts one, .option(\"coordinator\", \"HOST:PORT\") names one";
    }
    return said;
  }
}
