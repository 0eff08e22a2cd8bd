"""N14: a process is stuck when it has not answered itself three times in a row, and not before."""

from __future__ import annotations

import threading
from queue import SimpleQueue

import pytest

from csi_exoblock.config import Timing
from csi_exoblock.probes import Liveness

pytestmark = pytest.mark.fast


def test_two_misses_are_bad_luck_and_three_are_the_end() -> None:
    asked, answers = threading.Semaphore(0), SimpleQueue[bool]()

    def probe() -> bool:
        asked.release()
        return answers.get()

    def after(*given: bool) -> bool:
        """Return whether it counts as alive once it has had these answers."""
        for answer in given:
            answers.put(answer)
            asked.acquire()
        return liveness.is_alive()

    liveness = Liveness(probe=probe, timing=Timing(livez_interval=0.001))
    liveness.start()
    asked.acquire()

    assert after(False, False)
    assert not after(False)
    assert after(True)
    assert after(False, False)
    assert after(True, False)
