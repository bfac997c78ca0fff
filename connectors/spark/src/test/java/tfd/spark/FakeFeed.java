package tfd.spark;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.apache.arrow.flight.Action;
import org.apache.arrow.flight.CallStatus;
import org.apache.arrow.flight.FlightDescriptor;
import org.apache.arrow.flight.FlightEndpoint;
import org.apache.arrow.flight.FlightInfo;
import org.apache.arrow.flight.FlightServer;
import org.apache.arrow.flight.FlightStream;
import org.apache.arrow.flight.Location;
import org.apache.arrow.flight.NoOpFlightProducer;
import org.apache.arrow.flight.PutResult;
import org.apache.arrow.flight.Result;
import org.apache.arrow.flight.Ticket;
import org.apache.arrow.memory.ArrowBuf;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.RootAllocator;
import org.apache.arrow.vector.BigIntVector;
import org.apache.arrow.vector.Float4Vector;
import org.apache.arrow.vector.IntVector;
import org.apache.arrow.vector.VectorSchemaRoot;
import org.apache.arrow.vector.types.FloatingPointPrecision;
import org.apache.arrow.vector.types.pojo.ArrowType;
import org.apache.arrow.vector.types.pojo.Field;
import org.apache.arrow.vector.types.pojo.Schema;

/**
 * A coordinator and a feed in this process, as docs/feed.md has them, with accidents on order. Rows
 * are those of the column "id".
 */
final class FakeFeed extends NoOpFlightProducer implements AutoCloseable {
  private static final ObjectMapper JSON = new ObjectMapper();

  private final BufferAllocator allocator = new RootAllocator();
  private final FlightServer server;
  private final Map<String, List<Integer>> spool = new HashMap<>();
  private final Map<String, String> sealedBy = new HashMap<>();

  /** Calls of the actions: "begin {…}". */
  final List<String> actions = new ArrayList<>();

  /** What it has answered to "status" for producers that have committed. */
  String committed = "";

  /** The last micro-batch that is published. */
  long lastBatch = -1;

  /** Whether partitions of a batch that is published are refused, and not only dropped. */
  boolean refusesOldBatches;

  int calls;

  /** Called before each batch is taken, with its number in the call; may throw. */
  Consumer<Integer> beforeBatch = batch -> {};

  /** Called after a batch is taken and before that is acknowledged; may throw. */
  Consumer<Integer> afterBatch = batch -> {};

  /** Called before the rows of an exchange are answered, with their batch's number; may throw. */
  Consumer<Integer> beforeAnswer = batch -> {};

  /** Called before a partition is sealed; may throw. */
  Runnable beforeSeal = () -> {};

  /** Called after a partition is sealed and before that is said; may throw. */
  Runnable afterSeal = () -> {};

  FakeFeed() throws Exception {
    server =
        FlightServer.builder(allocator, Location.forGrpcInsecure("127.0.0.1", 0), this)
            .build()
            .start();
  }

  Endpoint endpoint() {
    return new Endpoint("127.0.0.1", server.getPort(), "secret");
  }

  String address() {
    return "127.0.0.1:" + server.getPort();
  }

  synchronized List<Integer> rows(String partition, String attempt) {
    return spool.getOrDefault(partition + "/" + attempt, List.of());
  }

  synchronized String sealedBy(String partition) {
    return sealedBy.get(partition);
  }

  /** As if another attempt had sealed it. */
  synchronized void seal(String partition, String attempt) {
    sealedBy.put(partition, attempt);
  }

  /** Forgets what it has acknowledged, as it must not. */
  synchronized void lose(String partition, String attempt) {
    spool.remove(partition + "/" + attempt);
  }

  @Override
  public Runnable acceptPut(
      CallContext context, FlightStream stream, StreamListener<PutResult> answers) {
    return () -> {
      try {
        take(stream, answers);
        answers.onCompleted();
      } catch (Exception e) {
        answers.onError(e);
      }
    };
  }

  private void take(FlightStream stream, StreamListener<PutResult> answers) throws Exception {
    VectorSchemaRoot root = stream.getRoot();
    List<String> path = stream.getDescriptor().getPath();
    String partition = path.get(4);
    String attempt = path.get(5);
    List<Integer> rows;
    synchronized (this) {
      calls++;
      checkNotTaken(partition, attempt);
      if (refusesOldBatches && Long.parseLong(partition.split("-")[0]) <= lastBatch) {
        throw CallStatus.INVALID_ARGUMENT
            .withDescription("batch " + lastBatch + " of producer p is committed")
            .toRuntimeException();
      }
      rows = spool.computeIfAbsent(partition + "/" + attempt, key -> new ArrayList<>());
      answer(answers, "{\"offset\":" + rows.size() + "}");
    }
    int said = -1;
    for (int batch = 0; stream.next(); batch++) {
      JsonNode metadata = metadataOf(stream);
      if (metadata.has("rows")) {
        said = metadata.get("rows").asInt();
        continue;
      }
      beforeBatch.accept(batch);
      IntVector ids = (IntVector) root.getVector("id");
      synchronized (this) {
        checkNotTaken(partition, attempt);
        checkOffset(metadata.get("offset").asInt(), rows.size());
        for (int i = 0; i < root.getRowCount(); i++) {
          rows.add(ids.get(i));
        }
      }
      afterBatch.accept(batch);
      answer(answers, "{\"offset\":" + rows.size() + "}");
    }
    beforeSeal.run();
    if (said != rows.size()) {
      throw CallStatus.INVALID_ARGUMENT
          .withDescription("the producer says " + said + " rows, there are " + rows.size())
          .toRuntimeException();
    }
    synchronized (this) {
      checkNotTaken(partition, attempt);
      sealedBy.put(partition, attempt);
    }
    afterSeal.run();
    answer(answers, "{\"sealed\":true,\"rows\":" + rows.size() + ",\"crc32c\":1}");
  }

