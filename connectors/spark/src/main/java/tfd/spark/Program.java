package tfd.spark;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * The program tfd on the driver's PATH: what submits, shows and ends jobs. It knows the language of
 * specs and says what is wrong with one. Stateless.
 */
final class Program {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final long SECONDS = 60;

  private Program() {}

  /**
   * Idempotent: the same spec under the same id is one job. `more` are arguments such as
   * --overwrite.
   */
  static void submit(String coordinator, String spec, String job, List<String> more) {
    List<String> command = new ArrayList<>(List.of("submit", spec, "--id", job, "--detach"));
    command.addAll(more);
    run(coordinator, command);
  }

  /** The job as it is, as `tfd job ID --json` has it. */
  static JsonNode job(String coordinator, String job) {
    String said = run(coordinator, List.of("job", job, "--json"));
    try {
      return JSON.readTree(said);
    } catch (JsonProcessingException e) {
      throw new TfdException("`tfd job " + job + " --json` gives no JSON: " + said, e);
    }
  }

  /** Ends a job, if it has not ended. */
  static void cancel(String coordinator, String job) {
    run(coordinator, List.of("cancel", job));
  }

  // What it writes to its standard output.
  private static String run(String coordinator, List<String> arguments) {
    List<String> command = new ArrayList<>(List.of("tfd"));
    command.addAll(arguments);
    command.addAll(List.of("--coordinator", coordinator));
    try {
      File output = File.createTempFile("tfd-", ".out");
      try {
        File errors = File.createTempFile("tfd-", ".err");
        try {
          return run(command, output, errors);
        } finally {
          Files.delete(errors.toPath());
        }
      } finally {
        Files.delete(output.toPath());
      }
    } catch (IOException e) {
      throw new TfdException(
          "submitting and following jobs needs the program tfd on the driver's PATH: "
              + e.getMessage(),
          e);
    }
  }

  private static String run(List<String> command, File output, File errors) throws IOException {
    Process process =
        new ProcessBuilder(command).redirectOutput(output).redirectError(errors).start();
    try {
      process.getOutputStream().close();
      if (!process.waitFor(SECONDS, TimeUnit.SECONDS)) {
        throw new TfdException(String.join(" ", command) + " has not ended in " + SECONDS + " s");
      }
    } catch (InterruptedException e) {
      throw Patience.interrupted();
    } finally {
      process.destroyForcibly();
    }
    String said = text(output);
    if (process.exitValue() != 0) {
      String why = (text(errors) + " " + said).strip().replaceAll("\\s*\\R\\s*", " ");
      throw new TfdException(String.join(" ", command) + " failed: " + why);
    }
    return said;
  }

  private static String text(File file) throws IOException {
    return new String(Files.readAllBytes(file.toPath()), StandardCharsets.UTF_8);
  }
}
