"""What spark_driver.py can be told to do with models: each is a function of the
session and the order, and gives a dict."""

import contextlib
import pathlib
import time


def java_estimator(spark, order):
    """tfd.spark.TfdEstimator of the jar, with setters called as the order says."""
    return configured(spark, spark._jvm.tfd.spark.TfdEstimator(), order["estimator"])


def configured(spark, stage, setters):
    for name, value in setters.items():
        setter = getattr(stage, "set" + name[0].upper() + name[1:])
        setter(java_strings(spark, value) if isinstance(value, list) else value)
    return stage


def java_strings(spark, values):
    gateway = spark.sparkContext._gateway
    array = gateway.new_array(spark._jvm.java.lang.String, len(values))
    for i, value in enumerate(values):
        array[i] = value
    return array


def frame_of(spark, order):
    frame = spark.read.parquet(order["parquet"])
    if order.get("limit"):
        frame = frame.where(f"id < {order['limit']}")
    return frame


def java_pipeline(spark, order):
    """A pipeline of a TfdEstimator is saved, loaded and fitted; its model is saved,
    loaded and applied to the same rows."""
    ml = spark._jvm.org.apache.spark.ml
    folder = pathlib.Path(order["folder"])
    frame = frame_of(spark, order)
    stages = spark.sparkContext._gateway.new_array(ml.PipelineStage, 1)
    stages[0] = java_estimator(spark, order)
    pipeline = ml.Pipeline().setStages(stages)
    pipeline.write().overwrite().save(str(folder / "pipeline"))
    fitted = ml.Pipeline.load(str(folder / "pipeline")).fit(frame._jdf)
    fitted.write().overwrite().save(str(folder / "model"))
    loaded = ml.PipelineModel.load(str(folder / "model"))
    try:
        answered = loaded.transform(frame._jdf)
        type(frame)(answered, spark).write.mode("overwrite").parquet(
            str(folder / "answers")
        )
        planned = loaded.transformSchema(frame._jdf.schema()).json()
        assert planned == answered.schema().json(), (planned, answered.schema().json())
    finally:
        loaded.stages()[0].close()
    return {"model": loaded.stages()[0].getModel()}


def java_transform(spark, order):
    """A TfdModel is applied to a selection of the rows."""
    frame = frame_of(spark, order)
    if order.get("select"):
        frame = frame.selectExpr(*order["select"])
    model = configured(spark, spark._jvm.tfd.spark.TfdModel(), order["model"])
    try:
        answered = type(frame)(model.transform(frame._jdf), spark)
        answered.write.mode("overwrite").parquet(str(order["output"]))
    finally:
        model.close()
    return {"columns": answered.columns}


def sql(spark, order):
    """The rows of a statement about the view `rows`."""
    frame_of(spark, order).createOrReplaceTempView("rows")
    if order.get("python"):
        import tfd.spark

        tfd.spark.register(spark, **order["python"])
    begin = time.monotonic()
    rows = [list(row) for row in spark.sql(order["statement"]).collect()]
    return {"rows": rows, "seconds": time.monotonic() - begin}


def python_pipeline(spark, order):
    """As java_pipeline, with tfd.spark of the Python package."""
    from pyspark.ml import Pipeline, PipelineModel

    import tfd.spark

    folder = pathlib.Path(order["folder"])
    frame = frame_of(spark, order)
    estimator = tfd.spark.TfdEstimator(**order["estimator"])
    Pipeline(stages=[estimator]).write().overwrite().save(str(folder / "pipeline"))
    fitted = Pipeline.load(str(folder / "pipeline")).fit(frame)
    fitted.write().overwrite().save(str(folder / "model"))
    loaded = PipelineModel.load(str(folder / "model"))
    with contextlib.closing(loaded.stages[0]):
        answered = loaded.transform(frame)
        answered.write.mode("overwrite").parquet(str(folder / "answers"))
    return {"model": loaded.stages[0].getModel()}


ORDERS = {
    function.__name__: function
    for function in (java_pipeline, java_transform, sql, python_pipeline)
}
