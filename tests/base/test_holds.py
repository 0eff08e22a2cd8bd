"""What a call that finds its volume taken is told, and that a hold never outlives its block."""

import re

import pytest

from csi_exoblock import calls, logs
from csi_exoblock.concurrency import Holds
from csi_exoblock.errors import OperationPending

pytestmark = pytest.mark.fast


def test_a_thing_that_is_held_is_refused_naming_holder_age_and_step() -> None:
    holds = Holds()

    with calls.enter("ControllerPublishVolume"), holds.hold("volume ch-gva-2/6f"):
        logs.step("attach: waiting")
        with (
            pytest.raises(OperationPending) as refused,
            calls.enter("NodeStageVolume"),
            holds.hold("volume ch-gva-2/6f"),
        ):
            pass

    assert re.fullmatch(  # S5
        "volume ch-gva-2/6f: ControllerPublishVolume has held it for [0-9]+ s "
        r"\(attach: waiting\); retry",
        str(refused.value),
    )


def test_the_same_call_cannot_hold_a_thing_twice() -> None:
    holds = Holds()

    with (
        calls.enter("NodeStageVolume"),
        holds.hold("volume a"),
        pytest.raises(OperationPending),
        holds.hold("volume a"),
    ):
        pass


def test_a_hold_ends_with_its_block_also_when_that_fails() -> None:
    holds = Holds()

    with pytest.raises(KeyError), holds.hold("volume a"):
        raise KeyError

    assert holds.oldest_seconds() == 0.0  # S5
    with holds.hold("volume a"), holds.hold("volume b"):
        assert holds.oldest_seconds() > 0.0
