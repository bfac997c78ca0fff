"""Client.feed against a real `tfd-data feed`: what becomes of each row when
something goes wrong."""

import signal
import time
import weakref

import numpy
import pytest

import tfd
from feed_process import Feed as FeedProcess
from image_tables import assert_spooled, random_images, slices
from tfd import errors, flight
from tfd.feed import Feed

COLUMNS = ["image", "label"]


def wait_for(condition, what, timeout=30):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout} s for {what}"
        time.sleep(0.005)


class Coordinator:
    """What the feed's coordinator knows of one dataset, in the place of
    tfd.flight.DatasetClient."""

    dataset = "train"

    def __init__(self, *feeds):
        self.feeds = feeds
        self.job = feeds[0].job if feeds else "job-1"
        self.partitions = []
        self.producers = {}
        self.calls = []
        self.asked = 0

    def endpoints(self):
        self.asked += 1
        return [(feed.location, feed.feed_token) for feed in self.feeds]

    def take(self, feed, count):
        """The next partitions that this feed has sealed."""
        for _ in range(count):
            self.partitions.append(feed.next_seal())
        # As the coordinator lists them, whichever was sealed first.
        self.partitions.sort(key=lambda partition: partition["partition"])

    def act(self, kind, producer=None, partitions=None):
        if kind != "status":
            self.calls.append((kind, partitions))
        if kind == "begin":
            self.producers.setdefault(producer, False)
        if kind == "commit":
            self.producers[producer] = True
        if kind == "abort":
            self.producers.pop(producer, None)
        producers = [{"name": n, "committed": c} for n, c in self.producers.items()]
        return {"producers": producers, "partitions": self.partitions}

    def kinds(self):
        return [kind for kind, _ in self.calls]

    def committed(self):
        ((kind, partitions),) = [call for call in self.calls if call[0] == "commit"]
        return partitions


@pytest.fixture
def coordinator(feed):
    return Coordinator(feed)


def make_feed(coordinator, **options):
    options = {"producer": "me", "timeout": 60, **options}
    return Feed(coordinator, COLUMNS, **options)


def test_each_partition_is_pushed_and_committed_once(feed, coordinator):
    table = random_images(1000)
    result = make_feed(coordinator).push(table, partitions=7)
    assert (result.rows, result.partitions, result.rows_before) == (1000, 7, 0)
    coordinator.take(feed, 7)
    sealed = {p["partition"]: p for p in coordinator.partitions}
    told = coordinator.committed()
    assert [p["partition"] for p in told] == [f"{n:06}" for n in range(7)]
    begin = 0
    for partition in told:
        assert partition["attempt"] == sealed[partition["partition"]]["attempt"]
        rows = partition["rows"]
        assert_spooled(sealed[partition["partition"]], table.slice(begin, rows))
        begin += rows
    assert begin == 1000
    assert coordinator.kinds() == ["begin", "commit"]


@pytest.fixture
def on_rows(monkeypatch):
    """Has a function called with (partition, rows that have gone out of it)
    whenever that number changes, by the thread that pushes."""

    def hook(function):
        original = flight.put

        def put(node, path, table, timeout, on_rows):
            def told(rows):
                on_rows(rows)
                function(path[4], rows)

            return original(node, path, table, timeout, told)

        monkeypatch.setattr(flight, "put", put)

    return hook


def spooled_bytes(feed):
    return sum(path.stat().st_size for path in feed.spool.rglob("*.arrow"))


def test_a_killed_feed_gets_only_the_rows_that_it_has_not(feed, coordinator, on_rows):
    table = random_images(20_000, 784)  # 16 MB: several batches
    told = []

    def kill_once(partition, rows):
        told.append(rows)
        if rows >= 10_000 and coordinator.asked == 1 and not killed:
            wait_for(lambda: spooled_bytes(feed) > 5 << 20, "rows in the spool")
            killed.append(rows)
            feed.kill()
            feed.start()

    killed = []
    on_rows(kill_once)
    assert make_feed(coordinator).push(table, partitions=1).rows == 20_000
    # Its address is asked for again, and what it has is not sent again.
    assert killed and coordinator.asked == 2
    assert told.count(0) == 1
    coordinator.take(feed, 1)
    assert_spooled(coordinator.partitions[0], table)


