package tfd.spark;

/**
 * What a user is told: its message is one line that says what failed and what to do about it.
 *
 * <p>An IllegalArgumentException because PySpark shows those without a Java stack trace.
 */
public final class TfdException extends IllegalArgumentException {
  private static final long serialVersionUID = 1;

  public TfdException(String message) {
    super(message);
  }

  public TfdException(String message, Throwable cause) {
    super(message, cause);
  }
}
