"""Files in S3, with moto's server for one."""

import json
import os
import subprocess

import pyarrow
import pyarrow.parquet
import pytest

from feed_process import TFD_DATA
from s3_server import make_bucket, s3_server

pytest.importorskip("moto.server", reason="needs moto[server]")


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    """The environment of a client of an S3 server with the bucket shelf."""
    with s3_server(tmp_path_factory.mktemp("moto")) as variables:
        yield {**os.environ, **variables}


@pytest.fixture(scope="module")
def bucket(s3):
    return make_bucket(s3, "shelf")


def check(environment, **spec):
    """tfd-data check of a dataset with the columns x and label."""
    spec = {"columns": {"features": "x", "label": "label"}, **spec}
    return subprocess.run(
        [TFD_DATA, "check"],
        input=json.dumps(spec),
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )


def table(begin, end):
    return pyarrow.table(
        {"x": [float(i) for i in range(begin, end)], "label": list(range(begin, end))}
    )


def test_parquet_in_s3_is_a_dataset(s3, bucket):
    for part in range(3):
        pyarrow.parquet.write_table(
            table(part * 100, part * 100 + 100),
            f"part-{part}.parquet",
            filesystem=bucket,
        )
    result = check(s3, format="PARQUET", path="s3://shelf/part-*.parquet")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {
        "records": 300,
        "shape": [1],
        "dtype": "float64",
        "labels": {"smallest": 0, "largest": 299},
    }


def test_arrow_and_csv_in_s3_are_datasets(s3, bucket):
    with bucket.open_output_stream("a.arrow") as out:
        with pyarrow.ipc.new_file(out, table(0, 1).schema) as writer:
            writer.write_table(table(0, 50))
    with bucket.open_output_stream("a.csv") as out:
        out.write(b"x,label\n1,0\n2,1\n")
    for format_name, path, records in (("ARROW", "a.arrow", 50), ("CSV", "a.csv", 2)):
        result = check(s3, format=format_name, path=f"s3://shelf/{path}")
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout)["records"] == records


def test_what_is_not_there_is_named(s3, bucket):
    result = check(s3, format="PARQUET", path="s3://shelf/absent.parquet")
    assert result.returncode == 2
    assert "s3://shelf/absent.parquet" in result.stderr
    result = check(s3, format="PARQUET", path="s3://nowhere/*.parquet")
    assert result.returncode != 0
    assert "s3://nowhere/" in result.stderr


def test_a_server_that_is_not_there_is_named_in_bounded_time(s3):
    environment = {**s3, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    result = check(environment, format="PARQUET", path="s3://shelf/part-0.parquet")
    assert result.returncode != 0
    assert "s3://shelf/part-0.parquet" in result.stderr
