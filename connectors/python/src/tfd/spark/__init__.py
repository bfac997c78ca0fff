"""Spark's side of tfd in Python: an estimator, its model, and a function for SQL.
docs/spark.md shows how. Works over Spark Connect, too: nothing here reaches into
the driver's JVM."""

from tfd.spark.ml import TfdEstimator, TfdModel
from tfd.spark.sql import end_stream, register

__all__ = ["TfdEstimator", "TfdModel", "end_stream", "register"]