class Accident(Exception):
    pass


def test_what_is_given_up_is_neither_sealed_nor_committed(feed, coordinator, on_rows):
    """(pyarrow's writer, closed or collected, says that all is written.)"""
    failing = [True]

    def fail(partition, rows):
        if failing and rows > 2000:
            failing.clear()
            raise Accident

    on_rows(fail)
    with pytest.raises(Accident):
        make_feed(coordinator).push(random_images(20_000, 784), partitions=1)
    assert coordinator.kinds() == ["begin", "abort"]
    coordinator.calls.clear()
    # Of the same width, or the spool would refuse it.
    table = random_images(100, 784)
    make_feed(coordinator).push(table)
    coordinator.take(feed, 1)
    assert_spooled(coordinator.partitions[0], table)


@pytest.mark.parametrize("error", [Accident, KeyboardInterrupt])
def test_an_exception_of_the_iterator_drops_what_was_pushed(feed, coordinator, error):
    def stream():
        yield random_images(100)
        yield random_images(100)
        raise error

    with pytest.raises(error):
        make_feed(coordinator).push(stream(), partition_rows=100)
    assert coordinator.kinds() == ["begin", "abort"]


@pytest.mark.parametrize(
    "data, expected",
    [
        ({"image": [b"a"], "label": [10]}, "label in row 0 is 10.*labels are 0 to 9"),
        ({"picture": [b"a"], "label": [1]}, 'no column "image".*picture: binary'),
        ({"image": [b"a", None], "label": [1, 2]}, "null in row 1"),
        ({"image": numpy.zeros((2, 3), "M8[s]"), "label": [1, 2]}, "cannot be features"),
    ],
)
def test_rows_that_do_not_fit_are_refused_in_words(coordinator, data, expected):
    with pytest.raises(tfd.InvalidError, match=expected) as raised:
        make_feed(coordinator).push(data)
    assert "gRPC" not in str(raised.value) and "Flight" not in str(raised.value)
    # Another try would be no better.
    assert coordinator.asked == 1 and coordinator.kinds() == ["begin", "abort"]


def test_a_wrong_token_is_refused_at_once(feed, coordinator):
    feed.feed_token = "wrong"
    with pytest.raises(tfd.RefusedError, match="token") as raised:
        make_feed(coordinator).push(random_images(10))
    assert raised.value.code == "UNAUTHENTICATED" and coordinator.asked == 1


def test_a_full_spool_names_the_field_to_change(start_feed):
    coordinator = Coordinator(start_feed(spool_bytes=1 << 20))
    with pytest.raises(tfd.RefusedError, match="data.train.spool_bytes"):
        make_feed(coordinator).push(random_images(10_000, 784))


def test_a_partition_that_another_attempt_has_counts_as_pushed(
    feed, coordinator, monkeypatch
):
    """As after a producer that was killed between the seal and its answer."""
    table = random_images(100)
    make_feed(coordinator).push(table)
    coordinator.calls.clear()
    coordinator.producers.clear()
    original = flight.put

    def put(*arguments):
        # By now the client has asked which partitions there are: none.
        coordinator.take(feed, 1)
        return original(*arguments)

    monkeypatch.setattr(flight, "put", put)
    assert make_feed(coordinator).push(table).rows == 100
    (partition,) = coordinator.committed()
    assert partition["attempt"] == coordinator.partitions[0]["attempt"]

    # With other rows it is no retry.
    coordinator.producers.clear()
    sealed, coordinator.partitions = coordinator.partitions, []
    coordinator.take = lambda *unused: coordinator.partitions.extend(sealed)
    with pytest.raises(
        tfd.RefusedError, match="with 100 rows before, and now it has 99"
    ):
        make_feed(coordinator).push(table.slice(0, 99))


