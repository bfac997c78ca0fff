package tfd.spark;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;

/**
 * Stands between a client and a server of this machine, for one connection, and hands the server's
 * bytes on in small pieces, so that what the client reads ends anywhere.
 */
final class SlicingProxy implements AutoCloseable {
  private static final int SLICE = 7;
  private static final int WHOLE = 1 << 16;

  private final ServerSocket listener = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
  private final Socket server;
  private volatile Socket client;

  SlicingProxy(Endpoint endpoint) throws IOException {
    server = new Socket(endpoint.host, endpoint.port);
    start(
        () -> {
          client = listener.accept();
          client.setTcpNoDelay(true);
          start(() -> copy(client, server, WHOLE));
          copy(server, client, SLICE);
        });
  }

  Endpoint endpoint() {
    return new Endpoint("127.0.0.1", listener.getLocalPort(), "secret");
  }

  private interface Work {
    void run() throws IOException;
  }

  private static void start(Work work) {
    Thread thread =
        new Thread(
            () -> {
              try {
                work.run();
              } catch (IOException e) {
                // One of them has ended the connection.
              }
            });
    thread.setDaemon(true);
    thread.start();
  }

  private static void copy(Socket from, Socket to, int slice) throws IOException {
    InputStream in = from.getInputStream();
    OutputStream out = to.getOutputStream();
    byte[] bytes = new byte[slice];
    for (int count = in.read(bytes); count >= 0; count = in.read(bytes)) {
      out.write(bytes, 0, count);
    }
  }

  /** Ends the connection, and so the threads. */
  @Override
  public void close() throws IOException {
    listener.close();
    server.close();
    if (client != null) {
      client.close();
    }
  }
}
