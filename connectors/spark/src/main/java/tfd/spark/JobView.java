package tfd.spark;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;

/** A job as `tfd job ID --json` shows it: see Job in proto/tfd/v1/job.proto. Immutable. */
final class JobView {
  private final JsonNode job;

  JobView(JsonNode job) {
    this.job = job;
  }

  static JobView of(String coordinator, String id) {
    return new JobView(Program.job(coordinator, id));
  }

  String id() {
    return job.path("id").asText();
  }

  String state() {
    return job.path("state").asText();
  }

  boolean hasEnded() {
    return List.of("SUCCEEDED", "FAILED", "CANCELLED").contains(state());
  }

  boolean hasSucceeded() {
    return state().equals("SUCCEEDED");
  }

  /** Where its model is; empty until there is one. */
  String exportUri() {
    return job.path("export_uri").asText("");
  }

  /** The columns with features of a dataset that is pushed, in their order. */
  List<String> features(String dataset) {
    List<String> names = new ArrayList<>();
    for (String name : column(dataset, "features").split(",")) {
      names.add(name.trim());
    }
    return names;
  }

  String label(String dataset) {
    return column(dataset, "label");
  }

  private String column(String dataset, String what) {
    return job.path("spec").path("data").path(dataset).path("columns").path(what).asText(what);
  }

  /** How far it is, in one line. */
  String progress() {
    String step = job.path("step").asText("0");
    String total = job.path("total_steps").asText("0");
    return state()
        + (step.equals("0") ? "" : ", step " + step + (total.equals("0") ? "" : " of " + total))
        + (reason().isEmpty() ? "" : " (" + reason() + ")");
  }

  private String reason() {
    return job.path("reason").asText("");
  }

  /** Why it has failed: which task, how that ended, and its last lines. */
  String cause() {
    JsonNode cause = job.path("cause");
    String message = cause.path("message").asText(reason());
    String task = cause.path("task").asText("");
    StringBuilder text = new StringBuilder(task.isEmpty() ? message : task + " failed: " + message);
    JsonNode lines = cause.path("exit").path("last_lines");
    if (lines.size() > 0) {
      text.append("; its last lines: ");
      for (JsonNode line : lines) {
        text.append(line.asText()).append(" / ");
      }
      text.setLength(text.length() - " / ".length());
    }
    return text.toString();
  }
}
