"""Jobs that answer records: files in parts, and rows that are pushed."""

import json
import pathlib
import threading

import numpy
import pyarrow
import pytest
from pyarrow import flight

import tfd
from processes import wait_for
from records import make_records
from tfd import predict
from tfd.flight import DatasetClient

RECORDS = 500


@pytest.fixture
def trained(programs, spec_file):
    """The export of a small model."""
    result = programs.tfd("run", spec_file(stop="{epochs: 1}"))
    assert result.returncode == 0, result.stderr
    return programs.folder / "storage"


def predict_spec(folder, batch_size=32, **changes):
    fields = {
        "model": "storage",
        "input": "{format: idx, features: data/test-features,"
        f" labels: data/test-labels, batch_size: {batch_size}}}",
        "output": "answers",
        "part_records": 64,
        **changes,
    }
    lines = [f"  {key}: {value}\n" for key, value in fields.items() if value]
    path = folder / "predict.yaml"
    path.write_text(
        "name: answers\npredict:\n" + "".join(lines) + "tasks: {worker: {count: 2}}\n"
    )
    return path


def answers(folder):
    return [
        json.loads(line)
        for part in sorted(folder.glob("part-*.jsonl"))
        for line in part.read_text().splitlines()
    ]


def whole_file(programs, features="data/test-features"):
    """What one process says of the same records."""
    result = programs.tfd("predict", "storage", features, "-o", "p.jsonl")
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in open(programs.folder / "p.jsonl")]


def assert_same(some, others):
    """Batches of other sizes round differently."""
    assert [row["row"] for row in some] == [row["row"] for row in others]
    for one, other in zip(some, others):
        (a,), (b,) = one["predictions"], other["predictions"]
        assert a["label"] == b["label"]
        assert a["probability"] == pytest.approx(b["probability"], abs=1e-5)


def test_parts_have_each_record_once_and_in_order(programs, trained):
    result = programs.tfd("run", predict_spec(programs.folder), "--json")
    assert result.returncode == 0, result.stderr
    job = json.loads(result.stdout)
    assert job["state"] == "SUCCEEDED"
    assert int(job["step"]) == 8  # ⌈500 / 64⌉
    folder = programs.folder / "answers"
    assert len(list(folder.glob("part-*.jsonl"))) == 8
    assert_same(answers(folder), whole_file(programs))


def test_a_run_that_lost_a_worker_goes_on(programs, trained):
    """kill -9 while parts are being written; then the same again."""
    spec = predict_spec(
        programs.folder,
        # Many parts, so that it is far from its end when the first is there.
        input="{format: idx, features: data/train-features,"
        " labels: data/train-labels, batch_size: 1}",
        part_records=1,
    )
    folder = programs.folder / "answers"
    process = programs.start("run", spec)
    wait_for(lambda: list(folder.glob("part-*.jsonl")), "a part")
    programs.tasks("worker")[1].kill()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors
    assert "worker/" in errors and "killed by SIGKILL" in errors
    before = {path: path.stat().st_mtime_ns for path in folder.glob("part-*.jsonl")}
    assert 0 < len(before) < 2000
    result = programs.tfd("run", spec)
    assert result.returncode == 0, result.stderr
    assert_same(answers(folder), whole_file(programs, "data/train-features"))
    for path, written in before.items():
        assert path.stat().st_mtime_ns == written


def test_answers_of_another_model_are_not_mixed_in(programs, trained, spec_file):
    spec = predict_spec(programs.folder)
    assert programs.tfd("run", spec).returncode == 0
    result = programs.tfd("run", spec_file(seed=2, stop="{epochs: 1}"), "--overwrite")
    assert result.returncode == 0, result.stderr
    result = programs.tfd("run", spec)
    assert result.returncode == 1
    assert "has the answers of another model" in result.stderr


def test_names_of_labels_and_csv(programs, trained):
    names = ["upper, left", "upper right", "lower left", "lower right"]
    (programs.folder / "names.txt").write_text("\n".join(names) + "\n")
    spec = predict_spec(
        programs.folder, labels="names.txt", format="csv", part_records=1000
    )
    result = programs.tfd("run", spec)
    assert result.returncode == 0, result.stderr
    (part,) = (programs.folder / "answers").glob("part-*.csv")
    header, first, *more = part.read_text().splitlines()
    assert header == "row,label,probability"
    label = make_records(RECORDS, seed=2)[1][0]
    written = f'"{names[label]}"' if "," in names[label] else names[label]
    assert first.startswith(f"0,{written},")
    assert len(more) == RECORDS - 1


def test_what_does_not_fit_is_said_before_anything_starts(programs, trained):
    spec = predict_spec(programs.folder, model="nowhere", top_k=2)
    result = programs.tfd("run", spec)
    assert result.returncode == 2
    assert "predict.model" in result.stderr and "nowhere" in result.stderr
    result = programs.tfd("run", predict_spec(programs.folder, top_k=5))
    assert result.returncode == 2
    assert "top_k is 5, and the model has 4 classes" in result.stderr


@pytest.fixture
def serving(cluster, trained):
    """A job that answers what is pushed to its two workers."""
    spec = predict_spec(pathlib.Path(cluster.programs.folder), input="", output="")
    spec.write_text(spec.read_text().replace("  part_records: 64\n", ""))
    cluster.ok("submit", spec, "--id", "serve", "--detach")
    cluster.wait_for_state("serve", "RUNNING")
    return cluster


