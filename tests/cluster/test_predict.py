"""Jobs that answer records: files in parts, and rows that are pushed."""

import http.server
import json
import pathlib
import struct
import threading
import zlib

import numpy
import pyarrow
import pytest
from pyarrow import flight, parquet

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
    process = programs.start("run", spec, "--set", "restart.max_failures=0")
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
    assert result.returncode == 2  # before anything has started
    assert "predict.output: " in result.stderr
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


def test_parquet_with_outputs_of_layers(programs, trained):
    """fc2 is the last layer, so that its outputs are the model's."""
    spec = predict_spec(
        programs.folder,
        input="{format: idx, features: data/test-features, batch_size: 32}",
        format="parquet",
        top_k=2,
        outputs="[fc1, fc2]",
    )
    result = programs.tfd("run", spec)
    assert result.returncode == 0, result.stderr
    parts = sorted((programs.folder / "answers").glob("part-*.parquet"))
    assert len(parts) == 8
    table = pyarrow.concat_tables(map(parquet.read_table, parts))
    expected = whole_file(programs)
    assert table["row"].to_pylist() == list(range(RECORDS))
    assert table["prediction"].to_pylist() == [
        row["predictions"][0]["label"] for row in expected
    ]
    assert all(len(labels.as_py()) == 2 for labels in table["predictions"])
    logits = numpy.array(table["fc2"].to_pylist())
    assert logits.shape == (RECORDS, 4)
    assert list(logits.argmax(axis=1)) == table["prediction"].to_pylist()
    assert pyarrow.types.is_fixed_size_list(table.schema.field("fc1").type)
    result = programs.tfd("run", spec, "--set", "predict.outputs=[fc9]")
    assert result.returncode == 2
    assert 'there is no layer "fc9"; there are fc1, fc2' in result.stderr


def png(image):
    """A grey image as a PNG file."""

    def chunk(kind, data):
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    rows = b"".join(b"\0" + row.tobytes() for row in image)
    header = struct.pack(">IIBBBBB", image.shape[1], image.shape[0], 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def image_spec(folder, image, **changes):
    source = f"{{format: parquet, path: images.parquet, batch_size: 16, {image}}}"
    return predict_spec(folder, input=source, part_records=16, **changes)


def write_images(folder, values):
    column = pyarrow.array(values)
    parquet.write_table(pyarrow.table({"image": column}), folder / "images.parquet")


def test_images_are_answered_as_their_pixels(programs, trained):
    """One of them broken: it is in its place, with an error."""
    images = make_records(RECORDS, seed=2)[0][:40]
    encoded = [png(image) for image in images]
    encoded[17] = encoded[17][:60]
    write_images(programs.folder, encoded)
    result = programs.tfd("run", image_spec(programs.folder, "image: bytes"))
    assert result.returncode == 1
    assert 'row 17, column "image": the PNG image is damaged' in result.stderr
    spec = image_spec(programs.folder, "image: bytes, bad_rows: skip:1", output="more")
    result = programs.tfd("run", spec)
    assert result.returncode == 0, result.stderr
    found = answers(programs.folder / "more")
    assert "it ends too early" in found[17]["error"]
    expected = whole_file(programs)[:40]
    del found[17], expected[17]
    assert_same(found, expected)


class ImageServer(http.server.BaseHTTPRequestHandler):
    """/NUMBER is an image; /large never ends; /silent says nothing."""

    def do_GET(self):
        name = self.path[1:]
        if name == "silent":
            self.server.silence.wait(60)
        elif name == "moved":
            self.send_response(302)
            self.send_header("Location", "/0")
            self.end_headers()
        elif name == "away":
            self.send_response(302)
            self.send_header("Location", "file:///etc/hostname")
            self.end_headers()
        elif name == "large":
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(bytes(1 << 16))
            except OSError:
                pass  # The client has had enough.
        elif name.isdigit():
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.server.images[int(name)])
        else:
            self.send_error(404)

    def log_message(self, *arguments):
        pass


class ImageServers(http.server.ThreadingHTTPServer):
    request_queue_size = 64  # all that one worker asks for at a time


@pytest.fixture
def image_server():
    server = ImageServers(("127.0.0.1", 0), ImageServer)
    server.silence = threading.Event()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.silence.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_images_behind_urls_are_fetched_within_bounds(programs, trained, image_server):
    images = make_records(RECORDS, seed=2)[0][:40]
    image_server.images = [png(image) for image in images]
    base = f"http://127.0.0.1:{image_server.server_port}/"
    names = [str(i) for i in range(40)]
    bad = {
        9: ("large", "it is larger than 64"),
        20: ("none", "HTTP status 404"),
        21: ("away", "fetching it"),
    }
    for row, (name, _) in bad.items():
        names[row] = name
    names[0] = "moved"
    write_images(programs.folder, [base + name for name in names])
    spec = image_spec(
        programs.folder,
        "image: {source: url, timeout: 1m, max_bytes: 64KiB}, bad_rows: skip:3",
    )
    result = programs.tfd("run", spec)
    assert result.returncode == 0, result.stderr
    found = answers(programs.folder / "answers")
    expected = whole_file(programs)[:40]
    assert [row["row"] for row in found] == list(range(40))
    for row, (name, text) in bad.items():
        assert f'row {row}, column "image", "{base}{name}": ' in found[row]["error"]
        assert text in found[row]["error"]
    for row in sorted(bad, reverse=True):
        del found[row], expected[row]
    assert_same(found, expected)
    # Who says nothing is not waited for.
    write_images(programs.folder, [base + "silent"])
    image = "image: {source: url, timeout: 100ms}"
    result = programs.tfd("run", image_spec(programs.folder, image, output="none"))
    assert result.returncode == 1
    assert f'"{base}silent": it was not there after' in result.stderr


@pytest.fixture
def serving(cluster, trained):
    """A job that answers what is pushed to its two workers."""
    spec = predict_spec(
        pathlib.Path(cluster.programs.folder), input="", output="", outputs="[fc2]"
    )
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
        logits = numpy.stack(client.predict("serve", {"image": images})["fc2"])
        assert list(logits.argmax(axis=1)) == [
            row["predictions"][0]["label"] for row in expected
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
    assert schema.names[:2] == ["prediction", "probability"]
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


def test_pushed_images_are_decoded(cluster, trained):
    spec = predict_spec(
        pathlib.Path(cluster.programs.folder), input="", output="", image="bytes"
    )
    spec.write_text(spec.read_text().replace("  part_records: 64\n", ""))
    cluster.ok("submit", spec, "--id", "serve", "--detach")
    cluster.wait_for_state("serve", "RUNNING")
    images = make_records(RECORDS, seed=2)[0][:50]
    encoded = pyarrow.table({"image": [png(image) for image in images]})
    expected = whole_file(cluster.programs)[:50]
    with tfd.Client(cluster.record()["address"]) as client:
        found = client.predict("serve", encoded)
        assert list(found["prediction"]) == [
            row["predictions"][0]["label"] for row in expected
        ]
        with pytest.raises(tfd.InvalidError, match="neither a JPEG nor a PNG"):
            client.predict("serve", pyarrow.table({"image": [b"GIF89a"]}))
        with pytest.raises(tfd.InvalidError, match="send one column of them"):
            client.predict("serve", {"image": images})


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
