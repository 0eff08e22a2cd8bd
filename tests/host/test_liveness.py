"""D7: what the kernel says of a file system that it has given up."""

from __future__ import annotations

import pathlib

import pytest

from csi_exoblock.host.block_devices import DeviceNumber
from csi_exoblock.host.liveness import Liveness
from csi_exoblock.host.mounts import Mount
from csi_exoblock.host.workers import CallLimit, Workers

NUMBER = DeviceNumber(253, 16)


def mounted(target: pathlib.Path, *super_options: str, options: str = "rw") -> Mount:
    return Mount(
        mount_id="1",
        device=NUMBER,
        superblock=NUMBER,
        root="/",
        target=target,
        filesystem="ext4",
        is_block=False,
        options=frozenset({options}),
        super_options=frozenset({"rw", *super_options}),
        shared=False,
    )


@pytest.fixture
def liveness() -> Liveness:
    return Liveness(workers=Workers(CallLimit(), patience_seconds=60.0, only_informs=False))


@pytest.mark.parametrize(
    ("option", "reason"),
    [("emergency_ro", "FilesystemReadOnly"), ("shutdown", "FilesystemShutDown")],
)
def test_what_the_kernel_has_given_up_is_unusable_even_for_reading(
    liveness: Liveness, tmp_path: pathlib.Path, option: str, reason: str
) -> None:
    found = liveness.why_unusable(mounted(tmp_path, option), writing=False)

    assert found is not None
    assert found.reason == reason


def test_what_is_read_only_is_unusable_for_writing_alone(
    liveness: Liveness, tmp_path: pathlib.Path
) -> None:
    mount = mounted(tmp_path, options="ro")

    assert liveness.why_unusable(mount, writing=False) is None
    assert liveness.why_unusable(mount, writing=True) is not None


def test_a_root_that_can_t_be_read_is_unusable(liveness: Liveness, tmp_path: pathlib.Path) -> None:
    found = liveness.why_unusable(mounted(tmp_path / "gone"), writing=False)

    assert found is not None
    assert found.reason == "FilesystemShutDown"
