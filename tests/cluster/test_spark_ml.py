"""Models that Spark trains and applies: estimators, transformers."""

import json
import os
import pathlib
import subprocess

import pyarrow
import pyarrow.compute
import pyarrow.parquet
import pytest

import tfd
from processes import wait_for
from spark_cluster import JAR, REPOSITORY, environments

pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif("TFD_MNIST_DIR" not in os.environ, reason="needs TFD_MNIST_DIR"),
]

ROWS = 6000


def assert_answered(folder, rows, names=("prediction", "probability")):
    """All columns of the rows are there in their order, and answers behind them."""
    table = pyarrow.parquet.read_table(folder).sort_by("id").combine_chunks()
    assert table.column_names == [*rows.column_names, *names]
    given = table.select(rows.column_names).cast(rows.schema)
    assert given == rows.combine_chunks()
    right = pyarrow.compute.equal(table["label"], table["prediction"])
    assert pyarrow.compute.mean(right).as_py() > 0.85
    probabilities = table["probability"]
    assert pyarrow.compute.min(probabilities).as_py() > 0.1
    assert pyarrow.compute.max(probabilities).as_py() <= 1.0
    return table


def active_jobs(cluster):
    with tfd.Client(cluster.record()["address"]) as client:
        return [job.id for job in client.jobs(active_only=True) if not job.ended]


@pytest.mark.every_spark
def test_a_pipeline_of_the_jar_is_fitted_saved_and_applied(
    cluster, driver, estimator, mnist, mnist_parquet, tmp_path
):
    answer = driver.do(
        "java_pipeline",
        parquet=str(mnist_parquet),
        limit=ROWS,
        folder=str(tmp_path),
        estimator={**estimator, "topK": 3, "workers": 1},
    )
    assert answer["model"].startswith(str(cluster.programs.folder))
    # 4.7 MB of rows went out and came back; the driver has seen none of them.
    assert answer["driver_bytes"] < 3_000_000
    names = ["prediction", "probability", "predictions", "probabilities"]
    table = assert_answered(tmp_path / "answers", mnist.slice(0, ROWS), names)
    row = table.slice(7, 1).to_pylist()[0]
    assert len(row["predictions"]) == len(row["probabilities"]) == 3
    assert row["predictions"][0] == row["prediction"]
    assert row["probabilities"] == sorted(row["probabilities"], reverse=True)
    # close() has ended the job that served it.
    wait_for(lambda: not active_jobs(cluster), "the serving job to end")


@pytest.mark.every_spark
def test_a_pipeline_of_python_is_fitted_saved_and_applied(
    cluster, driver, estimator, mnist, mnist_parquet, tmp_path
):
    answer = driver.do(
        "python_pipeline",
        parquet=str(mnist_parquet),
        limit=ROWS,
        folder=str(tmp_path),
        estimator={**estimator, "topK": 2, "workers": 1},
    )
    assert answer["model"].startswith(str(cluster.programs.folder))
    assert answer["driver_bytes"] < 3_000_000
    names = ["prediction", "probability", "predictions", "probabilities"]
    assert_answered(tmp_path / "answers", mnist.slice(0, ROWS), names)
    wait_for(lambda: not active_jobs(cluster), "the serving job to end")


def test_what_a_model_is_given_may_have_any_form(
    cluster, driver, serving, mnist, mnist_parquet, tmp_path
):
    """Halves of images as arrays and bytes, in two columns, under other names."""
    select = [
        "id",
        "label",
        "substring(image, 1, 392) AS top",
        "transform(sequence(393, 784), at -> conv(hex(substring(image, at, 1)), 16, 10)"
        " :: float) AS bottom",
    ]
    answer = driver.do(
        "java_transform",
        parquet=str(mnist_parquet),
        limit=200,
        select=select,
        model={**serving, "inputCols": ["top", "bottom"], "outputPrefix": "my_"},
        output=str(tmp_path / "halves"),
    )
    assert answer["columns"][-2:] == ["my_prediction", "my_probability"]
    driver.do(
        "java_transform",
        parquet=str(mnist_parquet),
        limit=200,
        model={**serving, "inputCols": ["image"]},
        output=str(tmp_path / "whole"),
    )
    halves, whole = (
        pyarrow.parquet.read_table(tmp_path / name).sort_by("id")
        for name in ("halves", "whole")
    )
    assert halves["my_prediction"].to_pylist() == whole["prediction"].to_pylist()


def test_what_is_wrong_with_a_model_or_its_rows_is_said(
    cluster, driver, estimator, serving, mnist_parquet, tmp_path
):
    def refused(name, **order):
        order = {"folder": str(tmp_path), "output": str(tmp_path / "out"), **order}
        return driver.do_refused(name, parquet=str(mnist_parquet), limit=100, **order)

    model = {**serving, "inputCols": ["image"]}
    assert 'there is no column "pixels" with features' in refused(
        "java_transform", model={**model, "inputCols": ["pixels"]}
    )
    assert 'there is no job "other" here' in refused(
        "java_transform", model={**model, "job": "other"}
    )
    assert "does not answer rows" in refused(
        "java_transform", model={**model, "job": "trained"}
    ) or "has ended" in refused("java_transform", model={**model, "job": "trained"})
    assert "there is a column" in refused(
        "java_transform",
        select=["image", "id AS prediction"],
        model=model,
    )
    wrong = {**estimator, "overrides": ["optimizer.lr=fast"]}
    assert "optimizer.lr" in refused("java_pipeline", estimator=wrong)
    # A job that fails names its cause; one that gets no rows is cancelled.
    bad = {**estimator, "overrides": ["model.classes=5", f"storage={tmp_path}/five"]}
    assert "labels are 0 to 4" in refused("java_pipeline", estimator=bad)
    wait_for(lambda: active_jobs(cluster) == ["serve"], "the job to be cancelled")


def test_python_works_over_spark_connect(cluster, estimator, mnist_parquet, tmp_path):
    """On the newest Spark, whose wheel brings the server of Spark Connect."""
    environment = next(iter(environments().values()))
    script = pathlib.Path(__file__).with_name("spark_connect.py")
    parquet = tmp_path / "mnist.parquet"
    parquet.symlink_to(mnist_parquet)
    result = subprocess.run(
        [environment / "bin" / "python", script]
        + [JAR, estimator["coordinator"], estimator["spec"], parquet],
        cwd=tmp_path,
        env={
            **{name: os.environ[name] for name in ("PATH", "TFD_MNIST_DIR")},
            "HOME": str(tmp_path),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_PYTHON": str(environment / "bin" / "python"),
            "PYTHONPATH": str(REPOSITORY / "build" / "python" / "site"),
        },
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    found = json.loads(result.stdout)
    assert found["rows"] == 3000 and found["right"] == found["by_sql"] > 1500
    wait_for(lambda: not active_jobs(cluster), "the serving job to end")