def test_a_second_run_pushes_only_what_is_missing(feed, coordinator):
    table = random_images(1000)
    first = slices(table, 4)
    make_feed(coordinator).push(iter(first[:2]), partition_rows=250)
    coordinator.take(feed, 2)
    coordinator.producers["me"] = False  # as if it had been killed before its commit
    coordinator.calls.clear()
    # Other data are refused, and what is there stays.
    with pytest.raises(tfd.RefusedError, match="250 rows before, and now it has 100"):
        make_feed(coordinator).push(iter(first), partition_rows=100)
    assert "abort" not in coordinator.kinds()
    result = make_feed(coordinator).push(iter(first), partition_rows=250)
    assert (result.rows, result.partitions, result.rows_before) == (1000, 4, 500)
    coordinator.take(feed, 2)
    assert [p["partition"] for p in coordinator.partitions] == [
        f"{number:06}" for number in range(4)
    ]
    assert [p["attempt"] for p in coordinator.committed()] == [
        p["attempt"] for p in coordinator.partitions
    ]

    # And one after the commit pushes nothing, unless the data are others.
    coordinator.calls.clear()
    again = make_feed(coordinator).push(table, partition_rows=250)
    assert (again.rows, again.rows_before) == (1000, 1000)
    with pytest.raises(tfd.RefusedError, match="committed 1000 rows.*have 999"):
        make_feed(coordinator).push(table.slice(1))
    assert coordinator.calls == []


def test_a_generator_is_not_held_in_memory(coordinator):
    alive = most = 0

    def forget():
        nonlocal alive
        alive -= 1

    def stream():
        nonlocal alive, most
        for number in range(40):
            images = numpy.full((50, 12), number, numpy.uint8)
            weakref.finalize(images, forget)
            alive += 1
            most = max(most, alive)
            yield {"image": images, "label": numpy.zeros(50, numpy.int64)}

    result = make_feed(coordinator, parallel=2).push(stream(), partition_rows=50)
    assert result.partitions == 40
    # Two are pushed, one waits for them, one is offered, and one is being made.
    assert most <= 5


def test_partitions_go_to_all_nodes_in_turn(start_feed, tmp_path):
    other = FeedProcess((tmp_path / "other").mkdir() or tmp_path / "other")
    try:
        coordinator = Coordinator(start_feed(), other)
        make_feed(coordinator).push(random_images(60), partitions=6)
        for feed in coordinator.feeds:
            coordinator.take(feed, 3)
            names = {int(p["partition"]) for p in coordinator.partitions}
            assert names == ({0, 2, 4} if feed is not other else set(range(6)))
    finally:
        other.close()


def test_what_is_away_for_too_long_is_named():
    class Away(Coordinator):
        def endpoints(self):
            self.asked += 1
            raise errors.of_code("UNAVAILABLE", "job job-1 is not running yet: QUEUED")

    coordinator = Away()
    with pytest.raises(tfd.UnavailableError, match="job-1 got no further.*QUEUED"):
        make_feed(coordinator, timeout=0.5).push(random_images(10))
    assert coordinator.asked > 1 and coordinator.kinds() == ["begin", "abort"]


def test_a_feed_that_hangs_is_given_up(feed, coordinator, on_rows):
    def stop(partition, rows):
        if rows > 0:
            feed.process.send_signal(signal.SIGSTOP)

    on_rows(stop)
    begin = time.monotonic()
    with pytest.raises(tfd.TfdError, match="got no further for 0.5 s"):
        make_feed(coordinator, timeout=0.5).push(random_images(10))
    # And not because the connection is found dead some day.
    assert time.monotonic() - begin < 15


@pytest.mark.parametrize(
    "options, expected",
    [
        ({"partitions": 0}, "partitions=0: it must be at least 1"),
        ({"partition_rows": -1}, "partition_rows=-1: it must be at least 1"),
        ({"partitions": 3}, "needs data whose rows are counted"),
    ],
)
def test_wrong_options_are_refused(options, expected):
    with pytest.raises(tfd.InvalidError, match=expected):
        make_feed(Coordinator()).push(iter([random_images(10)]), **options)
    with pytest.raises(tfd.InvalidError, match="parallel=0"):
        make_feed(Coordinator(), parallel=0)
