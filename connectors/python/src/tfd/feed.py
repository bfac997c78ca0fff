"""Pushing data into a dataset of a running job, each row exactly once."""

from __future__ import annotations

import contextlib
import queue
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow

from tfd import errors, flight, tables
from tfd.progress import Progress
from tfd.tables import Data

# A partition is kept until it is sealed, so it is not to be large; and not small,
# for each is a file, fsynced.
_MOST_PARTITION_BYTES = 64 << 20
_LEAST_PARTITION_BYTES = 4 << 20
_NO_LIMIT = 1 << 62
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
_LOOK_SECONDS = 0.1
# For what is on its way when a feed is given up.
_STOP_SECONDS = 2.0

_T = TypeVar("_T")


@dataclass(frozen=True)
class FeedResult:
    """What a producer has committed."""

    #: Its name; the same one again commits nothing twice.
    producer: str
    rows: int
    partitions: int
    #: Of these rows, how many an earlier run with this name had pushed.
    rows_before: int
    seconds: float


class _OtherDataError(errors.RefusedError):
    """The data are not those of an earlier run with this producer's name."""


class _Stopped(Exception):
    """The feed is being given up."""


@dataclass
class _Sealed:
    rows: int
    #: None: another attempt has it, the coordinator knows which.
    attempt: str | None


