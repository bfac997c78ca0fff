package tfd.spark;

import java.util.UUID;

/** Names of attempts: WRITE.RANDOM, so that a write knows its own. */
final class Attempts {
  private Attempts() {}

  static String of(String write, UUID random) {
    return write + "." + random.toString().replace("-", "");
  }

  static boolean isOf(String write, String attempt) {
    return attempt.startsWith(write + ".");
  }
}
