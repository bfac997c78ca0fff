"""What spark_driver.py can be told to do with models: each is a function of the
session and the order, and gives a dict."""

import contextlib
import pathlib
import time
from collections.abc import Iterator


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


def stream(spark, order):
    """Writes what is in a folder of Parquet files as a streaming query that ends when
    it has written all of it, a file in each micro-batch."""
    source = spark.readStream.option("maxFilesPerTrigger", 1)
    schema = spark.read.parquet(order["folder"]).schema
    writer = source.schema(schema).parquet(order["folder"]).writeStream.format("tfd")
    query = (
        writer.options(**order["options"])
        .option("checkpointLocation", order["checkpoint"])
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()
    return {"id": query.id, "batches": len(query.recentProgress)}


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


def tensorflow_udf(spark):
    """A pandas_udf that predicts by the layers of tfd's cnn in TensorFlow, which each
    Python worker makes once of weights that were broadcast."""
    import numpy
    from pyspark.sql.functions import pandas_udf

    shapes = [(3, 3, 1, 8), (8,), (3, 3, 8, 16), (16,), (784, 128), (128,)]
    shapes += [(128, 10), (10,)]
    random = numpy.random.default_rng(1)
    weights = [(random.random(s) - 0.5).astype(numpy.float32) for s in shapes]
    weights = spark.sparkContext.broadcast([w.tolist() for w in weights])
    made = {}

    def predict(images):
        import numpy
        import pandas
        import tensorflow as tf

        if not made:
            tf.config.threading.set_intra_op_parallelism_threads(1)
            tf.config.threading.set_inter_op_parallelism_threads(1)
            layers = tf.keras.layers
            parts = []
            for channels in (8, 16):
                parts.append(layers.Conv2D(channels, 3, padding="same"))
                parts += [layers.MaxPool2D(), layers.ReLU()]
            parts += [layers.Flatten(), layers.Dense(128, "relu"), layers.Dense(10)]
            made["model"] = tf.keras.Sequential([tf.keras.Input((28, 28, 1)), *parts])
            made["model"].set_weights([numpy.array(w) for w in weights.value])
            made["call"] = tf.function(made["model"], reduce_retracing=True)
        for series in images:
            pixels = numpy.frombuffer(b"".join(series), numpy.uint8)
            pixels = pixels.reshape(-1, 28, 28, 1).astype(numpy.float32) / 255
            yield pandas.Series(made["call"](pixels).numpy().argmax(1))

    import pandas

    series = Iterator[pandas.Series]
    predict.__annotations__ = {"images": series, "return": series}
    return pandas_udf(predict, "bigint")


def predict_seconds(spark, order):
    """How long each of some runs takes to predict all rows; the job "serve" has the
    model."""
    frame = spark.read.parquet(order["parquet"]).repartition(4).cache()
    frame.count()
    if order["kind"] == "java":
        model = {"job": "serve", "inputCols": ["image"]}
        model = configured(spark, spark._jvm.tfd.spark.TfdModel(), model)
        answered = type(frame)(model.transform(frame._jdf), spark)
    elif order["kind"] == "python":
        import tfd.spark

        answered = tfd.spark.TfdModel(job="serve", inputCols=["image"]).transform(frame)
    else:
        answered = frame.withColumn("prediction", tensorflow_udf(spark)("image"))
    seconds = []
    for _ in range(order["runs"]):
        begin = time.monotonic()
        answered.write.format("noop").mode("overwrite").save()
        seconds.append(time.monotonic() - begin)
    return {"seconds": seconds}


ORDERS = {
    function.__name__: function
    for function in (
        java_pipeline,
        java_transform,
        python_pipeline,
        sql,
        stream,
        predict_seconds,
    )
}
