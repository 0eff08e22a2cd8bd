"""What a call leaves under way is kept for the next one, but not for ever (C1, S3)."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from csi_exoblock.controller.ledger import Ledger
from csi_exoblock.exoscale.operations import OperationWaiter
from csi_exoblock.timing import Timing

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(("hours", "is_kept"), [(1.0, True), (0.0, False)])
def test_what_a_call_left_that_nobody_repeats_is_forgotten(hours: float, is_kept: bool) -> None:
    # C1: cancelled creates, of which nobody asks again, were kept as long as the process lived
    ledger = Ledger(waiter=Mock(OperationWaiter), timing=Timing().scaled(hours))
    with ledger.hold("volume name abandoned") as left:
        left.mark_lost()

    with ledger.hold("volume name other"):
        pass

    with ledger.hold("volume name abandoned") as entry:
        assert entry.has_pending() is is_kept
