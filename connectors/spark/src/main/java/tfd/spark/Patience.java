package tfd.spark;

import java.time.Duration;

/** How long something is waited for; every progress begins it anew. Thread-compatible. */
final class Patience {
  private final long nanos;
  private long begin = System.nanoTime();

  Patience(Duration duration) {
    nanos = duration.toNanos();
  }

  /** There was progress at this time of System.nanoTime(). */
  void renew(long at) {
    if (at - begin > 0) {
      begin = at;
    }
  }

  boolean isOver() {
    return System.nanoTime() - begin >= nanos;
  }

  /** How long it lasts, for messages. */
  @Override
  public String toString() {
    long milliseconds = nanos / 1_000_000;
    return milliseconds < 1000 ? milliseconds + " ms" : milliseconds / 1000 + " s";
  }

  /** Sleeps; Spark kills a task by an interrupt, which ends it. */
  static void pause(long milliseconds) {
    try {
      Thread.sleep(milliseconds);
    } catch (InterruptedException e) {
      throw interrupted();
    }
  }

  static TfdException interrupted() {
    Thread.currentThread().interrupt();
    return new TfdException("interrupted while it waited");
  }
}
