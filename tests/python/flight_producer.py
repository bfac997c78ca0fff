"""A producer as any Flight client can be one: stock pyarrow.flight and JSON.

    producer = Producer("my-job", "train", "me", coordinator="127.0.0.1:7070")
    producer.begin()
    for number, table in enumerate(tables):
        producer.push(str(number), table)
    producer.commit()

Run as a program it pushes one partition, prints every PutResult as a line and
can stop in the middle, to be killed there:

    python flight_producer.py --feed grpc+tcp://HOST:PORT --token-file FILE \\
        --path jobs,JOB,DATASET,PRODUCER,PARTITION,ATTEMPT \\
        [--rows-per-batch N] [--stop-at ROWS] FILE.arrow
"""

import argparse
import dataclasses
import json
import pathlib
import sys
import threading
import uuid

import pyarrow
from pyarrow import flight


# Of any call, so that a test fails rather than hangs.
CALL_SECONDS = 120


@dataclasses.dataclass
class Sealed:
    """A partition that is sealed."""

    partition: str
    attempt: str
    rows: int
    crc32c: int


def call_options(token=None):
    headers = [(b"authorization", b"Bearer " + token.encode())] if token else []
    return flight.FlightCallOptions(timeout=CALL_SECONDS, headers=headers)


class PartitionWriter:
    """One DoPut call. `offset` is the row to begin at."""

    def __init__(self, client, token, path, schema):
        descriptor = flight.FlightDescriptor.for_path(*path)
        self.writer, self.reader = client.do_put(
            descriptor, schema, call_options(token)
        )
        first = self.read_result()
        if first is None:
            self.writer.close()  # raises what the feed has said
        self.offset = first["offset"]

    def read_result(self):
        """The next PutResult, or None at the end."""
        buffer = self.reader.read()
        return None if buffer is None else json.loads(buffer.to_pybytes())

    def write(self, table, rows_per_batch=10_000, say_offsets=True):
        """Sends the rows from `offset` on."""
        at = self.offset
        for batch in table.slice(at).to_batches(max_chunksize=rows_per_batch):
            if say_offsets:
                metadata = json.dumps({"offset": at}).encode()
                self.writer.write_with_metadata(batch, metadata)
            else:
                self.writer.write_batch(batch)
            at += batch.num_rows

    def wait_for(self, rows):
        """Reads until that many rows are acknowledged."""
        while (result := self.read_result()) is not None:
            if result["offset"] >= rows:
                return
        raise AssertionError(f"the stream ended before {rows} rows were taken")

    def seal(self, rows=None):
        """Ends the partition, of so many rows if that is given; gives the last
        PutResult."""
        if rows is not None:
            self.writer.write_metadata(json.dumps({"rows": rows}).encode())
        self.writer.done_writing()
        last = None
        while (result := self.read_result()) is not None:
            last = result
        self.writer.close()
        return last


class Producer:
    """Pushes partitions of one dataset and commits them."""

    def __init__(self, job, dataset, name, coordinator=None, feed=None, token=None):
        """Asks `coordinator` (HOST:PORT or a location) where to push; or pushes
        to `feed` with `token`."""
        self.job, self.dataset, self.name = job, dataset, name
        self.sealed = []
        self._lock = threading.Lock()
        self._endpoints = [(feed, token)] if feed else []
        self._feeds = []
        self._coordinator = None
        if coordinator:
            if "://" not in coordinator:
                coordinator = f"grpc+tcp://{coordinator}"
            self._coordinator = flight.connect(coordinator)

    def endpoints(self):
        """(location, token) of every node to push to. Asked once."""
        with self._lock:
            if not self._endpoints:
                path = flight.FlightDescriptor.for_path("jobs", self.job, self.dataset)
                info = self._coordinator.get_flight_info(path, call_options())
                self._endpoints = [
                    (e.locations[0].uri.decode(), e.ticket.ticket.decode())
                    for e in info.endpoints
                ]
            return self._endpoints

    def feeds(self):
        """(client, token) of every node to push to."""
        endpoints = self.endpoints()
        with self._lock:
            if not self._feeds:
                self._feeds = [(flight.connect(at), token) for at, token in endpoints]
            return self._feeds

    def path(self, partition, attempt):
        return ["jobs", self.job, self.dataset, self.name, partition, attempt]

    def open(self, partition, attempt, schema, feed=0):
        client, token = self.feeds()[feed % len(self.feeds())]
        return PartitionWriter(client, token, self.path(partition, attempt), schema)

    def push(self, partition, table, attempt=None, rows_per_batch=10_000, feed=0):
        """Pushes a partition, from where its attempt is; gives it Sealed."""
        attempt = attempt or uuid.uuid4().hex
        stream = self.open(partition, attempt, table.schema, feed)
        stream.write(table, rows_per_batch)
        last = stream.seal(table.num_rows)
        assert last is not None and last.get("sealed") is True, last
        sealed = Sealed(partition, attempt, last["rows"], last["crc32c"])
        with self._lock:
            self.sealed.append(sealed)
        return sealed

    def _action(self, kind, **more):
        body = {"job": self.job, "dataset": self.dataset, **more}
        action = flight.Action(kind, json.dumps(body).encode())
        results = list(self._coordinator.do_action(action, call_options()))
        return json.loads(results[0].body.to_pybytes()) if results else None

    def begin(self):
        return self._action("begin", producer=self.name)

    def commit(self):
        """Commits all that push has sealed."""
        partitions = [
            {"partition": s.partition, "attempt": s.attempt, "rows": s.rows}
            for s in self.sealed
        ]
        return self._action("commit", producer=self.name, partitions=partitions)

    def abort(self):
        return self._action("abort", producer=self.name)

    def status(self):
        return self._action("status")


def write_table(path, table):
    with pyarrow.OSFile(str(path), "wb") as sink:
        with pyarrow.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)


def read_table(path):
    with pyarrow.memory_map(str(path)) as source:
        return pyarrow.ipc.open_stream(source).read_all()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--feed", required=True)
    parser.add_argument("--token-file", required=True, type=pathlib.Path)
    parser.add_argument("--path", required=True)
    parser.add_argument("--rows-per-batch", type=int, default=10_000)
    parser.add_argument("--stop-at", type=int, help="wait after so many rows")
    options = parser.parse_args()

    table = read_table(options.file)
    stream = PartitionWriter(
        flight.connect(options.feed),
        options.token_file.read_text(),
        options.path.split(","),
        table.schema,
    )
    print(json.dumps({"offset": stream.offset}), flush=True)
    if options.stop_at is not None:
        stream.write(table.slice(0, options.stop_at), options.rows_per_batch)
        stream.wait_for(options.stop_at)
        print(json.dumps({"offset": options.stop_at}), flush=True)
        sys.stdin.read()  # until it is killed
    stream.write(table, options.rows_per_batch)
    print(json.dumps(stream.seal()), flush=True)


if __name__ == "__main__":
    main()
