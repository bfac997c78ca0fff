"""`tfd-data feed` against stock pyarrow.flight clients."""

import concurrent.futures
import time

import numpy
import pyarrow
import pytest
from pyarrow import flight

from feed_process import WAIT_SECONDS
from flight_producer import Producer
from image_tables import assert_spooled, random_images, slices
from producer_process import push_partitions


def producer_of(feed, token=None):
    return Producer(
        feed.job, "train", "me", feed=feed.location, token=token or feed.feed_token
    )


def test_mnist_in_ten_partitions_one_of_them_after_its_client_was_killed(
    feed, mnist, tmp_path
):
    tables = slices(mnist, 10)
    producer = producer_of(feed)
    push_partitions(producer, tables, killed=7, folder=tmp_path)

    sealed = {}
    for _ in range(10):
        partition = feed.next_seal()
        sealed[partition["partition"]] = partition
    for told in producer.sealed:
        assert sealed[told.partition]["attempt"] == told.attempt
        assert sealed[told.partition]["crc32c"] == told.crc32c
    for i in range(10):
        assert_spooled(sealed[str(i)], tables[i])


def test_a_killed_feed_goes_on_where_it_was(feed):
    table = random_images(1000)
    for cut in (300, 301, 700):
        stream = producer_of(feed).open("0", "a", table.schema)
        stream.write(table.slice(0, cut), rows_per_batch=50)
        stream.wait_for(cut)
        feed.kill()
        with pytest.raises((flight.FlightError, pyarrow.ArrowException)):
            stream.seal()
        feed.start()
    stream = producer_of(feed).open("0", "a", table.schema)
    assert stream.offset == 700
    stream.write(table)
    assert stream.seal()["rows"] == 1000
    assert_spooled(feed.next_seal(), table)


def test_rows_are_acknowledged_before_the_partition_is_sealed(feed):
    table = random_images(100)
    stream = producer_of(feed).open("0", "a", table.schema)
    for rows in (10, 60, 100):
        stream.write(table.slice(0, rows), rows_per_batch=7)
        stream.wait_for(rows)
        stream.offset = rows
    assert stream.seal()["rows"] == 100
    assert_spooled(feed.next_seal(), table)


def test_the_feed_ends_at_sigterm_and_keeps_its_spool(feed):
    table = random_images(100)
    producer_of(feed).push("0", table)
    partition = feed.next_seal()
    assert feed.stop() == 143
    assert not (feed.folder / "exit_message").exists()
    feed.start()
    assert_spooled(partition, table)


def test_another_attempt_of_a_sealed_partition_is_told_so(feed):
    table = random_images(100)
    producer = producer_of(feed)
    producer.push("0", table)
    with pytest.raises(pyarrow.ArrowException, match="another attempt"):
        producer.push("0", table)


@pytest.mark.parametrize(
    "image",
    [
        pyarrow.array([[1, 2], [3, 4]], pyarrow.list_(pyarrow.uint8())),
        pyarrow.array([[1, 2], [3, 4]], pyarrow.list_(pyarrow.float32(), 2)),
        pyarrow.array([[1.5, 2], [3, 4]], pyarrow.large_list(pyarrow.float64())),
        pyarrow.array([b"ab", b"cd"], pyarrow.binary(2)),
        pyarrow.array([b"ab", b"cd"], pyarrow.large_binary()),
        pyarrow.array([7, -8], pyarrow.int16()),
        pyarrow.FixedShapeTensorArray.from_numpy_ndarray(
            numpy.arange(8, dtype=numpy.float32).reshape(2, 2, 2)
        ),
    ],
    ids=lambda image: str(image.type),
)
def test_features_may_be_of_many_types(feed, image):
    label = pyarrow.array([0, 9], pyarrow.int32())
    table = pyarrow.table({"image": image, "label": label, "other": ["x", "y"]})
    producer_of(feed).push("0", table)
    assert_spooled(feed.next_seal(), table)


