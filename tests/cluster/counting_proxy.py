"""A TCP proxy that counts what passes."""

import selectors
import socket
import threading


class CountingProxy:
    """Listens on `address` and passes everything on to HOST:PORT, in both
    directions, until the end of `with`. `bytes` is how many there were."""

    def __init__(self, target):
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self.bytes = 0

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._stopped, wake = socket.socketpair()
        self._selector.register(wake, selectors.EVENT_READ)
        self._wake = wake
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *unused):
        self._stopped.close()
        self._thread.join()

    def _run(self):
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._wake:
                    return self._close()
                if key.fileobj is self._listener:
                    self._connect()
                else:
                    self._pass(key.fileobj, key.data)

    def _connect(self):
        client, _ = self._listener.accept()
        server = socket.create_connection(self._target)
        self._selector.register(client, selectors.EVENT_READ, server)
        self._selector.register(server, selectors.EVENT_READ, client)

    def _pass(self, source, target):
        try:
            data = source.recv(65536)
            target.sendall(data)
        except OSError:
            data = b""
        self.bytes += len(data)
        if not data:
            for end in (source, target):
                if end.fileno() >= 0:
                    self._selector.unregister(end)
                    end.close()

    def _close(self):
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()