class Feed:
    """One producer of one dataset: begins, pushes partitions side by side, commits.

    - Each partition has an attempt. Where a connection is lost it goes on behind
      the rows that are in the node's spool; so no row comes twice. A partition is
      kept in memory until it is sealed.
    - `timeout` is how long it goes on without any progress: a node or the
      coordinator that is away, a job that does not start. (A node that stops
      reading in the middle of a batch is noticed by its connection only, which
      takes 20 s more.)
    - On an exception (Ctrl-C as well) all that this producer has pushed is dropped.
    - A `producer` that is named may be run again with the same data: what is
      sealed or committed is not pushed again. Not two at a time.
    - With `batch` it is one batch of a stream: what is committed is that batch, and
      a batch that is there already, or is older than one that is, is only counted.
    """

    def __init__(
        self,
        dataset: flight.DatasetClient,
        columns: Sequence[str],
        *,
        producer: str | None = None,
        batch: int | None = None,
        parallel: int = 4,
        timeout: float = 300.0,
    ) -> None:
        if parallel < 1:
            raise errors.InvalidError(f"parallel={parallel}: it must be at least 1")
        self._dataset = dataset
        self._columns = columns
        self._producer = producer or f"python-{uuid.uuid4().hex[:12]}"
        self._batch = batch
        self._parallel = parallel
        self._timeout = timeout
        self._nodes = flight.Nodes(dataset.endpoints)
        self._progress = Progress(f"{dataset.job}/{dataset.dataset}")
        # One more than are being pushed, so that nobody waits for the next. None is
        # the end, which each thread leaves there for the others.
        self._queue: queue.Queue[tuple[int, pyarrow.Table] | None] = queue.Queue(1)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._sealed: dict[int, _Sealed] = {}
        self._error: BaseException | None = None

    def push(
        self,
        data: Data,
        partitions: int | None = None,
        partition_rows: int | None = None,
    ) -> FeedResult:
        """Pushes and commits. The rows go into `partitions` parts, or into parts of
        `partition_rows`; absent: of 4 to 64 MiB."""
        there = self._committed_before(data)
        if there is not None:
            return there
        threads = [
            threading.Thread(target=self._work, name=f"tfd-feed-{n}", daemon=True)
            for n in range(self._parallel)
        ]
        try:
            self._insist(lambda: self._dataset.act("begin", producer=self._producer))
            known = self._partitions()
            for thread in threads:
                thread.start()
            parts = self._cut(data, partitions, partition_rows)
            for number, table in enumerate(parts):
                if number in known:
                    _check_rows(
                        self._producer, number, known[number].rows, table.num_rows
                    )
                    self._sealed[number] = known[number]
                else:
                    self._offer((number, table))
            self._offer(None)
            for thread in threads:
                while thread.is_alive():
                    thread.join(_LOOK_SECONDS)
                    self._look()
            self._look()
            rows = self._commit()
        except BaseException as error:
            self._stop_threads(threads)
            # What an earlier run has pushed is not dropped because this one was
            # given other data.
            if not isinstance(error, _OtherDataError):
                with contextlib.suppress(errors.TfdError):
                    self._dataset.act("abort", producer=self._producer)
            raise
        finally:
            self._progress.finish()
        return FeedResult(
            producer=self._producer,
            rows=rows,
            partitions=len(self._sealed),
            rows_before=sum(partition.rows for partition in known.values()),
            seconds=self._progress.seconds,
        )

    def _committed_before(self, data: Any) -> FeedResult | None:
        """What this producer has committed in an earlier run, if it has."""
        status = self._insist(lambda: self._dataset.act("status"))
        mine = [p for p in status["producers"] if p["name"] == self._producer]
        if self._batch is not None:
            newest = newest_batch(status, self._producer)
            if newest is None or newest < self._batch:
                return None
            # Which rows it had is not kept for ever.
            rows = tables.count_rows(data) if tables.is_one_piece(data) else 0
            return FeedResult(self._producer, rows, 0, rows, 0.0)
        if not any(p["committed"] for p in mine):
            return None
        there = self._partitions()
        rows = sum(partition.rows for partition in there.values())
        if tables.is_one_piece(data) and tables.count_rows(data) != rows:
            raise errors.RefusedError(
                f"producer {self._producer} has committed {rows} rows, and these data "
                f"have {tables.count_rows(data)}: for other data choose another name"
            )
        return FeedResult(self._producer, rows, len(there), rows, 0.0)

    def _partitions(self) -> dict[int, _Sealed]:
        """What the coordinator has of this producer."""
        status = self._insist(lambda: self._dataset.act("status"))
        found = {}
        for partition in status["partitions"]:
            if partition["producer"] != self._producer:
                continue
            name = partition["partition"]
            if self._batch is not None:
                of_batch, _, name = name.partition("-")
                if of_batch != str(self._batch):
                    continue
            if not name.isdecimal():
                raise errors.RefusedError(
                    f'producer {self._producer} has a partition "{name}", which is '
                    "none of this package's: choose another name"
                )
            found[int(name)] = _Sealed(int(partition["rows"]), partition["attempt"])
        return found

    def _cut(
        self, data: Any, partitions: int | None, partition_rows: int | None
    ) -> Iterator[pyarrow.Table]:
        counts = {"partitions": partitions, "partition_rows": partition_rows}
        for name, value in counts.items():
            if value is not None and value < 1:
                raise errors.InvalidError(f"{name}={value}: it must be at least 1")
        if not tables.is_one_piece(data):
            if partitions is not None:
                raise errors.InvalidError(
                    f"partitions={partitions} needs data whose rows are counted; for "
                    "an iterator give partition_rows"
                )
            stream = tables.tables_of(data, self._columns)
            return tables.cut(
                stream, partition_rows or _NO_LIMIT, _MOST_PARTITION_BYTES
            )
        table = next(tables.tables_of(data, self._columns))
        if partitions is not None:
            return tables.split(table, partitions)
        if partition_rows is not None:
            return tables.cut([table], partition_rows, _NO_LIMIT)
        share = max(_LEAST_PARTITION_BYTES, table.nbytes // self._parallel + 1)
        share = min(share, _MOST_PARTITION_BYTES)
        return tables.split(table, -(-table.nbytes // share))

    def _offer(self, item: tuple[int, pyarrow.Table] | None) -> None:
        """Hands a partition to the next thread that is free."""
        while True:
            self._look()
            try:
                return self._queue.put(item, timeout=_LOOK_SECONDS)
            except queue.Full:
                continue

    def _look(self) -> None:
        """Raises what a thread has raised."""
        self._progress.show()
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            try:
                sealed = self._push(*item)
                with self._lock:
                    self._sealed[item[0]] = sealed
            except _Stopped:
                return
            except BaseException as error:  # the caller's thread raises it
                self._error = self._error or error
                return
        self._end()

    def _end(self) -> None:
        """Leaves the end in the queue for the next thread."""
        with contextlib.suppress(queue.Full):  # where another one has
            self._queue.put_nowait(None)

    def _push(self, number: int, table: pyarrow.Table) -> _Sealed:
        """Pushes a partition until it is sealed."""
        attempt = uuid.uuid4().hex
        dataset = self._dataset
        path = ("jobs", dataset.job, dataset.dataset, self._producer)
        path_of_attempt = (*path, self._name(number), attempt)
        each = tables.row_bytes(table)
        out = furthest = 0
        node: flight.Node | None = None

        def on_rows(rows: int) -> None:
            nonlocal out
            if self._stop.is_set():
                raise _Stopped
            self._progress.add(rows - out, (rows - out) * each)
            out = rows

        def again() -> bool:
            """Whether it got further since it was asked last."""
            nonlocal furthest
            further = out > furthest
            furthest = max(out, furthest)
            return further

        def try_once() -> _Sealed:
            nonlocal node
            node = self._nodes.get(number, broken=node)
            return _Sealed(
                flight.put(node, path_of_attempt, table, self._timeout, on_rows),
                attempt,
            )

        try:
            return self._insist(try_once, again)
        except errors.TfdError as error:
            if error.code == "ALREADY_EXISTS":
                return _Sealed(table.num_rows, None)
            raise

    def _insist(
        self, call: Callable[[], _T], again: Callable[[], bool] = lambda: False
    ) -> _T:
        """Calls until it answers, or `timeout` is over without progress."""
        give_up = time.monotonic() + self._timeout
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return call()
            except errors.TfdError as error:
                if error.code not in errors.TRANSIENT:
                    raise
                if again():
                    give_up = time.monotonic() + self._timeout
                    pause = _FIRST_PAUSE_SECONDS
                if time.monotonic() > give_up:
                    raise errors.of_code(
                        error.code,
                        f"feeding dataset {self._dataset.dataset} of job "
                        f"{self._dataset.job} got no further for {self._timeout:g} s: "
                        f"{error}; is the job running (tfd job {self._dataset.job})?",
                    ) from None
                self._progress.wait(str(error))
            # Not all at the same time.
            if self._stop.wait(pause * random.uniform(0.5, 1.0)):
                raise _Stopped
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _commit(self) -> int:
        """Says which partitions there are; gives their rows."""
        if any(sealed.attempt is None for sealed in self._sealed.values()):
            known = self._partitions()
            for number, sealed in self._sealed.items():
                if sealed.attempt is None:
                    other = known.get(number, _Sealed(-1, ""))
                    _check_rows(self._producer, number, other.rows, sealed.rows)
                    self._sealed[number] = other
        listed = [
            {
                "partition": self._name(number),
                "attempt": sealed.attempt,
                "rows": sealed.rows,
            }
            for number, sealed in sorted(self._sealed.items())
        ]
        body: dict[str, Any] = {"producer": self._producer, "partitions": listed}
        if self._batch is not None:
            body["batch"] = self._batch
        self._insist(lambda: self._dataset.act("commit", **body))
        return sum(sealed.rows for sealed in self._sealed.values())

    def _name(self, number: int) -> str:
        """Of a partition. Training goes through them in the order of their names."""
        name = f"{number:06}"
        return name if self._batch is None else f"{self._batch}-{name}"

    def _stop_threads(self, threads: Sequence[threading.Thread]) -> None:
        """Before an abort: a seal behind it would begin the producer anew."""
        self._stop.set()
        with contextlib.suppress(queue.Empty):
            self._queue.get_nowait()
        self._end()
        deadline = time.monotonic() + _STOP_SECONDS
        for thread in threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))


def newest_batch(status: dict[str, Any], producer: str) -> int | None:
    """Of a stream: the newest batch that a producer has committed."""
    for entry in status["producers"]:
        if entry["name"] == producer and "batch" in entry:
            return int(entry["batch"])
    return None


def _check_rows(producer: str, number: int, there: int, rows: int) -> None:
    """Of a partition that an earlier run has sealed."""
    if there != rows:
        raise _OtherDataError(
            f"producer {producer} has pushed partition {number} with {there} rows "
            f"before, and now it has {rows}: run it again with the same data and the "
            "same partitions, or choose another name"
        )