@pytest.mark.parametrize(
    "columns, expected",
    [
        ({"img": [b"a"], "label": [1]}, 'no column "image"'),
        ({"image": ["a"], "label": [1]}, "cannot be features"),
        ({"image": [b"a"], "label": [0.5]}, "cast it to int64"),
        ({"image": [b"a"], "label": [10]}, "labels are 0 to 9"),
        ({"image": [b"a", b"ab"], "label": [1, 2]}, "row 1 has another number"),
        ({"image": [b"a", None], "label": [1, 2]}, "null in row 1"),
    ],
)
def test_rows_that_do_not_fit_are_refused_in_words(feed, columns, expected):
    with pytest.raises(pyarrow.ArrowException, match=expected):
        producer_of(feed).push("0", pyarrow.table(columns))


def test_dictionaries_are_refused_in_words(feed):
    table = random_images(10)
    column = table["label"].dictionary_encode()
    table = table.set_column(1, "label", column)
    with pytest.raises(pyarrow.ArrowException, match="dictionary_decode"):
        producer_of(feed).push("0", table)


def test_a_wrong_token_is_refused(feed):
    with pytest.raises(flight.FlightUnauthenticatedError):
        producer_of(feed, token="wrong").push("0", random_images(10))


def test_a_wrong_offset_is_refused(feed):
    table = random_images(100)
    stream = producer_of(feed).open("0", "a", table.schema)
    stream.offset = 40
    with pytest.raises(pyarrow.ArrowException, match="begins at row 40"):
        stream.write(table)
        stream.seal()


def test_a_stream_that_ends_too_early_is_not_sealed_and_goes_on(feed):
    table = random_images(100)
    stream = producer_of(feed).open("0", "a", table.schema)
    stream.write(table.slice(0, 60))
    with pytest.raises(pyarrow.ArrowInvalid, match="has 100 rows, and the spool has 60"):
        stream.seal(rows=100)
    stream = producer_of(feed).open("0", "a", table.schema)
    assert stream.offset == 60
    stream.write(table)
    assert stream.seal(rows=100)["rows"] == 100
    assert_spooled(feed.next_seal(), table)


def test_an_end_without_a_number_of_rows_is_taken_for_the_end(feed):
    table = random_images(100)
    stream = producer_of(feed).open("0", "a", table.schema)
    stream.write(table)
    assert stream.seal()["rows"] == 100
    assert_spooled(feed.next_seal(), table)


def test_a_full_spool_is_refused_in_words(start_feed):
    feed = start_feed(spool_bytes=1 << 20)
    with pytest.raises(Exception, match="data.train.spool_bytes"):
        producer_of(feed).push("0", random_images(10_000, 784), rows_per_batch=100)


def test_what_was_aborted_makes_room_for_what_comes_then(start_feed):
    table = random_images(1000, 784)
    # Room for one and a half.
    feed = start_feed(spool_bytes=int(table.nbytes * 1.5))
    for attempt in ("a", "b", "c"):
        producer_of(feed).push("0", table, attempt=attempt, rows_per_batch=100)
        assert_spooled(feed.next_seal(), table)
        feed.abort("me")
    # Also where nobody comes then.
    deadline = time.monotonic() + WAIT_SECONDS
    while list(feed.spool.glob("train/me/0/*.arrow")):
        assert time.monotonic() < deadline, feed.log()
        time.sleep(0.01)


def test_a_full_disk_holds_the_producer_back_and_is_said(feed):
    table = random_images(10_000, 784)
    feed.fill_disk(1 << 20)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        sealed = pool.submit(producer_of(feed).push, "0", table, rows_per_batch=100)
        notice = feed.next_notice()
        assert notice["kind"] == "DISK_FULL" and "make room" in notice["message"]
        assert feed.process.poll() is None and not sealed.done()
        feed.fill_disk(None)
        assert sealed.result(timeout=WAIT_SECONDS).rows == 10_000
    assert feed.next_notice()["kind"] == "DISK_HAS_ROOM"
    assert_spooled(feed.next_seal(), table)


def test_a_wrong_token_of_the_job_ends_the_feed_with_the_reason(feed):
    feed.kill()
    (feed.folder / "token").write_text("of another job")
    feed.launch()
    assert feed.process.wait(timeout=60) == 1
    assert "wrong token" in (feed.folder / "exit_message").read_text()
