"""N14: a process is stuck when it has not answered itself three times in a row, and not before."""

from __future__ import annotations

import pytest

from csi_exoblock.probes import Liveness
from csi_exoblock.timing import Timing

pytestmark = pytest.mark.fast


def test_two_misses_are_bad_luck_and_three_are_the_end() -> None:
    answers: list[bool] = []
    liveness = Liveness(probe=answers.pop, timing=Timing())

    def after(*given: bool) -> bool:
        """Return whether it counts as alive once it has had these answers."""
        for answer in given:
            answers.append(answer)
            liveness.ask()
        return liveness.is_alive()

    assert after(False, False)
    assert not after(False)
    assert after(True)
    assert after(False, False)
    assert after(True, False)
