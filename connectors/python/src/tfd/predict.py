"""Answers to rows, from the workers of a job that serves a model: Arrow Flight's
DoExchange, docs/predict.md. Rows go straight to the workers, each worker gets a run
of them, and answers come back in the rows' order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

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
# A broken connection, or a worker that is being replaced.
_TRIES = 3


def predict(source: DatasetClient, table: pyarrow.Table, timeout: float) -> pyarrow.Table:
    """A row of answers for each row of `table`, whose columns are all features."""
    nodes = Nodes(source.endpoints)
    workers = len(source.endpoints())
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
    node = nodes.get(number)
    for tries_left in reversed(range(_TRIES)):
        try:
            return _exchange(node, job, rows, timeout, cancelled.is_set)
        except errors.UnavailableError:
            # Nothing is changed by an answer, so it can be asked for again.
            if not tries_left or cancelled.is_set():
                raise
            node = nodes.get(number, broken=node)
    raise AssertionError("not reached")


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
