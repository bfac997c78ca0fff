"""Specs as the client reads them. tests/cluster compares with the tfd command."""

import re

import pytest

import tfd
from tfd import spec_file


def problems(spec, overrides=None, **variables):
    with pytest.raises(tfd.InvalidError) as raised:
        spec_file.load(spec, overrides, variables)
    return str(raised.value).splitlines()


def test_everything_that_is_wrong_is_said_at_once_with_its_place(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text(
        "name: x\n"
        "model: {builtin: linera}\n"
        "optimizer:\n"
        "  lr: fast\n"
        "  momentun: 1\n"
        "tasks: {worker: {memory: 5 bananas}}\n"
        "loss: [1]\n"
        "name: y\n"
    )
    found = problems(path)
    assert [line.removeprefix(f"{path}:") for line in found] == [
        "1:7: name: is given twice; remove one",
        '2:18: model.builtin: "linera" is not one of the names; did you mean linear?',
        '4:7: optimizer.lr: "fast" is not a number',
        "5:13: optimizer.momentun: unknown field; did you mean momentum?",
        '6:26: tasks.worker.memory: "5 bananas" is not a size such as 512MiB',
        "7:7: loss: takes fields (name), not list",
    ]


@pytest.mark.parametrize(
    "spec, expected",
    [
        ("a: [\nb", "not valid YAML"),
        ("# nothing\n", "is empty"),
        ("just\ntext", "no job spec"),
        ("&a\nname: *a", "not valid YAML|takes one value"),
        ({"stop": {"epochs": 1.5}}, 'stop.epochs: "1.5" is not a whole number'),
        ({"stop": {"epochs": 1 << 40}}, "stop.epochs: Value out of range"),
        ({"seed": None}, "seed: takes one value, and there is nothing"),
        ({"resume": "yes"}, 'resume: "yes" is not true or false'),
        ({"model": {"hidden": 5}}, r"model.hidden: takes a list; write \[5\]"),
        ({"model": {"hidden": [5, "x"]}}, r'model.hidden\[1\]: "x" is not a'),
        ({"data": {"train": {"timeout": "1 day"}}}, "not a duration such as"),
        ({"data": {"train": {"columns": "x"}}}, "NAME: VALUE"),
        ({"storage": "${NOPE}"}, "the variable NOPE is not set; type: export NOPE"),
        ({"storage": "${NOPE"}, "without }"),
        (
            {"data": {"preprocess": [{"scale": 1, "normalise": {}}]}},
            "excludes scale",
        ),
    ],
)
def test_mistakes_are_named(spec, expected):
    found = "\n".join(problems(spec))
    assert re.search(expected, found), found


def test_a_missing_file_says_what_a_spec_may_be(tmp_path):
    with pytest.raises(tfd.NotFoundError, match="YAML text of more than one line"):
        spec_file.load(str(tmp_path / "none.yaml"))


def test_paths_are_relative_to_the_spec_and_outputs_to_here(tmp_path, monkeypatch):
    (tmp_path / "specs").mkdir()
    path = tmp_path / "specs" / "job.yaml"
    text = (
        "model: {torchscript: ../net.pt}\n"
        "data: {train: {features: ~/f, labels: /l, path: '${P}'}}\n"
        "storage: out\n"
    )
    path.write_text(text)
    monkeypatch.chdir(tmp_path)
    # Text has no folder but the one where it is read.
    for spec, folder in ((path, tmp_path / "specs"), (text, tmp_path)):
        found = spec_file.load(spec, {}, {"HOME": "/home/me", "P": "x/*.csv"})
        assert found.model.torchscript == str(folder.parent / "net.pt")
        train = found.data.train
        assert (train.features, train.labels) == ("/home/me/f", "/l")
        assert train.path == str(folder / "x/*.csv")
        assert found.storage.uri == str(tmp_path / "out")


@pytest.mark.parametrize("text", ["/runs/a/", "/runs/b/../a", "//runs/./a"])
def test_a_folder_has_one_spelling(text):
    assert spec_file.load({"storage": text}).storage.uri == "/runs/a"


def test_overrides_replace_fields():
    spec = {
        "name": "a",
        "optimizer": {"name": "sgd", "lr": 1},
        "data": {"train": {"columns": {"label": "l"}}},
        "seed": 3,
    }
    overrides = {
        "optimizer.lr": 0.5,
        "loss": "cross_entropy",
        "data.train.columns": {"label": "class"},
        "model.hidden": [64, 32],
        "storage": "s3://bucket/x",
        "seed": None,
    }
    found = spec_file.load(spec, overrides)
    assert (found.optimizer.name, found.optimizer.lr) == (1, 0.5)
    assert found.loss.name == 1
    assert dict(found.data.train.columns) == {"label": "class"}
    assert list(found.model.hidden) == [64, 32]
    assert found.storage.uri == "s3://bucket/x"
    assert not found.HasField("seed")
    (problem,) = problems(spec, {"optimiser.lr": 1})
    assert "optimiser.lr" in problem


def test_what_is_overridden_is_no_longer_wrong():
    spec = {"data": {"train": {"path": "${NOPE}"}, "validation": {"path": "${NOPE}"}}}
    train = {"data.train": {"format": "pushed"}}
    (problem,) = problems(spec, train)
    assert "data.validation.path" in problem
    found = spec_file.load(spec, {**train, "data.validation": None})
    assert found.data.train.format == 3
    assert not found.data.HasField("validation")
