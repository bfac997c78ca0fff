"""A producer of a dataset with `stream: true`: batch after batch."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from tfd import errors, flight
from tfd.feed import Feed, FeedResult, newest_batch
from tfd.tables import Data


class Stream:
    """Pushes batches into a stream; the job trains on each once, as soon as it is
    committed.

    Batches are numbered; without a number of its own a batch gets the one after the
    newest that this producer has committed. A number that is there already is not
    pushed again: so a program that was killed is run again with the same numbers,
    and no row is there twice. As a context manager it ends the producer when its
    block is left in order, and leaves it open after an exception, to be gone on with.
    """

    def __init__(
        self,
        dataset: flight.DatasetClient,
        columns: Sequence[str],
        *,
        producer: str,
        parallel: int,
        timeout: float,
    ) -> None:
        self.producer = producer
        self._dataset = dataset
        self._columns = columns
        self._parallel = parallel
        self._timeout = timeout

    def newest(self) -> int | None:
        """The newest batch that this producer has committed."""
        return newest_batch(self._dataset.act("status"), self.producer)

    def push(self, data: Data, batch: int | None = None) -> FeedResult:
        """Pushes a batch and commits it; returns when it is there for good."""
        if batch is None:
            newest = self.newest()
            batch = 0 if newest is None else newest + 1
        if batch < 0:
            raise errors.InvalidError(f"batch={batch}: batches are numbered from 0 on")
        feed = Feed(
            self._dataset,
            self._columns,
            producer=self.producer,
            batch=batch,
            parallel=self._parallel,
            timeout=self._timeout,
        )
        return feed.push(data)

    def end(self) -> None:
        """No batch follows. Training ends when every producer has said so."""
        try:
            self._dataset.act("begin", producer=self.producer)
        except errors.TfdError as error:
            if error.code == "ALREADY_EXISTS":  # it has ended before
                return
            raise
        self._dataset.act("commit", producer=self.producer, partitions=[])

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.end()
