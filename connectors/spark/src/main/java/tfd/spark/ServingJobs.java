package tfd.spark;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The jobs that this driver has submitted to serve models: one for each model, which all that ask
 * for the same share. They end with stop(), or when the JVM ends in order. Thread-safe.
 */
final class ServingJobs {
  private static final Logger LOG = LoggerFactory.getLogger(ServingJobs.class);
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final String NAME = "spark-serve";

  // By coordinator, owner and spec.
  private static final Map<String, Served> JOBS = new HashMap<>();

  private static final class Served {
    final String coordinator;
    final String job;

    Served(String coordinator, String job) {
      this.coordinator = coordinator;
      this.job = job;
    }
  }

  private ServingJobs() {}

  /**
   * The job that serves the model of this spec; submits it if this driver has not, or if it has
   * ended. `owner` is the TfdModel: models that were trained one after the other into one folder
   * are not one.
   */
  static synchronized String start(String coordinator, String owner, String spec) {
    String key = String.join("\n", coordinator, owner, spec);
    Served served = JOBS.get(key);
    if (served != null && !hasEnded(served)) {
      return served.job;
    }
    if (JOBS.isEmpty()) {
      Runtime.getRuntime().addShutdownHook(new Thread(ServingJobs::stopAll, "tfd-stop-serving"));
    }
    served = new Served(coordinator, NAME + "-" + UUID.randomUUID().toString().substring(0, 8));
    submit(served, spec);
    LOG.info("job {} serves {}", served.job, owner);
    JOBS.put(key, served);
    return served.job;
  }

  /** Ends what `owner` has had submitted. */
  static synchronized void stop(String owner) {
    for (Map.Entry<String, Served> entry : new ArrayList<>(JOBS.entrySet())) {
      if (entry.getKey().split("\n")[1].equals(owner)) {
        Served served = JOBS.remove(entry.getKey());
        if (!hasEnded(served)) {
          Program.cancel(served.coordinator, served.job);
        }
      }
    }
  }

  private static synchronized void stopAll() {
    for (Served served : JOBS.values()) {
      try {
        Program.cancel(served.coordinator, served.job);
      } catch (TfdException e) {
        // Nobody is left to be told; logging may have ended, too.
        System.err.println("tfd: job " + served.job + " still serves: " + e.getMessage());
      }
    }
    JOBS.clear();
  }

  private static boolean hasEnded(Served served) {
    return JobView.of(served.coordinator, served.job).hasEnded();
  }

  private static void submit(Served served, String spec) {
    try {
      Path file = Files.createTempFile(NAME, ".yaml");
      try {
        Files.writeString(file, spec);
        Program.submit(served.coordinator, file.toString(), served.job, List.of());
      } finally {
        Files.delete(file);
      }
    } catch (IOException e) {
      throw new TfdException("the spec of " + served.job + " cannot be written: " + e, e);
    }
  }

  /** A spec that serves a model. JSON is YAML, too. */
  static String spec(String model, int workers, int topK, String labels) {
    ObjectNode spec = JSON.createObjectNode().put("name", NAME);
    ObjectNode predict = spec.putObject("predict").put("model", absolute(model));
    if (topK > 1) {
      predict.put("top_k", topK);
    }
    if (!labels.isEmpty()) {
      predict.put("labels", absolute(labels));
    }
    spec.putObject("tasks").putObject("worker").put("count", workers);
    try {
      return JSON.writeValueAsString(spec);
    } catch (JsonProcessingException e) {
      throw new TfdException("the spec of a serving job cannot be written: " + e.getMessage(), e);
    }
  }

  // Paths in a spec are relative to its file, which here is a temporary one.
  private static String absolute(String path) {
    return path.contains("://") ? path : Path.of(path).toAbsolutePath().toString();
  }
}
