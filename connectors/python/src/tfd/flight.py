"""The feed's calls over Arrow Flight, as docs/feed.md has them: actions at the
coordinator, and one DoPut per try to push a partition."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import pyarrow
from pyarrow import flight

from tfd import errors
from tfd.address import flight_location
from tfd.tables import row_bytes

# Of one call to the coordinator.
_CALL_SECONDS = 10.0
# A batch is a message: large enough that messages cost little, small enough that
# the feed, which holds two of each stream, stays small.
_BATCH_BYTES = 1 << 20
# As common/net/channel.cc has them.
_CHANNEL_OPTIONS: list[tuple[str, int | str]] = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 20000),
    ("grpc.keepalive_timeout_ms", 20000),
    ("grpc.enable_http_proxy", 0),
]


def _connect(location: str) -> flight.FlightClient:
    return flight.FlightClient(location, generic_options=_CHANNEL_OPTIONS)


def call_options(token: str | None, timeout: float | None) -> flight.FlightCallOptions:
    headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
    return flight.FlightCallOptions(timeout=timeout, headers=headers)


class DatasetClient:
    """One dataset of one job, at the coordinator. Thread-safe. Raises TfdError."""

    def __init__(self, address: str, token: str | None, job: str, dataset: str) -> None:
        self.address, self.job, self.dataset = address, job, dataset
        self._token = token
        self._client = _connect(flight_location(address))

    def act(self, kind: str, **more: Any) -> dict[str, Any]:
        """begin, commit, abort or status; gives the state of the dataset."""
        body = {"job": self.job, "dataset": self.dataset, **more}
        action = flight.Action(kind, json.dumps(body).encode())
        try:
            (result,) = self._client.do_action(
                action, call_options(self._token, _CALL_SECONDS)
            )
            return cast("dict[str, Any]", json.loads(result.body.to_pybytes()))
        except pyarrow.ArrowException as error:
            raise errors.from_flight(error) from None

    def endpoints(self) -> list[tuple[str, str]]:
        """(location, token) of each node to push to. Waits some time for the job to
        run; UNAVAILABLE says what it waits for."""
        path = flight.FlightDescriptor.for_path("jobs", self.job, self.dataset)
        try:
            info = self._client.get_flight_info(
                path, call_options(self._token, _CALL_SECONDS)
            )
        except pyarrow.ArrowException as error:
            raise errors.from_flight(error) from None
        if not info.endpoints:
            raise errors.UnavailableError(
                f"no feed of job {self.job} has said yet where it is", "UNAVAILABLE"
            )
        return [
            (e.locations[0].uri.decode(), e.ticket.ticket.decode())
            for e in info.endpoints
        ]


@dataclass(frozen=True)
class Node:
    """Where a partition is pushed to."""

    client: flight.FlightClient
    location: str
    token: str
    #: Of the answer that named it.
    version: int


class Nodes:
    """The nodes to push to, asked for when they are needed and again when one of
    them does not answer. Thread-safe."""

    def __init__(self, endpoints: Callable[[], list[tuple[str, str]]]) -> None:
        self._endpoints = endpoints
        self._lock = threading.Lock()
        self._version = 0
        self._nodes: list[Node] = []
        # Kept to the end: streams of other threads may be on them.
        self._clients: dict[str, flight.FlightClient] = {}

    def get(self, number: int, broken: Node | None = None) -> Node:
        """The node for the partition of that number; where `broken` has not
        answered, after asking again."""
        # Whoever waits for the lock waits for the same answer.
        with self._lock:
            if not self._nodes or (broken and broken.version == self._version):
                found = self._endpoints()
                self._version += 1
                self._nodes = [
                    Node(self._client(location), location, token, self._version)
                    for location, token in found
                ]
            return self._nodes[number % len(self._nodes)]

    def count(self) -> int:
        """How many there are."""
        self.get(0)
        with self._lock:
            return len(self._nodes)

    def _client(self, location: str) -> flight.FlightClient:
        if location not in self._clients:
            self._clients[location] = _connect(location)
        return self._clients[location]


def _abandon(writer: flight.FlightStreamWriter) -> None:
    """Ends a stream so that its partition is not sealed, whatever is in it. Only the
    feed's refusal does that: closing the writer, or leaving it to the garbage
    collector, says that all is written."""
    with contextlib.suppress(pyarrow.ArrowException):  # It may have ended.
        writer.write_metadata(b"abandoned: this is no offset")
    with contextlib.suppress(pyarrow.ArrowException):
        writer.close()


def put(
    node: Node,
    path: tuple[str, ...],
    table: pyarrow.Table,
    timeout: float,
    on_rows: Callable[[int], None],
) -> int:
    """Pushes the rows of a partition that its attempt does not have yet and has it
    sealed; gives the number of rows. `on_rows` is told how many of them have gone
    out so far, and may raise to end it."""
    descriptor = flight.FlightDescriptor.for_path(*path)
    try:
        writer, results = node.client.do_put(
            descriptor, table.schema, call_options(node.token, timeout)
        )
        try:
            sealed = _write(writer, results, table, on_rows)
        except BaseException:
            _abandon(writer)
            raise
        writer.close()
    except pyarrow.ArrowException as error:
        raise errors.from_flight(error) from None
    if sealed != table.num_rows:
        raise errors.TfdError(
            f"partition {path[4]} was sealed with {sealed} rows instead of "
            f"{table.num_rows}: this is a bug, please report it"
        )
    return sealed


def _write(
    writer: flight.FlightStreamWriter,
    results: flight.FlightMetadataReader,
    table: pyarrow.Table,
    on_rows: Callable[[int], None],
) -> int:
    first = results.read()
    if first is None:
        writer.close()  # raises why it is refused
    at = json.loads(first.to_pybytes())["offset"]
    on_rows(at)
    rows = max(1, int(_BATCH_BYTES / row_bytes(table)))
    for batch in table.slice(at).to_batches(max_chunksize=rows):
        # The offset is checked, so that no row can come twice or be left out.
        writer.write_with_metadata(batch, json.dumps({"offset": at}).encode())
        at += batch.num_rows
        on_rows(at)
    # Sealed with so many, or not at all.
    writer.write_metadata(json.dumps({"rows": table.num_rows}).encode())
    writer.done_writing()
    last: dict[str, Any] = {}
    while (result := results.read()) is not None:
        last = json.loads(result.to_pybytes())
    if not last.get("sealed"):
        writer.close()  # raises why it is not
    return int(last.get("rows", -1))
