"""`tfd feed`: files from the shell into a job that runs."""

import os
import signal
import subprocess

import numpy
import pyarrow
import pyarrow.parquet
import pytest
from safetensors.numpy import load_file

from processes import BIN, wait_for
from records import make_records

BATCH = 50


@pytest.fixture
def tables(tmp_path):
    """The small images in three Parquet files."""
    images, labels = make_records(2000, seed=1)
    column = pyarrow.FixedSizeListArray.from_arrays(
        pyarrow.array(numpy.asarray(images, numpy.uint8).reshape(-1)),
        int(numpy.prod(numpy.shape(images)[1:])),
    )
    table = pyarrow.table(
        {"label": pyarrow.array(labels, pyarrow.int64()), "image": column}
    )
    for part in range(3):
        rows = table.slice(part * 700, 700)
        pyarrow.parquet.write_table(rows, tmp_path / f"part-{part}.parquet")
    return tmp_path


@pytest.fixture
def job(spec_file):
    """The spec of a job that is fed."""

    def write(name="fed", train="format: pushed", **changes):
        columns = "columns: {features: image, label: label}"
        if "idx" in train:
            columns = ""
        return spec_file(
            f"{name}.yaml",
            deterministic="true",
            tasks="{ps: {count: 1, cpus: 0.5}, worker: {count: 2, cpus: 0.5}}",
            data=f"{{train: {{{', '.join(filter(None, (train, columns)))},"
            f" batch_size: {BATCH}}}}}",
            stop="{epochs: 2}",
            storage=name,
            **changes,
        )

    return write


def weights(folder):
    return load_file(folder / "export" / "model.safetensors")


def test_files_of_several_formats_are_fed_as_they_would_be_read(
    cluster, job, tables
):
    programs = cluster.programs
    cluster.ok("submit", job(), "--id", "fed", "--detach")
    fed = cluster.tfd("feed", "fed", "train", "part-*.parquet")
    assert fed.returncode == 0, fed.stderr
    assert "2,000 rows in 3 partitions" in fed.stderr
    cluster.wait_for_state("fed", "SUCCEEDED")

    # Again, after all has ended: nothing is pushed, and that is no error.
    again = cluster.tfd("feed", "fed", "train", "part-*.parquet")
    assert again.returncode == 0, again.stderr
    assert "2,000 of them were there already" in again.stderr
    other = cluster.tfd("feed", "fed", "train", "part-0.parquet")
    assert other.returncode != 0
    assert "--producer" in other.stderr

    # IDX, whose columns have other names.
    cluster.ok("submit", job("idx"), "--id", "idx", "--detach")
    idx = cluster.tfd(
        "feed", "idx", "train", "data/train-features", "--format", "idx",
        "--labels", "data/train-labels",
    )
    assert idx.returncode == 0, idx.stderr
    cluster.wait_for_state("idx", "SUCCEEDED")
    # The same records in the same order: the same model.
    one, two = weights(programs.folder / "fed"), weights(programs.folder / "idx")
    for name, tensor in one.items():
        numpy.testing.assert_array_equal(tensor, two[name], err_msg=name)


def test_a_feed_that_failed_half_way_goes_on_behind_what_is_there(
    cluster, job, tables
):
    cluster.ok("submit", job("half"), "--id", "half", "--detach")
    last = tables / "part-2.parquet"
    whole = last.read_bytes()
    last.write_bytes(whole[: len(whole) // 2])
    half = cluster.tfd("feed", "half", "train", "part-*.parquet")
    assert half.returncode != 0 and "part-2.parquet" in half.stderr
    (dataset,) = cluster.job("half")["datasets"]
    assert len(dataset["partitions"]) == 2
    last.write_bytes(whole)
    fed = cluster.tfd("feed", "half", "train", "part-*.parquet")
    assert fed.returncode == 0, fed.stderr
    assert "1,400 of them were there already" in fed.stderr
    cluster.wait_for_state("half", "SUCCEEDED")


def test_a_feed_that_is_killed_is_run_again(cluster, job, tables):
    """Wherever it was killed, each row is there once."""
    programs = cluster.programs
    command = ["feed", "killed", "train", "part-*.parquet"]
    cluster.ok("submit", job("killed"), "--id", "killed", "--detach")
    with subprocess.Popen(
        [BIN / "tfd", *command],
        cwd=programs.folder,
        env=programs.environment,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as feed:
        wait_for(
            lambda: feed.poll() is not None
            or cluster.job("killed")["datasets"][0].get("partitions"),
            "the first partition",
        )
        # With the program that it runs.
        os.killpg(feed.pid, signal.SIGKILL)
    fed = cluster.tfd(*command)
    assert fed.returncode == 0, fed.stderr
    assert "were there already" in fed.stderr
    ended = cluster.wait_for_state("killed", "SUCCEEDED")
    assert ended["datasets"][0]["rows"] == "2000"


@pytest.mark.parametrize("nulls", ["refuse", "drop", "fill:0"])
def test_nulls_are_what_the_spec_makes_of_them(cluster, job, tables, nulls):
    rows = pyarrow.parquet.read_table(tables / "part-0.parquet").to_pylist()
    for row in rows[10:20]:
        row["image"] = None
    image = pyarrow.list_(pyarrow.uint8())
    schema = pyarrow.schema({"label": pyarrow.int64(), "image": image})
    table = pyarrow.Table.from_pylist(rows, schema)
    pyarrow.parquet.write_table(table, tables / "nulls.parquet")
    train = f"format: pushed, nulls: '{nulls}'"
    cluster.ok("submit", job("gaps", train), "--id", "gaps", "--detach")
    fed = cluster.tfd("feed", "gaps", "train", "nulls.parquet")
    if nulls == "refuse":
        assert fed.returncode == 2
        assert '"image" has a null in row 10' in fed.stderr
        assert "nulls: drop" in fed.stderr
        return
    assert fed.returncode == 0, fed.stderr
    ended = cluster.wait_for_state("gaps", "SUCCEEDED")
    assert ended["datasets"][0]["rows"] == "700"
    told = "10 of 700 rows" in cluster.ok("logs", "gaps", "--task", "worker/0")
    assert told == (nulls == "drop")


def test_what_cannot_be_fed_is_said(cluster, job, tables):
    cluster.ok("submit", job(), "--id", "fed", "--detach")
    no_job = cluster.tfd("feed", "nobody", "train", "part-0.parquet")
    assert no_job.returncode != 0 and "nobody" in no_job.stderr
    dataset = cluster.tfd("feed", "fed", "test", "part-0.parquet")
    assert dataset.returncode == 2 and "train or validation" in dataset.stderr
    unfed = cluster.tfd("feed", "fed", "validation", "part-0.parquet")
    assert unfed.returncode != 0 and "format: pushed" in unfed.stderr
    absent = cluster.tfd("feed", "fed", "train", "absent.parquet")
    assert absent.returncode != 0 and "absent.parquet" in absent.stderr
    name = cluster.tfd("feed", "fed", "train", "fed.yaml")
    assert name.returncode == 2 and "--format" in name.stderr
