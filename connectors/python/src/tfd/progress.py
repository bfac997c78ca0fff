"""A line on a terminal that says how far a feed is."""

from __future__ import annotations

import sys
import threading
import time

# Quicker feeds say nothing.
_QUIET_SECONDS = 2.0
_INTERVAL_SECONDS = 0.2


class Progress:
    """Counts what has gone out. `show` is for one thread, all else for any."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._begin = self._shown = time.monotonic()
        self._lock = threading.Lock()
        self._open = False
        self._waiting = ""
        self.rows = 0
        self.bytes = 0.0

    def add(self, rows: int, size: float) -> None:
        with self._lock:
            self.rows += rows
            self.bytes += size
            if rows > 0:
                self._waiting = ""

    def wait(self, why: str) -> None:
        """Nothing goes out at the moment."""
        self._waiting = why

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begin

    def show(self) -> None:
        now = time.monotonic()
        if now - self._begin < _QUIET_SECONDS or not sys.stderr.isatty():
            return
        if now - self._shown < _INTERVAL_SECONDS:
            return
        self._shown, self._open = now, True
        rate = self.bytes / 1e6 / self.seconds
        text = f"{self.rows:,} rows, {self.bytes / 1e6:,.0f} MB, {rate:,.0f} MB/s"
        if self._waiting:
            text += f"; {self._waiting.splitlines()[0]}"
        sys.stderr.write(f"\r\033[K{self._label}: {text}"[:200])
        sys.stderr.flush()

    def finish(self) -> None:
        if self._open:
            sys.stderr.write("\n")
            sys.stderr.flush()
