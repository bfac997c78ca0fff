"""What Spark's executors do with rows: have them answered by the workers of a job
that serves a model, and keep them in their order."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow

from tfd import errors, predict
from tfd.flight import DatasetClient


@dataclass(frozen=True)
class Target:
    """A job that serves a model, as executors are told of it."""

    address: str
    token: str | None
    job: str
    timeout: float

    def source(self) -> DatasetClient:
        return DatasetClient(self.address, self.token, self.job, predict.FLIGHT)


def check_columns(columns: Sequence[str], there: Sequence[str]) -> None:
    missing = [name for name in columns if name not in there]
    if missing or not columns:
        raise errors.InvalidError(
            f'there is no column "{", ".join(missing)}" with features; there are '
            f"{', '.join(there)}: name those that the model takes, in their order, as "
            "inputCols"
        )


def task_number() -> int:
    """Of the task that runs here, so that tasks take turns at the workers."""
    from pyspark import TaskContext

    context = TaskContext.get()
    return context.partitionId() if context else 0


def as_spark_has_it(column: pyarrow.Array) -> pyarrow.Array:
    """Spark knows no lists of fixed size."""
    if pyarrow.types.is_fixed_size_list(column.type):
        return column.cast(pyarrow.list_(column.type.value_type))
    return column


def answered(
    target: Target, columns: Sequence[str], prefix: str
) -> Callable[[Iterator[pyarrow.RecordBatch]], Iterator[pyarrow.RecordBatch]]:
    """For DataFrame.mapInArrow: the rows with the answers behind them."""

    def answer(
        batches: Iterator[pyarrow.RecordBatch],
    ) -> Iterator[pyarrow.RecordBatch]:
        waiting: collections.deque[pyarrow.RecordBatch] = collections.deque()

        def features() -> Iterator[pyarrow.RecordBatch]:
            for batch in batches:
                for piece in predict.pieces(batch):
                    waiting.append(piece)
                    yield piece.select(list(columns))

        for answers in predict.stream(
            target.source(), task_number(), features(), target.timeout
        ):
            rows = waiting.popleft()
            yield pyarrow.RecordBatch.from_arrays(
                [*rows.columns, *map(as_spark_has_it, answers.columns)],
                names=[
                    *rows.schema.names,
                    *(prefix + name for name in answers.schema.names),
                ],
            )

    return answer
