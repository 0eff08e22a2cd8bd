"""N3: the free slots of a node are those that neither own nor foreign volumes take."""

from __future__ import annotations

import pathlib
from uuid import UUID

import pytest

from csi_exoblock.app.inspection import inspected_host
from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import NodeSettings
from csi_exoblock.host.devices import serial_of
from csi_exoblock.model import VolumeId, ZoneName
from csi_exoblock.node.attach_limit import AttachLimit, Handles
from csi_exoblock.timing import Timing
from tests.support.asking import LONG_SECONDS
from tests.tools.objects import DRIVER
from tests.tools.test_doctor_node import FakeDisks

pytestmark = pytest.mark.fast


def uuid(number: int) -> UUID:
    """Return a UUID that differs from others where a serial does."""
    return UUID(f"{number + 1:08}-0000-4000-8000-000000000000")


def limit_on(
    folder: pathlib.Path, volumes: int, handles: Handles | None, *, reserved: int = 0
) -> AttachLimit:
    """Return the limit of a node to which the first volumes of `uuid` are attached."""
    disks = FakeDisks(folder)
    for number in range(volumes):
        disks.add(f"vd{chr(ord('b') + number)}", serial_of(uuid(number)))
    settings = NodeSettings(
        device_dir=folder, kubelet_path=folder, attach_limit=5, reserved_attachments=reserved
    )
    timing = Timing().scaled(20)  # every disk answers in time, on a busy machine too
    host = inspected_host(settings, None, driver_name=DRIVER, timing=timing, sysfs=disks.sysfs)
    host.disks()  # reads every serial
    limit = AttachLimit(settings, occupancy=host.occupancy, handles=handles, timing=timing)
    limit.get(Deadline(LONG_SECONDS))
    return limit


@pytest.mark.parametrize(
    ("attached", "own", "reserved", "free"),
    [(0, 0, 0, 5), (3, 1, 0, 2), (3, 3, 0, 2), (3, 0, 1, 1), (5, 0, 0, 0), (7, 1, 0, 0)],
)
def test_own_and_foreign_volumes_take_one_slot_each(
    tmp_path: pathlib.Path, attached: int, own: int, reserved: int, free: int
) -> None:  # N3
    listed = {str(VolumeId(ZoneName("ch-gva-2"), uuid(each))) for each in range(own)}

    limit = limit_on(tmp_path, attached, lambda: frozenset(listed), reserved=reserved)

    assert limit.foreign() == attached - own
    assert limit.free() == free


def test_outside_of_a_cluster_a_volume_takes_one_slot_too(tmp_path: pathlib.Path) -> None:  # N3
    assert limit_on(tmp_path, 3, None).free() == 2
