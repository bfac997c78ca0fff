"""`TfdEstimator` and `TfdModel`: training and prediction as stages of Spark ML's
pipelines."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import secrets
import time
from typing import Any

from pyspark import keyword_only
from pyspark.ml import Estimator, Model
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.util import (
    DefaultParamsReader,
    MLReadable,
    MLReader,
    MLWritable,
    MLWriter,
)
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import (
    ArrayType,
    DataType,
    FloatType,
    LongType,
    StringType,
    StructField,
    StructType,
)

from tfd import errors, predict
from tfd.client import Client
from tfd.spark.rows import Target, answered, check_columns

_NAME = "spark-serve"
_FORMAT = "tfd"


def session_option(spark: Any, name: str) -> str | None:
    """What is given for a session, as spark.datasource.tfd.NAME."""
    found = spark.conf.get(f"spark.datasource.{_FORMAT}.{name}", None)
    return str(found) if found else None


def connect(spark: Any, coordinator: str) -> Client:
    return Client(
        coordinator or session_option(spark, "coordinator"),
        session_option(spark, "token"),
    )


class _Writer(MLWriter):
    """Writes what pyspark's DefaultParamsWriter does, through a DataFrame, which
    Spark Connect has, too."""

    def __init__(self, instance: Any) -> None:
        super().__init__()
        self._instance = instance

    def save(self, path: str) -> None:
        self.saveImpl(path)

    def saveImpl(self, path: str) -> None:
        stage = self._instance
        spark = SparkSession.builder.getOrCreate()
        values = {
            "class": f"{type(stage).__module__}.{type(stage).__name__}",
            "timestamp": int(time.time() * 1000),
            "sparkVersion": spark.version,
            "uid": stage.uid,
            "paramMap": {p.name: v for p, v in stage._paramMap.items()},
            "defaultParamMap": {p.name: v for p, v in stage._defaultParamMap.items()},
        }
        mode = "overwrite" if self.shouldOverwrite else "error"
        frame = spark.createDataFrame([(json.dumps(values),)], "value string")
        frame.coalesce(1).write.mode(mode).text(_metadata(path))


class _Reader(MLReader):
    def __init__(self, stage: type) -> None:
        super().__init__()
        self._stage = stage

    def load(self, path: str) -> Any:
        spark = SparkSession.builder.getOrCreate()
        row = spark.read.text(_metadata(path)).first()
        if row is None:
            raise errors.NotFoundError(f"{path} has no stage of a pipeline: it is empty")
        values = json.loads(row[0])
        stage = self._stage()
        stage._resetUid(values["uid"])
        DefaultParamsReader.getAndSetParams(stage, values)
        return stage


def _metadata(path: str) -> str:
    return path.rstrip("/") + "/metadata"


class _Persistent(MLWritable, MLReadable):
    def write(self) -> MLWriter:
        return _Writer(self)

    @classmethod
    def read(cls) -> MLReader:
        return _Reader(cls)


def _param(name: str, what: str, converter: Any) -> Any:
    return Param(Params._dummy(), name, what, converter)


class _Common(_Persistent):
    """What the estimator hands on to its model."""

    coordinator = _param(
        "coordinator",
        "HOST:PORT; else spark.datasource.tfd.coordinator, or what tfd.Client finds",
        TypeConverters.toString,
    )
    outputPrefix = _param(
        "outputPrefix",
        "put before the names of the columns with answers",
        TypeConverters.toString,
    )
    topK = _param(
        "topK",
        "more than 1: also predictions and probabilities, so many",
        TypeConverters.toInt,
    )
    labels = _param(
        "labels", "a file with the names of labels, one a line", TypeConverters.toString
    )
    workers = _param(
        "workers",
        "of the job that is submitted to serve the model",
        TypeConverters.toInt,
    )
    timeout = _param(
        "timeout",
        "for how many seconds a node or the coordinator may make no progress",
        TypeConverters.toFloat,
    )

    def _set_common_defaults(self) -> None:
        self._setDefault(
            coordinator="", outputPrefix="", topK=1, labels="", workers=2, timeout=120.0
        )

    def _add_answers(self, schema: StructType, answers: StructType) -> StructType:
        prefix = self.getOrDefault(self.outputPrefix)
        there = {name.lower(): name for name in schema.names}
        for field in answers:
            name = prefix + field.name
            if name.lower() in there:
                raise errors.InvalidError(
                    f'there is a column "{there[name.lower()]}" already: drop it, or '
                    "set outputPrefix, which is put before the names of the columns "
                    "with answers"
                )
        added = [StructField(prefix + f.name, f.dataType, f.nullable) for f in answers]
        return StructType([*schema.fields, *added])


class TfdEstimator(Estimator, _Common):  # type: ignore[misc]
    """Trains a model by the job of a spec on the rows of a DataFrame: submits the
    job, has the executors push the rows into it, and waits until it has ended.
    Needs the jar of the format "tfd" in the session."""

    spec = _param(
        "spec",
        "the job's spec: a YAML file or YAML text; its dataset has format: pushed",
        TypeConverters.toString,
    )
    overrides = _param(
        "overrides",
        "fields of the spec that are replaced: FIELD=VALUE",
        TypeConverters.toListString,
    )
    overwrite = _param(
        "overwrite",
        "delete what an earlier job left in the storage",
        TypeConverters.toBoolean,
    )
    job = _param(
        "job", "the id of the job; empty: a new one for each fit", TypeConverters.toString
    )
    dataset = _param(
        "dataset", "the dataset that the rows are pushed into", TypeConverters.toString
    )
    deadline = _param(
        "deadline",
        "for how many seconds the job may go on once it has its rows",
        TypeConverters.toFloat,
    )

    @keyword_only
    def __init__(
        self,
        *,
        spec: str = "",
        coordinator: str = "",
        overrides: list[str] | None = None,
        overwrite: bool = False,
        job: str = "",
        dataset: str = "train",
        timeout: float = 120.0,
        deadline: float = 86400.0,
        outputPrefix: str = "",
        topK: int = 1,
        labels: str = "",
        workers: int = 2,
    ) -> None:
        super().__init__()
        self._set_common_defaults()
        self._setDefault(
            spec="", overrides=[], overwrite=False, job="", dataset="train"
        )
        self._setDefault(deadline=86400.0)
        self.setParams(**self._input_kwargs)

    @keyword_only
    def setParams(self, **values: Any) -> TfdEstimator:
        self._set(**self._input_kwargs)
        return self

    def _fit(self, dataset: DataFrame) -> TfdModel:
        spec, name = self.getOrDefault(self.spec), self.getOrDefault(self.dataset)
        if not spec:
            raise errors.InvalidError("this TfdEstimator has no spec: spec=FILE names one")
        with connect(dataset.sparkSession, self.getOrDefault(self.coordinator)) as client:
            job = client.submit(
                spec,
                self.getOrDefault(self.job) or f"spark-{secrets.token_hex(4)}",
                overrides=dict(
                    item.split("=", 1) for item in self.getOrDefault(self.overrides)
                ),
                overwrite=self.getOrDefault(self.overwrite),
            )
            try:
                wanted = job.spec.get("data", {}).get(name, {}).get("columns", {})
                features = [
                    column.strip()
                    for column in wanted.get("features", "features").split(",")
                ]
                _feed(
                    dataset.select(*features, wanted.get("label", "label")),
                    coordinator=client.address,
                    token=session_option(dataset.sparkSession, "token"),
                    job=job.id,
                    dataset=name,
                    timeout=f"{max(1, int(self.getOrDefault(self.timeout)))}s",
                )
            except BaseException:
                # It would wait for its rows.
                with contextlib.suppress(errors.TfdError):
                    client.cancel(job, "its rows could not be pushed")
                raise
            try:
                ended = client.wait(job, self.getOrDefault(self.deadline))
            except KeyboardInterrupt:
                client.cancel(job, "fit was interrupted")
                raise
        model = TfdModel(
            model=ended.export_uri,
            inputCols=features,
            **{
                param.name: self.getOrDefault(param)
                for param in (self.coordinator, self.outputPrefix, self.topK)
                + (self.labels, self.workers, self.timeout)
            },
        )
        return model._set_parent(self)


def _feed(frame: DataFrame, **options: str | None) -> None:
    given = {name: value for name, value in options.items() if value}
    frame.write.format(_FORMAT).options(**given).mode("append").save()


class _Serving:
    """The job that was submitted for a model; its copies share it."""

    def __init__(self) -> None:
        self.job = ""
        self._client: Client | None = None

    def start(self, client: Client, spec: dict[str, Any]) -> str:
        """The id of the job; submits it unless it is there."""
        if self.job and not client.get(self.job).ended:
            return self.job
        self.job = client.submit(spec, f"{_NAME}-{secrets.token_hex(4)}").id
        if self._client is None:
            atexit.register(self._stop_quietly)
        self._client = Client(client.address, client._token)
        return self.job

    def stop(self) -> None:
        if self.job and self._client:
            job, self.job = self.job, ""
            if not self._client.get(job).ended:
                self._client.cancel(job, "its TfdModel was closed")

    def _stop_quietly(self) -> None:
        with contextlib.suppress(errors.TfdError):
            self.stop()


class TfdModel(Model, _Common):  # type: ignore[misc]
    """A trained model that adds its predictions to rows. The rows go from the
    executors straight to the workers of a serving job, which have the model loaded:
    the job `job`, or one that is submitted for the model when transform is called
    first, and ends with close() or with this process."""

    model = _param(
        "model",
        "the export's folder, or the storage of the job that made it",
        TypeConverters.toString,
    )
    job = _param(
        "job",
        "a job that serves already; empty: one is submitted for the model",
        TypeConverters.toString,
    )
    inputCols = _param(
        "inputCols",
        "the columns with features, in the model's order",
        TypeConverters.toListString,
    )

    @keyword_only
    def __init__(
        self,
        *,
        model: str = "",
        job: str = "",
        inputCols: list[str] | None = None,
        coordinator: str = "",
        outputPrefix: str = "",
        topK: int = 1,
        labels: str = "",
        workers: int = 2,
        timeout: float = 120.0,
    ) -> None:
        super().__init__()
        self._serving = _Serving()
        self._set_common_defaults()
        self._setDefault(model="", job="", inputCols=["features"])
        self.setParams(**self._input_kwargs)

    @keyword_only
    def setParams(self, **values: Any) -> TfdModel:
        self._set(**self._input_kwargs)
        return self

    def _set_parent(self, parent: TfdEstimator) -> TfdModel:
        self.parent = parent
        return self

    def getModel(self) -> str:
        return str(self.getOrDefault(self.model))

    def _transform(self, dataset: DataFrame) -> DataFrame:
        columns = self.getOrDefault(self.inputCols)
        check_columns(columns, dataset.columns)
        spark = dataset.sparkSession
        with connect(spark, self.getOrDefault(self.coordinator)) as client:
            job = self.getOrDefault(self.job)
            if not job:
                job = self._serving.start(client, self._spec())
            target = Target(
                client.address,
                session_option(spark, "token"),
                job,
                self.getOrDefault(self.timeout),
            )
        schema = self._add_answers(dataset.schema, answer_fields(target))
        prefix = self.getOrDefault(self.outputPrefix)
        return dataset.mapInArrow(answered(target, columns, prefix), schema)

    def _spec(self) -> dict[str, Any]:
        if not self.getModel():
            raise errors.InvalidError(
                "this TfdModel has no model: model=FOLDER names an export, or job=ID a "
                "job that serves one"
            )
        predicts: dict[str, Any] = {"model": _absolute(self.getModel())}
        if self.getOrDefault(self.topK) > 1:
            predicts["top_k"] = self.getOrDefault(self.topK)
        if self.getOrDefault(self.labels):
            predicts["labels"] = _absolute(self.getOrDefault(self.labels))
        workers = self.getOrDefault(self.workers)
        return {
            "name": _NAME,
            "predict": predicts,
            "tasks": {"worker": {"count": workers}},
        }

    def close(self) -> None:
        """Ends the job that was submitted for this model, if there is one; its
        copies share it."""
        self._serving.stop()


def _absolute(path: str) -> str:
    return path if "://" in path else os.path.abspath(path)


def answer_fields(target: Target) -> StructType:
    """The columns that a job answers with; waits until it runs."""
    import pyarrow

    any_features = pyarrow.schema([("features", pyarrow.float32())])
    give_up = time.monotonic() + target.timeout
    while True:
        try:
            answers = predict.answer_schema(
                target.source(), any_features, target.timeout
            )
            break
        except errors.UnavailableError:
            # The coordinator has waited a while for the job to run, and says so.
            if time.monotonic() > give_up:
                raise
    return StructType([StructField(f.name, _type(f.type), False) for f in answers])


def _type(arrow: Any) -> DataType:
    import pyarrow

    if pyarrow.types.is_integer(arrow):
        return LongType()
    if pyarrow.types.is_string(arrow):
        return StringType()
    if pyarrow.types.is_floating(arrow):
        return FloatType()
    return ArrayType(_type(arrow.value_type), False)
