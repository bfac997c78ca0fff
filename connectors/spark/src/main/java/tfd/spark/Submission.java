package tfd.spark;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * The option "spec": the job is submitted before it is written to. The program tfd does it, because
 * it knows the language of specs and says what is wrong with one.
 */
final class Submission {
  private static final long SECONDS = 60;

  private Submission() {}

  /** Idempotent: the same spec under the same id is one job. */
  static void submit(WriteOptions options) {
    List<String> command =
        List.of(
            "tfd",
            "submit",
            options.spec,
            "--id",
            options.job,
            "--detach",
            "--coordinator",
            options.coordinator);
    try {
      File output = File.createTempFile("tfd-submit", ".log");
      try {
        run(command, output);
      } finally {
        Files.delete(output.toPath());
      }
    } catch (IOException e) {
      throw new TfdException(
          "the option \"spec\" needs the program tfd on the driver's PATH: " + e.getMessage(), e);
    }
  }

  private static void run(List<String> command, File output) throws IOException {
    Process process =
        new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(output).start();
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
    if (process.exitValue() != 0) {
      String said = new String(Files.readAllBytes(output.toPath()), StandardCharsets.UTF_8);
      throw new TfdException(
          String.join(" ", command) + " failed: " + said.strip().replaceAll("\\s*\\R\\s*", " "));
    }
  }
}
