"""tfd run: from a spec to a model on one machine."""

import json
import struct

from safetensors.numpy import load_file

from records import make_records


def test_run_trains_evaluates_and_exports(programs, spec_file):
    result = programs.tfd("run", spec_file(), "--json")
    assert result.returncode == 0, result.stderr
    job = json.loads(result.stdout)
    assert job["state"] == "SUCCEEDED"
    # 2,000 records, 2 workers × 32: 63 batches, 32 steps an epoch.
    assert int(job["step"]) == 3 * 32
    assert job["metrics"]["validation_accuracy"] > 0.95
    storage = programs.folder / "storage"
    # A parameter is copied once a step, on its way in, and once at the start.
    parameters = load_file(storage / "export" / "model.safetensors").values()
    copied = 4 * sum(tensor.size for tensor in parameters)
    assert job["metrics"]["exchange_bytes_copied"] == copied * (3 * 32 + 1)
    for name in ("model.pt", "model.safetensors", "model.json"):
        assert (storage / "export" / name).stat().st_size > 0
    assert (storage / "logs" / job["id"] / "worker-0" / "stderr.log").exists()
    states = {task["name"]: task["state"] for task in job["tasks"]}
    assert states == {
        name: "TASK_SUCCEEDED"
        for name in ("ps/0", "worker/0", "worker/1", "evaluator/0")
    }


def test_run_keeps_the_newest_committed_checkpoints(programs, spec_file):
    assert programs.tfd("run", spec_file()).returncode == 0
    folder = programs.folder / "storage" / "checkpoints"
    index = json.loads((folder / "committed.json").read_text())
    steps = [int(entry["step"]) for entry in index["checkpoints"]]
    assert steps == [80, 96]
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["committed.json", "s00000080-g1", "s00000096-g1"]


def test_run_says_where_everything_is(programs, spec_file):
    result = programs.tfd("run", spec_file())
    assert result.returncode == 0, result.stderr
    for text in ("accuracy", "time", "storage/export", "storage/checkpoints", "logs"):
        assert text in result.stdout
    assert "batch size 32 of each worker, 64 of a step" in result.stderr


def test_a_trace_shows_what_each_worker_did(programs, spec_file):
    result = programs.tfd(
        "run", spec_file(), "--trace", "trace.json", "--set", "trace.steps=5"
    )
    assert result.returncode == 0, result.stderr
    assert "wrote trace.json" in result.stderr
    events = json.loads((programs.folder / "trace.json").read_text())["traceEvents"]
    for worker in (0, 1):
        spans = [e for e in events if e["pid"] == worker and e["ph"] == "X"]
        steps = {e["args"]["step"]: e for e in spans if e["name"] == "step"}
        assert sorted(steps) == [0, 1, 2, 3, 4]
        names = {e["name"] for e in spans}
        assert names == {"step", "data", "forward", "backward", "push", "wait", "pull"}
        # What a worker does fills its steps, but for the rounding of times.
        for number, step in steps.items():
            parts = [e for e in spans if e["args"]["step"] == number and e["tid"] == 1]
            assert abs(sum(e["dur"] for e in parts) - step["dur"]) < 10


def test_all_reduce_workers_share_the_optimizers_state(programs, spec_file):
    spec = spec_file(
        model="{builtin: mlp, hidden: [512], classes: 4}",
        strategy="allreduce",
        tasks="{worker: {count: 2}}",
        exchange="{chunk_bytes: 64KiB}",
        stop="{epochs: 1}",
    )
    result = programs.tfd("run", spec, "--json")
    assert result.returncode == 0, result.stderr
    job = json.loads(result.stdout)["id"]
    # (64 + 1) · 512 + (512 + 1) · 4 numbers: 138 KiB in 3 chunks; adam keeps two
    # for each.
    logs = programs.folder / "storage" / "logs" / job
    expected = [("74.0 KiB", "148.0 KiB"), ("64.0 KiB", "128.0 KiB")]
    for worker, (held, state) in enumerate(expected):
        text = (logs / f"worker-{worker}" / "stderr.log").read_text()
        assert f"{held} of parameters here, and {state} of the state of adam" in text


def test_accumulated_batches_train_like_one(programs, spec_file):
    accuracies = []
    for name, flags in (
        ("whole", ["data.train.batch_size=32"]),
        ("parts", ["data.train.batch_size=8", "strategy.accumulate_steps=4"]),
    ):
        flags += [f"storage={name}", "deterministic=true"]
        options = [word for flag in flags for word in ("--set", flag)]
        result = programs.tfd("run", spec_file(), "--json", *options)
        assert result.returncode == 0, result.stderr
        job = json.loads(result.stdout)
        assert int(job["step"]) == 3 * 32
        accuracies.append(job["metrics"]["validation_accuracy"])
    assert abs(accuracies[0] - accuracies[1]) < 0.005
    assert accuracies[1] > 0.95


def test_worker_0_evaluates_and_exports_without_an_evaluator(programs, spec_file):
    spec = spec_file(tasks="{ps: {count: 2, cpus: 0.5}, worker: {count: 2}}")
    result = programs.tfd("run", spec, "--json")
    assert result.returncode == 0, result.stderr
    job = json.loads(result.stdout)
    assert job["metrics"]["validation_accuracy"] > 0.95
    assert (programs.folder / "storage" / "export" / "model.pt").exists()


