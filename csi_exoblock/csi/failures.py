"""What Kubernetes asks for again and again in vain, and for how long (N3)."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

# Calls that are remembered: a bound on memory, above what fails at once in a large cluster.
_MOST = 4096


@dataclass(slots=True)
class _Failing:
    """Times in monotonic seconds."""

    since: float
    asked: float


class Failures:
    """Since when each call has failed every time that it was asked, by method and subject.

        failures.note("CreateSnapshot", "snap-1", succeeded=False)
        ...                                 # the sidecar asks again for ten minutes
        failures.oldest_seconds()           # {"CreateSnapshot": 600.0}
        failures.note("CreateSnapshot", "snap-1", succeeded=True)
        failures.oldest_seconds()           # {"CreateSnapshot": 0.0}

    Args:
        forgotten_seconds: After how long nobody wants any more what is not asked for again.
    """

    def __init__(self, *, forgotten_seconds: float) -> None:
        self._forgotten_seconds = forgotten_seconds
        self._lock = threading.Lock()
        self._failing: dict[tuple[str, str], _Failing] = {}
        self._methods: set[str] = set()

    def note(self, method: str, subject: str, *, succeeded: bool) -> None:
        """Note how a call ended.

        Args:
            subject: What tells it from other calls of the method, such as the volume's id.
        """
        key, now = (method, subject), time.monotonic()
        with self._lock:
            if succeeded:
                self._failing.pop(key, None)
                return
            self._methods.add(method)
            if key in self._failing:
                self._failing[key].asked = now
            elif len(self._failing) < _MOST:
                self._failing[key] = _Failing(since=now, asked=now)

    def oldest_seconds(self) -> Mapping[str, float]:
        """Return, for each method that ever failed, how long its oldest call was asked for in vain.

        The time ends when it was asked for last: another replica may have been asked since.
        """
        now = time.monotonic()
        with self._lock:
            self._failing = {
                key: each
                for key, each in self._failing.items()
                if now - each.asked < self._forgotten_seconds
            }
            oldest = dict.fromkeys(self._methods, 0.0)
            for (method, _), each in self._failing.items():
                oldest[method] = max(oldest[method], each.asked - each.since)
        return oldest
