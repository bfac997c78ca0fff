"""Answers to rows, from the workers of a job that serves a model: Arrow Flight's
DoExchange, docs/predict.md. Rows go straight to the workers, each worker gets a run
of them, and answers come back in the rows' order."""

from __future__ import annotations

import collections
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow
from pyarrow import flight

from tfd import errors
from tfd.flight import DatasetClient, Node, Nodes, call_options
from tfd.tables import row_bytes

#: The place of a dataset's name in the path of a flight.
FLIGHT = "predict"
# A batch is answered at once: large enough that messages cost little, small enough
# that workers and callers are never without one.
_BATCH_BYTES = 1 << 20
# While a worker is being replaced.
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0


class _Patience:
    """How long to go on trying, and when to try again."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.renew()

    def renew(self) -> None:
        """Something has come of it."""
        self._deadline = time.monotonic() + self._seconds
        self._pause = _FIRST_PAUSE_SECONDS

    def left(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    def is_over(self) -> bool:
        return self.left() <= self._pause

    def pause(self) -> float:
        """Longer each time."""
        pause = self._pause
        self._pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        return pause


def predict(source: DatasetClient, table: pyarrow.Table, timeout: float) -> pyarrow.Table:
    """A row of answers for each row of `table`, whose columns are all features."""
    nodes = Nodes(source.endpoints)
    workers = nodes.count()
    runs = max(1, min(workers, table.num_rows))
    edges = [table.num_rows * i // runs for i in range(runs + 1)]
    cancelled = threading.Event()

    def one(number: int) -> pyarrow.Table:
        rows = table.slice(edges[number], edges[number + 1] - edges[number])
        try:
            return _retried(source.job, nodes, number, rows, timeout, cancelled)
        except BaseException:
            cancelled.set()
            raise

    with ThreadPoolExecutor(runs, "tfd-predict") as pool:
        return pyarrow.concat_tables(list(pool.map(one, range(runs))))


def _retried(
    job: str,
    nodes: Nodes,
    number: int,
    rows: pyarrow.Table,
    timeout: float,
    cancelled: threading.Event,
) -> pyarrow.Table:
    patience = _Patience(timeout)
    broken: Node | None = None
    while True:
        try:
            node = nodes.get(number, broken=broken)
            broken = node
            return _exchange(node, job, rows, patience.left(), cancelled.is_set)
        except errors.UnavailableError:
            # Nothing is changed by an answer, so it can be asked for again.
            if patience.is_over() or cancelled.wait(patience.pause()):
                raise


def _exchange(
    node: Node,
    job: str,
    rows: pyarrow.Table,
    timeout: float,
    cancelled: Callable[[], bool],
) -> pyarrow.Table:
    descriptor = flight.FlightDescriptor.for_path("jobs", job, FLIGHT)
    try:
        writer, reader = node.client.do_exchange(
            descriptor, call_options(node.token, timeout)
        )
        failure: list[BaseException] = []

        def write() -> None:
            # Of the two sides the reading one says what was wrong.
            try:
                writer.begin(rows.schema)
                size = max(1, int(_BATCH_BYTES / row_bytes(rows)))
                for batch in rows.to_batches(max_chunksize=size):
                    if cancelled():
                        break
                    writer.write_batch(batch)
                writer.done_writing()
            except BaseException as error:  # noqa: BLE001
                failure.append(error)

        thread = threading.Thread(target=write, name="tfd-predict-write")
        thread.start()
        try:
            answers = reader.read_all()
        finally:
            thread.join()
            writer.close()
    except pyarrow.ArrowException as error:
        raise errors.from_flight(error) from None
    if failure:
        raise failure[0]
    if answers.num_rows != rows.num_rows and not cancelled():
        raise errors.TfdError(
            f"{rows.num_rows} rows got {answers.num_rows} answers from "
            f"{node.location}: this is a bug, please report it"
        )
    return answers


# Enough that neither side waits for the other.
_UNDER_WAY = 4


class _Exchange:
    """One call to a worker: batches go out, and a thread takes the answers in, so
    that the worker is never held up. Used by one thread."""

    def __init__(self, node: Node, job: str, schema: pyarrow.Schema) -> None:
        descriptor = flight.FlightDescriptor.for_path("jobs", job, FLIGHT)
        self.sent = 0
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._location = node.location
        try:
            self._writer, self._reader = node.client.do_exchange(
                descriptor, call_options(node.token, None)
            )
            self._thread = threading.Thread(
                target=self._read, name="tfd-predict-read", daemon=True
            )
            self._thread.start()
            self._writer.begin(schema)
        except pyarrow.ArrowException as error:
            raise errors.from_flight(error) from None

    def _read(self) -> None:
        try:
            self._events.put(self._reader.schema)
            for chunk in self._reader:
                self._events.put(chunk.data)
            self._events.put(
                errors.UnavailableError(f"{self._location} has ended the call")
            )
        except BaseException as error:  # noqa: BLE001: the caller's thread raises it
            self._events.put(error)

    def send(self, batch: pyarrow.RecordBatch) -> None:
        # Of the two sides the reading one says what was wrong.
        with contextlib.suppress(pyarrow.ArrowException, OSError):
            self._writer.write_batch(batch)
        self.sent += 1

    def schema(self, timeout: float) -> pyarrow.Schema:
        """Of the answers; to be asked once, and before them."""
        return self._next(timeout)

    def next(self, timeout: float) -> pyarrow.RecordBatch:
        """The answers to the oldest batch that has none yet."""
        event = self._next(timeout)
        while isinstance(event, pyarrow.Schema):
            event = self._next(timeout)
        self.sent -= 1
        return event

    def _next(self, timeout: float) -> Any:
        try:
            event = self._events.get(timeout=timeout)
        except queue.Empty:
            raise errors.DeadlineError(
                f"{self._location} has answered nothing for {timeout:g} s"
            ) from None
        if isinstance(event, pyarrow.ArrowException):
            raise errors.from_flight(event) from None
        if isinstance(event, BaseException):
            raise event
        return event

    def close(self) -> None:
        self._reader.cancel()
        self._thread.join()
        with contextlib.suppress(pyarrow.ArrowException, OSError):
            self._writer.close()


def answer_schema(
    source: DatasetClient, features: pyarrow.Schema, timeout: float
) -> pyarrow.Schema:
    """The columns of the answers to such rows."""
    exchange = _Exchange(Nodes(source.endpoints).get(0), source.job, features)
    try:
        return exchange.schema(timeout)
    finally:
        exchange.close()


def stream(
    source: DatasetClient,
    number: int,
    batches: Iterator[pyarrow.RecordBatch],
    timeout: float,
) -> Iterator[pyarrow.RecordBatch]:
    """A batch of answers for each batch, in their order; some are always under way.
    `number` says which of the workers is asked: callers take turns."""
    nodes = Nodes(source.endpoints)
    pending: collections.deque[pyarrow.RecordBatch] = collections.deque()
    node: Node | None = None
    exchange: _Exchange | None = None
    patience = _Patience(timeout)
    try:
        while True:
            while len(pending) < _UNDER_WAY:
                batch = next(batches, None)
                if batch is None:
                    break
                pending.append(batch)
            if not pending:
                return
            try:
                if exchange is None:
                    node = nodes.get(number, broken=node)
                    exchange = _Exchange(node, source.job, pending[0].schema)
                while exchange.sent < len(pending):
                    exchange.send(pending[exchange.sent])
                answers = exchange.next(timeout)
            except errors.UnavailableError:
                # Nothing is changed by an answer, so it can be asked for again.
                if exchange is not None:
                    exchange.close()
                    exchange = None
                if patience.is_over():
                    raise
                time.sleep(patience.pause())
                continue
            patience.renew()
            rows = pending.popleft().num_rows
            if answers.num_rows != rows:
                raise errors.TfdError(
                    f"{rows} rows got {answers.num_rows} answers from "
                    f"{node.location if node else ''}: this is a bug, please report it"
                )
            yield answers
    finally:
        if exchange is not None:
            exchange.close()


def pieces(batch: pyarrow.RecordBatch) -> Iterator[pyarrow.RecordBatch]:
    """The same rows in batches as workers take them."""
    each = max(1.0, batch.nbytes / max(1, batch.num_rows))
    rows = max(1, int(_BATCH_BYTES / each))
    for begin in range(0, batch.num_rows, rows):
        yield batch.slice(begin, rows)
