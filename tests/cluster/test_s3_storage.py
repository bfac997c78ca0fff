"""Checkpoints, exports and answers in S3, with moto's server for one."""

import json

import pyarrow.fs
import pytest

from cluster import Cluster
from s3_server import make_bucket, s3_server

pytest.importorskip("moto.server", reason="needs moto[server]")


@pytest.fixture
def bucket(programs, tmp_path):
    """The bucket shelf; the programs find it."""
    folder = tmp_path / "moto"
    folder.mkdir()
    with s3_server(folder) as variables:
        programs.environment.update(variables)
        yield make_bucket(variables, "shelf")


def names(bucket, folder):
    selector = pyarrow.fs.FileSelector(folder)
    return {info.base_name for info in bucket.get_file_info(selector)}


def read(bucket, path):
    with bucket.open_input_stream(path) as file:
        return file.read()


def test_a_job_keeps_all_it_writes_in_s3(programs, spec_file, bucket):
    spec = spec_file(storage="s3://shelf/small", deterministic="true")
    result = programs.tfd("run", spec)
    assert result.returncode == 0, result.stderr
    assert "s3://shelf/small/export" in result.stdout + result.stderr
    export = {"model.json", "model.pt", "model.safetensors"}
    assert names(bucket, "small/export") == export
    kept = json.loads(read(bucket, "small/checkpoints/committed.json"))
    assert kept

    # As in a folder of this machine, to the bit.
    local = programs.tfd("run", spec, "--set", "storage=local")
    assert local.returncode == 0, local.stderr
    weights = programs.folder / "local" / "export" / "model.safetensors"
    assert read(bucket, "small/export/model.safetensors") == weights.read_bytes()

    again = programs.tfd("run", spec)
    assert again.returncode != 0
    assert "already holds checkpoints" in again.stderr
    longer = programs.tfd("run", spec, "--resume", "--set", "stop.epochs=4")
    assert longer.returncode == 0, longer.stderr
    assert names(bucket, "small/export") == export

    predicted = programs.tfd(
        "predict", "s3://shelf/small", "data/test-features", "-o", "answers.csv"
    )
    assert predicted.returncode == 0, predicted.stderr
    lines = (programs.folder / "answers.csv").read_text().splitlines()
    assert len(lines) == 501


def test_an_export_in_s3_is_fetched_and_answers_are_written_there(
    programs, spec_file, bucket, tmp_path
):
    with Cluster(programs) as cluster:
        spec = spec_file(storage="s3://shelf/of-a-cluster")
        cluster.ok("submit", spec, "--id", "s3", "--detach")
        cluster.wait_for_state("s3", "SUCCEEDED")
        cluster.ok("get", "s3", "-o", "fetched")
        cluster.ok("get", "s3", "--checkpoint", "-o", "checkpoint")
        answers = tmp_path / "answers.yaml"
        answers.write_text(
            "name: answers\n"
            "predict: {model: s3://shelf/of-a-cluster, output: s3://shelf/answers,"
            " input: {format: idx, features: data/test-features}}\n"
        )
        cluster.ok("submit", answers, "--id", "answers", "--detach")
        cluster.wait_for_state("answers", "SUCCEEDED")
    fetched = programs.folder / "fetched"
    weights = (fetched / "model.safetensors").read_bytes()
    assert weights == read(bucket, "of-a-cluster/export/model.safetensors")
    assert (programs.folder / "checkpoint" / "manifest.json").is_file()
    parts = sorted(name for name in names(bucket, "answers") if "part-" in name)
    lines = read(bucket, f"answers/{parts[0]}").splitlines()
    assert len(lines) == 500


def test_a_bucket_that_is_not_there_is_named(programs, spec_file, bucket):
    result = programs.tfd("run", spec_file(storage="s3://nowhere/x"))
    assert result.returncode != 0
    assert "s3://nowhere/x" in result.stderr
