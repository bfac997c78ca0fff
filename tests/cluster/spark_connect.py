"""A driver of Spark Connect with a server on this machine: trains and predicts with
tfd.spark, and prints what came of it as JSON. Run by the Python of a Spark
environment.

usage: spark_connect.py JAR COORDINATOR SPEC PARQUET
"""

import contextlib
import json
import os
import sys

from pyspark.sql import SparkSession

import tfd.spark


def main(jar, coordinator, spec, parquet):
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    spark = (
        SparkSession.builder.remote("local[2]")
        .config("spark.driver.extraClassPath", jar)
        .config("spark.ui.enabled", "false")
        .config("spark.datasource.tfd.coordinator", coordinator)
        .getOrCreate()
    )
    with contextlib.suppress(AttributeError):
        raise AssertionError(f"this is no Spark Connect: {spark._jvm}")
    frame = spark.read.parquet(parquet).where("id < 3000")
    estimator = tfd.spark.TfdEstimator(
        spec=spec, coordinator=coordinator, workers=1, overrides=["stop.epochs=1"]
    )
    model = estimator.fit(frame)
    folder = os.path.join(os.path.dirname(parquet), "connect-model")
    model.write().overwrite().save(folder)
    with contextlib.closing(tfd.spark.TfdModel.load(folder)) as loaded:
        rows = loaded.transform(frame).selectExpr("label = prediction AS right")
        right = [row.right for row in rows.collect()]
        tfd.spark.register(spark, coordinator=coordinator)
        frame.createOrReplaceTempView("rows")
        statement = (
            f"SELECT count_if(tfd_predict('{loaded._serving.job}', image) = label) FROM rows"
        )
        by_sql = spark.sql(statement).first()[0]
    found = {"rows": len(right), "right": sum(right), "by_sql": by_sql}
    print(json.dumps(found), file=answers, flush=True)
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
