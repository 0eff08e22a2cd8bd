"""S16: calls that may never return are few, and hold up nobody but who asks the same."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from csi_exoblock.errors import HostError
from csi_exoblock.host.workers import Workers

MOST = 16


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    opened = threading.Event()
    yield opened
    opened.set()


def hang(workers: Workers[bool], gate: threading.Event, key: str) -> None:
    with pytest.raises(HostError, match=f"{key} doesn't answer"):
        workers.run(key, gate.wait)


def test_sixteen_calls_hang_and_no_further_thread_is_begun(gate: threading.Event) -> None:
    workers = Workers[bool](patience_seconds=0.01)
    for number in range(MOST):
        hang(workers, gate, f"volume {number}")
    before = threading.active_count()

    with pytest.raises(HostError, match="16 other calls have not returned"):
        workers.run("volume 17", lambda: True)

    assert threading.active_count() == before


def test_who_asks_what_hangs_is_told_at_once_and_begins_nothing(gate: threading.Event) -> None:
    workers = Workers[bool](patience_seconds=0.01)
    hang(workers, gate, "volume")
    begun = threading.Event()

    def begin() -> bool:
        begun.set()
        return True

    with pytest.raises(HostError, match="doesn't answer"):
        workers.run("volume", begin)

    assert not begun.is_set()


def test_what_has_answered_at_last_is_asked_anew(gate: threading.Event) -> None:
    workers = Workers[bool](patience_seconds=0.01)
    returned = threading.Event()

    def late() -> bool:
        gate.wait()
        returned.set()
        return True

    with pytest.raises(HostError):
        workers.run("volume", late)
    gate.set()
    returned.wait()
    patient = threading.Event()

    def ask() -> bool:
        try:
            return workers.run("volume", lambda: False)
        except HostError:  # its thread has not come to its end yet
            patient.wait(0.01)
            return True

    while ask():
        pass
