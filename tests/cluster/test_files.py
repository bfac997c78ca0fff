"""Files of tables: what is trained from them is what is trained from IDX."""

import json

import pytest
from safetensors.numpy import load_file

FORMATS = {
    "parquet": "train.parquet",
    "arrow": "train.arrow",
    "tfrecord": "train.tfrecord.gz",
}


def convert(programs, name, output):
    result = programs.tfd(
        "data", "convert", f"data/{name}-features", f"data/{output}", "--from", "idx",
        "--labels", f"data/{name}-labels",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result


def train(programs, spec, storage):
    result = programs.tfd("run", spec, "--json", "--set", f"storage={storage}")
    assert result.returncode == 0, result.stderr
    job = json.loads(result.stdout)
    assert job["state"] == "SUCCEEDED"
    model = load_file(programs.folder / storage / "export" / "model.safetensors")
    return job["metrics"]["validation_loss"], model


def test_every_format_trains_to_the_same_model(programs, spec_file):
    validation = (
        " validation: {format: idx, features: data/test-features,"
        " labels: data/test-labels, batch_size: 100}"
    )
    common = {"deterministic": "true", "stop": "{epochs: 1}"}
    loss, model = train(programs, spec_file(**common), "from-idx")
    for name, file in FORMATS.items():
        convert(programs, "train", file)
        spec = spec_file(
            f"{name}.yaml",
            data=f"{{train: {{format: {name}, path: data/{file},"
            " columns: {features: features, label: label}, batch_size: 32},"
            f"{validation}}}",
            **common,
        )
        other_loss, other = train(programs, spec, f"from-{name}")
        assert other_loss == loss
        assert model.keys() == other.keys()
        assert all((model[key] == other[key]).all() for key in model)


@pytest.fixture
def model(programs, spec_file):
    assert programs.tfd("run", spec_file(stop="{epochs: 1}")).returncode == 0
    return "storage"


def test_predict_reads_every_format(programs, model):
    result = programs.tfd(
        "predict", model, "data/test-features", "--labels", "data/test-labels",
        "-o", "p.csv",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    expected = (programs.folder / "p.csv").read_text()
    accuracy = result.stderr.partition("accuracy")[2]
    for file in ("test.csv", "test.parquet", "test.arrow", "test.tfrecord"):
        convert(programs, "test", file)
        result = programs.tfd(
            "predict", model, f"data/{file}", "--label-column", "label", "-o", "q.csv"
        )
        assert result.returncode == 0, result.stderr
        assert (programs.folder / "q.csv").read_text() == expected
        assert result.stderr.partition("accuracy")[2] == accuracy


def test_a_conversion_that_fails_leaves_nothing(programs, data):
    (data / "bad.csv").write_text("a,label\n1,2\n1,2,3\n")
    before = sorted(data.iterdir())
    result = programs.tfd("data", "convert", "data/bad.csv", "data/bad.parquet")
    assert result.returncode == 2
    assert "bad.csv:3: has 3 values, and the header line 2 columns" in result.stderr
    result = programs.tfd("data", "convert", "data/absent.csv", "data/bad.parquet")
    assert result.returncode == 2
    assert sorted(data.iterdir()) == before
