"""A model as a function of SQL. It has a session of its own, which has to be the only
one: on a small cluster the second gets no executor."""

import os

import pytest

from spark_cluster import Driver

pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif("TFD_MNIST_DIR" not in os.environ, reason="needs TFD_MNIST_DIR"),
]


@pytest.mark.every_spark
def test_sql_asks_a_model(cluster, spark, serving, mnist_parquet):
    conf = {
        "spark.sql.extensions": "tfd.spark.TfdExtensions",
        "spark.datasource.tfd.coordinator": serving["coordinator"],
    }
    statement = (
        "SELECT count(*), avg(CAST(tfd_predict('serve', image) = label AS INT)) FROM rows"
    )
    order = {"parquet": str(mnist_parquet), "limit": 1000}
    with Driver(spark, **conf) as driver:
        ((count, right),) = driver.do("sql", **order, statement=statement)["rows"]
        assert count == 1000 and right > 0.85

        def refused(call):
            statement = f"SELECT {call} FROM rows"
            return driver.do_refused("sql", **order, statement=statement)

        assert "tfd_predict takes a job's id" in refused("tfd_predict(label, image)")
        assert 'there is no job "sreve" here' in refused("tfd_predict('sreve', image)")
        assert "a row has 1 numbers" in refused("tfd_predict('serve', label)")
        assert "has the type date" in refused("tfd_predict('serve', current_date())")

        # The function of the Python package, under the same name.
        answer = driver.do("sql", **order, statement=statement, python={})
        assert answer["rows"] == [[1000, right]]
