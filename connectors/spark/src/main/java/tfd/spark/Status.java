package tfd.spark;

import java.net.ConnectException;
import java.net.SocketException;
import java.net.UnknownHostException;
import org.apache.arrow.flight.FlightRuntimeException;
import org.apache.arrow.flight.FlightStatusCode;

/** What a failed call says. */
final class Status {
  private Status() {}

  /** In one line. */
  static String words(FlightRuntimeException e) {
    String said = e.status().description();
    Throwable cause = e.status().cause();
    // gRPC says "io exception" and keeps what it was to itself.
    if (isConnection(e) && cause != null && cause.getMessage() != null) {
      said = cause.getMessage();
    }
    if (said == null || said.isEmpty()) {
      said = e.status().code().toString();
    }
    return said.replaceAll("\\s*\\R\\s*", " ");
  }

  /** Whether there was no connection, rather than a server that said so. */
  static boolean isConnection(FlightRuntimeException e) {
    for (Throwable cause = e.status().cause(); cause != null; cause = cause.getCause()) {
      if (cause instanceof ConnectException
          || cause instanceof SocketException
          || cause instanceof UnknownHostException) {
        return true;
      }
    }
    return false;
  }

  /**
   * Whether the batch of a stream that this belongs to is committed already: Spark writes one again
   * when it has died before it knew. Flight has no code for FAILED_PRECONDITION.
   */
  static boolean saysCommitted(FlightRuntimeException e) {
    return e.status().code() == FlightStatusCode.INVALID_ARGUMENT
        && words(e).matches(".*\\bbatch \\d+\\b.*\\bcommitted\\b.*");
  }

  /**
   * Whether the same attempt may go on. The feed's own refusals are not among these: trying again
   * would not change them. INTERNAL is also ABORTED ("written by another stream") and what gRPC
   * makes of a connection that broke.
   */
  static boolean isWorthAnotherTry(FlightRuntimeException e) {
    FlightStatusCode code = e.status().code();
    return code == FlightStatusCode.UNAVAILABLE
        || code == FlightStatusCode.INTERNAL
        || code == FlightStatusCode.CANCELLED
        || code == FlightStatusCode.TIMED_OUT;
  }
}
