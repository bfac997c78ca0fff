"""A real `tfd-data feed` beside a fake coordinator."""

import json
import os
import pathlib
import queue
import resource
import subprocess
import tempfile
import threading

BUILD_FOLDER = pathlib.Path(
    os.environ.get(
        "TFD_BUILD_DIR", pathlib.Path(__file__).parents[2] / "build" / "release"
    )
)
TFD_DATA = BUILD_FOLDER / "bin" / "tfd-data"
FAKE_COORDINATOR = BUILD_FOLDER / "tests" / "tfd_fake_coordinator"
WAIT_SECONDS = 60


def encode_varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def message(*fields):
    """A protobuf message of (number, int | bytes | str)."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += encode_varint(number << 3) + encode_varint(value)
        else:
            value = value.encode() if isinstance(value, str) else value
            out += encode_varint(number << 3 | 2) + encode_varint(len(value)) + value
    return out


def job_spec(columns, spool_bytes, classes):
    """A serialized tfd.v1.JobSpec with pushed training data. (Its numbers are in
    proto/tfd/v1/job_spec.proto.)"""
    entries = [(5, message((1, key), (2, name))) for key, name in columns.items()]
    dataset = message((1, 3), *entries, (6, 64), (9, 1), (10, spool_bytes))
    model = message((3, classes))
    return message((1, "pushed"), (2, model), (7, message((1, dataset))))


class Lines:
    """The lines of JSON that a process prints, one after the other."""

    def __init__(self, stream):
        self._lines = queue.Queue()
        self._thread = threading.Thread(target=self._read, args=(stream,))
        self._thread.start()

    def _read(self, stream):
        for line in stream:
            self._lines.put(json.loads(line))
        self._lines.put(None)
        stream.close()

    def next(self):
        return self._lines.get(timeout=WAIT_SECONDS)

    def join(self):
        self._thread.join(timeout=WAIT_SECONDS)


class Feed:
    """Both, started; `close` ends them."""

    job = "job-1"
    token = "job-token"
    feed_token = "feed-token"

    def __init__(
        self,
        folder,
        columns={"features": "image", "label": "label"},
        spool_bytes=1 << 30,
        classes=10,
    ):
        self.folder = folder
        self.spool = folder / "spool"
        # Unix sockets have short paths, pytest's folders long ones.
        self._sockets = tempfile.TemporaryDirectory(prefix="tfdf-", dir="/tmp")
        (folder / "token").write_text(self.token)
        (folder / "feed-token").write_text(self.feed_token)
        (folder / "spec.pb").write_bytes(job_spec(columns, spool_bytes, classes))
        self._coordinator = subprocess.Popen(
            [FAKE_COORDINATOR, self._address(), self.token],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lines = Lines(self._coordinator.stdout)
        assert self._lines.next() == {}
        self.process = None
        self.start()

    def _address(self):
        return self._sockets.name + "/c"

    def launch(self):
        """Starts the process and does not wait."""
        environment = {
            "TFD_COORDINATOR": "unix:" + self._address(),
            "TFD_JOB": self.job,
            "TFD_TASK": "feed/0",
            "TFD_GENERATION": "1",
            "TFD_TOKEN_FILE": str(self.folder / "token"),
            "TFD_FEED_TOKEN_FILE": str(self.folder / "feed-token"),
            "TFD_SPEC_FILE": str(self.folder / "spec.pb"),
            "TFD_EXIT_FILE": str(self.folder / "exit_message"),
            "TFD_SOCKET_FOLDER": self._sockets.name,
            "TFD_SPOOL_FOLDER": str(self.spool),
        }
        with open(self.folder / "feed.log", "a") as log:
            self.process = subprocess.Popen(
                [TFD_DATA, "feed"], env=environment, stderr=log
            )

    def start(self):
        """Starts the feed and waits for its hello."""
        self.launch()
        line = self._lines.next()
        assert line and "hello" in line, (line, self.log())
        self.hello = line["hello"]
        self.location = "grpc+tcp://" + self.hello["endpoint"]["tcp"]

    def log(self):
        return (self.folder / "feed.log").read_text()

    def kill(self):
        """SIGKILL, as an accident does it."""
        self.process.kill()
        self.process.wait(timeout=WAIT_SECONDS)

    def stop(self):
        """SIGTERM, as an agent does it; gives the exit code."""
        self.process.terminate()
        return self.process.wait(timeout=WAIT_SECONDS)

    def next_seal(self):
        """The next partition that was granted."""
        line = self._lines.next()
        assert line and "partition" in line, (line, self.log())
        return line["partition"]

    def next_notice(self):
        """The next thing that the feed has to say to people."""
        line = self._lines.next()
        assert line and "spoolNotice" in line, (line, self.log())
        return line["spoolNotice"]

    def abort(self, producer):
        """The producer drops all that it has pushed, and may begin anew."""
        self._coordinator.stdin.write(producer + "\n")
        self._coordinator.stdin.flush()

    def fill_disk(self, size_bytes):
        """No file of the feed may be larger; None: as large as it likes."""
        hard = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)[1]
        soft = hard if size_bytes is None else size_bytes
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (soft, hard))

    def close(self):
        if self.process.poll() is None:
            self.kill()
        self._coordinator.stdin.close()
        self._coordinator.wait(timeout=WAIT_SECONDS)
        self._lines.join()
        self._sockets.cleanup()
