package tfd.spark;

import java.io.Serializable;
import java.net.InetAddress;
import java.net.NetworkInterface;
import java.net.SocketException;
import java.net.UnknownHostException;
import java.util.ArrayList;
import java.util.List;

/** A feed: where it serves, and the token for it. Immutable. */
final class Endpoint implements Serializable {
  private static final long serialVersionUID = 1;

  final String host;
  final int port;
  final String token;

  Endpoint(String host, int port, String token) {
    this.host = host;
    this.port = port;
    this.token = token;
  }

  /**
   * Which of them a partition is pushed to: one on this host where there is one, so that no row
   * crosses the network; partitions take turns.
   */
  static int choose(List<Endpoint> endpoints, int partition) {
    List<Integer> local = new ArrayList<>();
    for (int i = 0; i < endpoints.size(); i++) {
      if (endpoints.get(i).isLocal()) {
        local.add(i);
      }
    }
    return local.isEmpty() ? partition % endpoints.size() : local.get(partition % local.size());
  }

  private boolean isLocal() {
    try {
      InetAddress address = InetAddress.getByName(host);
      return address.isLoopbackAddress() || NetworkInterface.getByInetAddress(address) != null;
    } catch (UnknownHostException | SocketException e) {
      return false;
    }
  }

  // Without the token: this is in messages.
  @Override
  public String toString() {
    return host + ":" + port;
  }
}
