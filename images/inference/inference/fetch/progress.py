"""How far is the download? Said in the log now and then, for whoever watches the pod start."""

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

REPORT_SECONDS = 10.0
MEBIBYTE = 1 << 20


class Progress:
    """Bytes that have arrived, of all that are to come."""

    def __init__(self, total: int, arrived: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self.done = total, arrived
        self._clock, self._lock = clock, threading.Lock()
        self._from, self._started = arrived, clock()
        self._said = self._started

    def add(self, size: int) -> None:
        with self._lock:
            self.done += size
            now = self._clock()
            if now - self._said < REPORT_SECONDS and self.done < self.total:
                return
            self._said = now
            fields = self._fields(now)
        log.info("downloading", extra={"fields": fields})

    def _fields(self, now: float) -> dict[str, float]:
        rate = (self.done - self._from) / max(now - self._started, 1e-3)
        return {
            "bytes": self.done,
            "total_bytes": self.total,
            "percent": round(100 * self.done / max(1, self.total), 1),
            "mib_per_second": round(rate / MEBIBYTE, 1),
            "seconds_left": round((self.total - self.done) / max(rate, 1)),
        }
