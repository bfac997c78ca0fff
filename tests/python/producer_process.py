"""flight_producer.py as a program of its own, which can be killed."""

import concurrent.futures
import subprocess
import sys
import uuid

import flight_producer
from feed_process import WAIT_SECONDS, Lines
from flight_producer import Sealed, write_table


class ProducerProcess:
    """Pushes one partition to the first node; `next` gives the PutResults one
    after the other, then None. Killed at the end of `with`."""

    def __init__(self, producer, partition, attempt, file, *options):
        location, token = producer.endpoints()[0]
        token_file = file.with_suffix(".token")
        token_file.write_text(token)
        path = ",".join(producer.path(partition, attempt))
        self.process = subprocess.Popen(
            [sys.executable, flight_producer.__file__, file, "--feed", location]
            + ["--token-file", token_file, "--path", path, *map(str, options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lines = Lines(self.process.stdout)
        self.next = self._lines.next

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.kill()
        self.process.stdin.close()
        self._lines.join()

    def kill(self):
        """SIGKILL, as an accident does it."""
        self.process.kill()
        self.process.wait(timeout=WAIT_SECONDS)


def push_after_a_kill(producer, partition, table, cut, folder):
    """Pushes a partition with a client that is killed once `cut` rows are
    acknowledged, and then with one that knows nothing but the attempt."""
    attempt = uuid.uuid4().hex
    file = folder / f"{producer.name}-{partition}.arrow"
    write_table(file, table)
    where = (producer, partition, attempt, file, "--rows-per-batch", cut // 3)
    with ProducerProcess(*where, "--stop-at", cut) as victim:
        assert victim.next() == {"offset": 0}
        assert victim.next() == {"offset": cut}
        victim.kill()
    with ProducerProcess(*where) as resumed:
        assert resumed.next() == {"offset": cut}
        last = resumed.next()
        assert last is not None and last["sealed"] is True, last
        assert resumed.next() is None
    producer.sealed.append(
        Sealed(partition, attempt, last["rows"], last["crc32c"])
    )


def push_partitions(producer, tables, killed, folder):
    """Pushes each table as the partition of its number, some at a time; the one
    with the number `killed` as push_after_a_kill does, half way."""

    def push(number):
        partition, table = str(number), tables[number]
        if number == killed:
            push_after_a_kill(producer, partition, table, table.num_rows // 2, folder)
        else:
            producer.push(partition, table)

    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        list(pool.map(push, range(len(tables))))