def test_pushed_rows_are_answered_in_their_order(serving):
    images, labels = make_records(RECORDS, seed=2)
    expected = whole_file(serving.programs)
    with tfd.Client(serving.record()["address"]) as client:
        for rows in (RECORDS, 3, 1, 0):
            found = client.predict("serve", {"image": images[:rows]})
            assert len(found) == rows
            assert list(found["prediction"]) == [
                row["predictions"][0]["label"] for row in expected[:rows]
            ]
        # As floats, and in two columns.
        halves = images.reshape(RECORDS, 2, -1).astype(numpy.float64)
        found = client.predict(
            "serve",
            {"a": halves[:, 0], "b": halves[:, 1], "label": labels},
            columns=["a", "b"],
        )
        numpy.testing.assert_allclose(
            found["probability"],
            [row["predictions"][0]["probability"] for row in expected],
            atol=1e-5,
        )
        with pytest.raises(tfd.InvalidError, match="a row has 32 numbers"):
            client.predict("serve", {"image": images[:, :4]})
        with pytest.raises(tfd.InvalidError, match="there is no column no"):
            client.predict("serve", {"image": images}, columns=["no"])
        serving.ok("cancel", "serve")
        serving.wait_for_state("serve", "CANCELLED")
        with pytest.raises(tfd.RefusedError, match="has ended"):
            client.predict("serve", {"image": images})


def test_a_stream_of_batches_is_answered_in_their_order(serving):
    """As Spark's executors ask: more batches than are under way, of any size."""
    images, _ = make_records(RECORDS, seed=2)
    pixels = pyarrow.array(images.reshape(-1))
    column = pyarrow.FixedSizeListArray.from_arrays(pixels, 64)
    rows = pyarrow.RecordBatch.from_arrays([column], names=["image"])
    address = serving.record()["address"]
    source = DatasetClient(address, None, "serve", predict.FLIGHT)
    schema = predict.answer_schema(source, rows.schema, 30)
    assert schema.names == ["prediction", "probability"]
    expected = [row["predictions"][0]["label"] for row in whole_file(serving.programs)]
    sizes = [1, 99, 100, 0, 200, 50, 50]
    for number in range(2):  # of the workers
        at = [sum(sizes[:i]) for i in range(len(sizes))]
        batches = (rows.slice(begin, size) for begin, size in zip(at, sizes))
        found = list(predict.stream(source, number, batches, 30))
        assert [batch.num_rows for batch in found] == sizes
        labels = pyarrow.Table.from_batches(found)["prediction"].to_pylist()
        assert labels == expected
    assert not list(predict.stream(source, 0, iter([]), 30))
    narrow = pyarrow.RecordBatch.from_arrays([pixels.slice(0, 4)], names=["image"])
    with pytest.raises(tfd.InvalidError, match="a row has 1 numbers"):
        list(predict.stream(source, 0, iter([narrow]), 30))


def test_any_flight_client_can_ask(serving):
    """Nothing of tfd's but addresses; a wrong token, another job, a wrong schema."""
    coordinator = flight.connect(f"grpc://{serving.record()['address']}")
    path = flight.FlightDescriptor.for_path("jobs", "serve", "predict")
    endpoints = coordinator.get_flight_info(path).endpoints
    assert len(endpoints) == 2
    worker = flight.connect(endpoints[0].locations[0])
    images, _ = make_records(RECORDS, seed=2)
    pixels = pyarrow.array(images.reshape(-1))
    table = pyarrow.table({"image": pyarrow.FixedSizeListArray.from_arrays(pixels, 64)})

    def ask(table, token, descriptor=path):
        headers = [(b"authorization", f"Bearer {token}".encode())]
        options = flight.FlightCallOptions(timeout=60, headers=headers)
        writer, reader = worker.do_exchange(descriptor, options)

        def write():
            try:
                writer.begin(table.schema)
                writer.write_table(table, max_chunksize=7)
                writer.done_writing()
            except (pyarrow.ArrowException, OSError):
                pass  # The reading side says why.

        thread = threading.Thread(target=write)
        thread.start()
        try:
            return [chunk.data for chunk in reader]
        finally:
            thread.join()

    token = endpoints[0].ticket.ticket.decode()
    batches = ask(table, token)
    # One batch for each, of as many rows.
    assert [batch.num_rows for batch in batches] == [7] * (RECORDS // 7) + [
        RECORDS % 7
    ]
    with pytest.raises(flight.FlightUnauthenticatedError):
        ask(table, "wrong")
    other = flight.FlightDescriptor.for_path("jobs", "other", "predict")
    with pytest.raises(pyarrow.ArrowException, match="is of job serve and not of"):
        ask(table, token, other)
    text = pyarrow.table({"image": ["a", "b"]})
    with pytest.raises(pyarrow.ArrowInvalid, match="cannot be features"):
        ask(text, token)
    # What was refused has harmed nobody.
    assert len(ask(table, token)) == len(batches)


def test_a_job_that_trains_does_not_answer(cluster, spec_file):
    cluster.ok("submit", spec_file(), "--id", "training", "--detach")
    with tfd.Client(cluster.record()["address"]) as client:
        with pytest.raises(tfd.RefusedError, match="does not answer rows: it trains"):
            client.predict("training", {"image": numpy.zeros((1, 8, 8))})
    cluster.ok("cancel", "training")
