package tfd.spark;

import java.io.Serializable;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The options of one write, checked. Immutable. */
final class WriteOptions implements Serializable {
  private static final long serialVersionUID = 1;
  private static final List<String> NAMES =
      List.of(
          "coordinator", "token", "job", "dataset", "spec", "producer", "batchBytes", "timeout");
  // Of a streaming query: Spark hands its own option on.
  private static final String CHECKPOINT = "checkpointLocation";
  private static final long SMALLEST_BATCH = 1 << 10;
  // A feed takes messages of 64 MiB; a batch may be longer than asked for by one row.
  private static final long LARGEST_BATCH = 32 << 20;
  private static final Pattern SIZE = Pattern.compile("(\\d{1,12})\\s*(B|KiB|MiB)?");
  private static final Pattern DURATION = Pattern.compile("(\\d{1,9})\\s*(ms|s|m|h)");

  /** HOST:PORT. */
  final String coordinator;

  /** For the coordinator; empty where it wants none. */
  final String token;

  final String job;
  final String dataset;

  /** A spec that is submitted as the job first; empty: the job is there. */
  final String spec;

  /** Empty: each write is a producer of its own. */
  final String producer;

  final long batchBytes;

  /** How long anything may make no progress. */
  final Duration timeout;

  private WriteOptions(Map<String, String> given) {
    coordinator = address(required(given, "coordinator", "HOST:PORT, as `tfd up` prints it"));
    token = given.getOrDefault("token", "");
    job = required(given, "job", "the id that `tfd jobs` shows");
    dataset = given.getOrDefault("dataset", "train");
    spec = given.getOrDefault("spec", "");
    producer = given.getOrDefault("producer", "");
    batchBytes = size("batchBytes", given.getOrDefault("batchBytes", "1MiB"));
    timeout = duration("timeout", given.getOrDefault("timeout", "2m"));
  }

  static WriteOptions parse(Map<String, String> options) {
    Map<String, String> given = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
    for (Map.Entry<String, String> option : options.entrySet()) {
      String name = option.getKey();
      if (name.equalsIgnoreCase(CHECKPOINT)) {
        continue;
      }
      if (NAMES.stream().noneMatch(name::equalsIgnoreCase)) {
        throw new TfdException(unknown(name));
      }
      given.put(name, option.getValue());
    }
    return new WriteOptions(given);
  }

  /** What is needed to write as these say to a job that is there. */
  Map<String, String> toMap() {
    Map<String, String> map = new HashMap<>();
    map.put("coordinator", coordinator);
    map.put("token", token);
    map.put("job", job);
    map.put("dataset", dataset);
    map.put("batchBytes", Long.toString(batchBytes));
    boolean isShort = timeout.toSeconds() == 0;
    map.put("timeout", isShort ? timeout.toMillis() + "ms" : timeout.toSeconds() + "s");
    return map;
  }

  /** What the dataset is called in messages. */
  String target() {
    return "dataset " + dataset + " of job " + job;
  }

  @Override
  public String toString() {
    return "tfd: " + target() + " at " + coordinator;
  }

  private static String unknown(String name) {
    if (name.equalsIgnoreCase("path")) {
      return "the format tfd takes no path: write .save() and name .option(\"job\", ID)";
    }
    List<String> known = new ArrayList<>(NAMES);
    known.sort((a, b) -> Integer.compare(distance(name, a), distance(name, b)));
    return "the format tfd has no option \""
        + name
        + "\": did you mean \""
        + known.get(0)
        + "\"? There are "
        + String.join(", ", NAMES);
  }

  private static String required(Map<String, String> given, String name, String what) {
    String value = given.getOrDefault(name, "").trim();
    if (value.isEmpty()) {
      throw new TfdException("the option \"" + name + "\" is missing: " + what);
    }
    return value;
  }

  private static String address(String text) {
    int colon = text.lastIndexOf(':');
    String port = text.substring(colon + 1);
    if (colon < 1 || text.contains("/") || !port.matches("\\d{1,5}")) {
      throw new TfdException(
          "the option \"coordinator\" is \"" + text + "\": it must be HOST:PORT, without a scheme");
    }
    return text;
  }

  private static long size(String name, String text) {
    Matcher matcher = SIZE.matcher(text.trim());
    long bytes = -1;
    if (matcher.matches()) {
      String unit = matcher.group(2) == null ? "B" : matcher.group(2);
      int shift = unit.equals("MiB") ? 20 : unit.equals("KiB") ? 10 : 0;
      bytes = Long.parseLong(matcher.group(1)) << shift;
    }
    if (bytes < SMALLEST_BATCH || bytes > LARGEST_BATCH) {
      throw new TfdException(
          "the option \""
              + name
              + "\" is \""
              + text
              + "\": it must be 1KiB to 32MiB, such as 1MiB or 1048576");
    }
    return bytes;
  }

  static Duration duration(String name, String text) {
    Matcher matcher = DURATION.matcher(text.trim());
    if (!matcher.matches() || Long.parseLong(matcher.group(1)) == 0) {
      throw new TfdException(
          "the option \"" + name + "\" is \"" + text + "\": it must be such as 30s or 2m");
    }
    long number = Long.parseLong(matcher.group(1));
    switch (matcher.group(2)) {
      case "ms":
        return Duration.ofMillis(number);
      case "s":
        return Duration.ofSeconds(number);
      case "m":
        return Duration.ofMinutes(number);
      default:
        return Duration.ofHours(number);
    }
  }

  /** Levenshtein's. */
  private static int distance(String left, String right) {
    String a = left.toLowerCase(Locale.ROOT);
    String b = right.toLowerCase(Locale.ROOT);
    int[] row = new int[b.length() + 1];
    for (int j = 0; j <= b.length(); j++) {
      row[j] = j;
    }
    for (int i = 1; i <= a.length(); i++) {
      int diagonal = row[0];
      row[0] = i;
      for (int j = 1; j <= b.length(); j++) {
        int replaced = diagonal + (a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1);
        diagonal = row[j];
        row[j] = Math.min(replaced, 1 + Math.min(row[j], row[j - 1]));
      }
    }
    return row[b.length()];
  }
}