  private void checkNotTaken(String partition, String attempt) {
    if (!sealedBy.getOrDefault(partition, attempt).equals(attempt)) {
      throw CallStatus.ALREADY_EXISTS
          .withDescription("another attempt of the partition is sealed")
          .toRuntimeException();
    }
  }

  private static JsonNode metadataOf(FlightStream stream) throws Exception {
    ArrowBuf metadata = stream.getLatestMetadata();
    byte[] bytes = new byte[(int) metadata.readableBytes()];
    metadata.getBytes(metadata.readerIndex(), bytes);
    return JSON.readTree(bytes);
  }

  private void checkOffset(int offset, int rows) {
    if (offset != rows) {
      throw CallStatus.INVALID_ARGUMENT
          .withDescription("a batch begins at row " + offset + ", not at " + rows)
          .toRuntimeException();
    }
  }

  private void answer(StreamListener<PutResult> answers, String json) {
    byte[] bytes = json.getBytes(StandardCharsets.UTF_8);
    try (ArrowBuf buffer = allocator.buffer(bytes.length)) {
      buffer.writeBytes(bytes);
      answers.onNext(PutResult.metadata(buffer));
    }
  }

  @Override
  public FlightInfo getFlightInfo(CallContext context, FlightDescriptor descriptor) {
    Ticket ticket = new Ticket("secret".getBytes(StandardCharsets.UTF_8));
    Location here = Location.forGrpcInsecure("127.0.0.1", server.getPort());
    return new FlightInfo(
        new Schema(List.of()), descriptor, List.of(new FlightEndpoint(ticket, here)), -1, -1);
  }

  @Override
  public synchronized void doAction(
      CallContext context, Action action, StreamListener<Result> answers) {
    try {
      JsonNode body = JSON.readTree(action.getBody());
      if (!body.get("job").asText().equals("j")) {
        throw CallStatus.NOT_FOUND.withDescription("there is no job here").toRuntimeException();
      }
      actions.add(action.getType() + " " + body);
      if (body.has("batch")) {
        boolean published = publish(body);
        String answer = "{\"published\":" + published + "}";
        answers.onNext(new Result(answer.getBytes(StandardCharsets.UTF_8)));
        answers.onCompleted();
        return;
      }
      StringBuilder partitions = new StringBuilder();
      sealedBy.forEach(
          (partition, attempt) ->
              partitions
                  .append(partitions.length() == 0 ? "" : ",")
                  .append(
                      String.format(
                          "{\"producer\":\"p\",\"partition\":\"%s\",\"attempt\":\"%s\","
                              + "\"rows\":\"%d\"}",
                          partition, attempt, rows(partition, attempt).size())));
      String status =
          "{\"producers\":["
              + (committed.isEmpty() ? "" : "{\"name\":\"" + committed + "\",\"committed\":true}")
              + "],\"partitions\":["
              + partitions
              + "]}";
      answers.onNext(new Result(status.getBytes(StandardCharsets.UTF_8)));
      answers.onCompleted();
    } catch (Exception e) {
      answers.onError(e);
    }
  }

  private boolean publish(JsonNode body) {
    if (body.get("batch").asLong() <= lastBatch) {
      return false;
    }
    for (JsonNode partition : body.get("partitions")) {
      String name = partition.get("partition").asText();
      if (!partition.get("attempt").asText().equals(sealedBy.get(name))) {
        throw CallStatus.INVALID_ARGUMENT
            .withDescription("partition " + name + " is not sealed by that attempt")
            .toRuntimeException();
      }
    }
    lastBatch = body.get("batch").asLong();
    return true;
  }

  /** Answers each row with its id and a half. */
  @Override
  public void doExchange(CallContext context, FlightStream rows, ServerStreamListener answers) {
    synchronized (this) {
      calls++;
    }
    Field prediction = Field.notNullable("prediction", new ArrowType.Int(64, true));
    Field probability =
        Field.notNullable(
            "probability", new ArrowType.FloatingPoint(FloatingPointPrecision.SINGLE));
    try (VectorSchemaRoot root =
        VectorSchemaRoot.create(new Schema(List.of(prediction, probability)), allocator)) {
      answers.start(root);
      for (int batch = 0; rows.next(); batch++) {
        beforeAnswer.accept(batch);
        IntVector ids = (IntVector) rows.getRoot().getVector("id");
        BigIntVector predictions = (BigIntVector) root.getVector(0);
        Float4Vector probabilities = (Float4Vector) root.getVector(1);
        for (int i = 0; i < rows.getRoot().getRowCount(); i++) {
          predictions.setSafe(i, ids.get(i));
          probabilities.setSafe(i, 0.5f);
        }
        root.setRowCount(rows.getRoot().getRowCount());
        answers.putNext();
      }
      answers.completed();
    } catch (RuntimeException e) {
      answers.error(e);
    }
  }

  @Override
  public void close() throws IOException {
    try {
      server.close();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    // The allocator is left: Flight's server does not always free what a client was still
    // sending, and it is the client's memory that is tested.
  }
}