def test_storage_of_an_earlier_job_is_not_overwritten_by_accident(programs, spec_file):
    spec = spec_file()
    assert programs.tfd("run", spec, "--set", "stop.epochs=1").returncode == 0
    again = programs.tfd("run", spec)
    assert again.returncode == 2
    assert "--resume" in again.stderr and "--overwrite" in again.stderr
    assert programs.tfd("run", spec, "--overwrite").returncode == 0


def test_resume_goes_on_from_the_newest_checkpoint_to_the_bit(programs, spec_file):
    spec = spec_file(deterministic="true")
    for storage, runs in (
        ("whole", [["--set", "stop.steps=60"]]),
        ("parts", [["--set", "stop.steps=40"], ["--set", "stop.steps=60", "--resume"]]),
    ):
        for flags in runs:
            result = programs.tfd("run", spec, "--set", f"storage={storage}", *flags)
            assert result.returncode == 0, result.stderr
    models = [
        (programs.folder / storage / "export" / "model.safetensors").read_bytes()
        for storage in ("whole", "parts")
    ]
    assert models[0] == models[1]


def test_target_ends_the_training(programs, spec_file):
    spec = spec_file(
        stop="{epochs: 1000, target: {metric: accuracy, at_least: 0.9}}",
        checkpoint="{every_steps: 10}",
    )
    result = programs.tfd("run", spec, "--json")
    assert result.returncode == 0, result.stderr
    job = json.loads(result.stdout)
    assert job["metrics"]["validation_accuracy"] >= 0.9
    assert int(job["step"]) < int(job["total_steps"])


def test_csv_trains_and_predicts(programs, spec_file):
    dataset = "{{format: csv, path: data/{}.csv, columns: {{label: label}}, batch_size: 50}}"
    spec = spec_file(
        data=f"{{train: {dataset.format('train')}, validation: {dataset.format('test')}}}"
    )
    assert programs.tfd("run", spec).returncode == 0
    result = programs.tfd(
        "predict", "storage", "data/test.csv", "--label-column", "label", "-o", "p.csv"
    )
    assert result.returncode == 0, result.stderr
    lines = (programs.folder / "p.csv").read_text().splitlines()
    assert lines[0] == "row,label,probability"
    _, labels = make_records(500, seed=2)
    predicted = [int(line.split(",")[1]) for line in lines[1:]]
    assert [int(line.split(",")[0]) for line in lines[1:]] == list(range(500))
    right = sum(p == label for p, label in zip(predicted, labels))
    assert right > 0.95 * 500


def test_predict_on_idx_gives_every_record_in_order(programs, spec_file):
    assert programs.tfd("run", spec_file()).returncode == 0
    result = programs.tfd(
        "predict", "storage/export", "data/test-features",
        "--labels", "data/test-labels", "--top-k", "2", "-o", "p.jsonl",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "accuracy" in result.stderr
    records = [
        json.loads(line)
        for line in (programs.folder / "p.jsonl").read_text().splitlines()
    ]
    assert [record["row"] for record in records] == list(range(500))


def test_validate_starts_nothing_and_says_what_it_found(programs, spec_file):
    result = programs.tfd("validate", spec_file())
    assert result.returncode == 0, result.stderr
    assert "is valid" in result.stdout
    assert not (programs.folder / "storage").exists()


def test_init_writes_a_spec_that_is_valid(programs, data):
    for template in ("mnist", "csv", "pushed"):
        programs.environment["TFD_MNIST_DIR"] = str(data)
        result = programs.tfd("init", template, "-o", f"{template}.yaml")
        assert result.returncode == 0, result.stderr
        result = programs.tfd("validate", f"{template}.yaml", "--spec-only")
        assert result.returncode == 0, result.stderr
    again = programs.tfd("init", "mnist", "-o", "mnist.yaml")
    assert again.returncode == 2 and "is there already" in again.stderr


def test_the_last_short_batch_is_weighted_by_its_records(programs, tmp_path, spec_file):
    """65 records in batches of 64 over 2 workers: slot 1 has one record."""
    features = (tmp_path / "data" / "train-features").read_bytes()
    labels = (tmp_path / "data" / "train-labels").read_bytes()
    (tmp_path / "data" / "train-features").write_bytes(
        features[:4] + struct.pack(">I", 65) + features[8 : 16 + 65 * 64]
    )
    (tmp_path / "data" / "train-labels").write_bytes(
        labels[:4] + struct.pack(">I", 65) + labels[8 : 8 + 65]
    )
    shuffled = "shuffle: false"
    for storage, workers, batch in (("one", 1, 65), ("two", 2, 64)):
        spec = spec_file(
            f"{storage}.yaml",
            optimizer="{name: sgd, lr: 0.1}",
            tasks=f"{{ps: {{count: 1}}, worker: {{count: {workers}}}}}",
            data="{train: {format: idx, features: data/train-features,"
            f" labels: data/train-labels, batch_size: {batch}, {shuffled}}}}}",
            storage=storage,
            stop="{steps: 20}",
        )
        result = programs.tfd("run", spec)
        assert result.returncode == 0, result.stderr
    import numpy
    from safetensors.numpy import load_file

    one, two = (
        load_file(programs.folder / storage / "export" / "model.safetensors")
        for storage in ("one", "two")
    )
    for name, tensor in one.items():
        numpy.testing.assert_allclose(tensor, two[name], rtol=1e-4, atol=1e-6)
