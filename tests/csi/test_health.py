"""Health as kubelet takes it: a message that is too long would cost a pod its status (N7)."""

from __future__ import annotations

import pytest

from csi_exoblock.csi.health import volume_health
from csi_exoblock.model import Ailment, VolumeId

pytestmark = pytest.mark.fast


def test_message_is_cut_to_what_kubelet_takes() -> None:
    volume_id = VolumeId.parse("ch-gva-2/0a1b2c3d-4e5f-4789-abcd-000000000001")
    ailment = Ailment(reason="ApiError", message="x" * 2000)

    (entry,) = volume_health(volume_id, (ailment,)).health_statuses

    assert entry.message == "x" * 1024
