"""A trained model as a function of SQL, and the end of a stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow

from tfd import predict
from tfd.spark.ml import connect, session_option
from tfd.spark.rows import Target, task_number


def register(
    spark: Any,
    name: str = "tfd_predict",
    *,
    coordinator: str = "",
    returns: str = "bigint",
    timeout: float = 120.0,
) -> Any:
    """Registers `tfd_predict(job, column…)` in a session: the prediction of a job
    that serves a model, for each row. `returns` is "string" where the job has
    `labels`. Gives the function, for DataFrames."""
    import pandas
    from pyspark.sql.functions import pandas_udf

    with connect(spark, coordinator) as client:
        address, token = client.address, session_option(spark, "token")

    def answer(batches: Any) -> Any:
        yield from _answers(address, token, timeout, batches)

    # pandas_udf goes by these; a name in quotes it would look for in this module.
    answer.__annotations__ = {
        "batches": Iterator[tuple[pandas.Series, ...]],
        "return": Iterator[pandas.Series],
    }
    return spark.udf.register(name, pandas_udf(answer, returns))


def _answers(
    address: str, token: str | None, timeout: float, batches: Iterator[Any]
) -> Iterator[Any]:
    """Runs in an executor: one call for all the rows of a task."""
    import itertools

    import pandas

    first = next(batches, None)
    if first is None:
        return
    target = Target(address, token, str(first[0].iloc[0]), timeout)
    counts: list[int] = []

    def features() -> Iterator[pyarrow.RecordBatch]:
        for columns in itertools.chain([first], batches):
            batch = pyarrow.RecordBatch.from_arrays(
                [pyarrow.Array.from_pandas(column) for column in columns[1:]],
                names=[f"column{number}" for number in range(len(columns) - 1)],
            )
            parts = list(predict.pieces(batch))
            counts.append(len(parts))
            yield from parts

    parts: list[Any] = []
    for answers in predict.stream(target.source(), task_number(), features(), timeout):
        parts.append(answers.column(0).to_pandas())
        # Spark wants one batch for each of its own.
        if len(parts) == counts[0]:
            counts.pop(0)
            yield pandas.concat(parts, ignore_index=True)
            parts = []


def end_stream(
    spark: Any, job: str, producer: str, *, dataset: str = "train", coordinator: str = ""
) -> None:
    """Says that a streaming query writes no more batches into a job with
    `stream: true`: its producer is committed, and the job ends when all are."""
    with connect(spark, coordinator) as client:
        client.stream(job, dataset, producer=producer).end()
