"""What mountinfo says, on lines saved from hosts and containers."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

from csi_exoblock.errors import WrongState
from csi_exoblock.host.block_devices import DeviceNumber
from csi_exoblock.host.commands import Commands
from csi_exoblock.host.holders import Holders
from csi_exoblock.host.loops import Loops
from csi_exoblock.host.mappings import Mappings
from csi_exoblock.host.mounts import Mounts, check_propagation
from csi_exoblock.host.processes import Processes
from csi_exoblock.host.workers import CallLimit, Workers
from csi_exoblock.metrics import Metrics
from csi_exoblock.timing import Timing

KUBELET = pathlib.Path("/var/lib/kubelet")
ROOT = "27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw"
PRIVATE_ROOT = "27 1 0:58 / / rw,relatime - overlay overlay rw,lowerdir=/l"
STAGING = f"{KUBELET}/plugins/kubernetes.io/csi/x/globalmount"
TARGET = f"{KUBELET}/pods/y/mount"


@pytest.fixture
def mounts(tmp_path: pathlib.Path) -> Callable[..., Mounts]:
    def make(*lines: str) -> Mounts:
        (tmp_path / "self").mkdir()
        (tmp_path / "self" / "mountinfo").write_text("".join(f"{line}\n" for line in lines))
        timing = Timing()
        return Mounts(
            commands=Commands(timing=timing, metrics=Metrics(CollectorRegistry())),
            workers=Workers(CallLimit(), patience_seconds=1.0, only_informs=False),
            holders=Holders(
                workers=Workers(CallLimit(), patience_seconds=1.0, only_informs=True),
                loops=Loops(workers=Workers(CallLimit(), patience_seconds=1.0, only_informs=True)),
                processes=Processes(mappings=Mappings(patience_seconds=1.0, later_seconds=1.0)),
            ),
            timing=timing,
            proc=tmp_path,
        )

    return make


def test_a_btrfs_whose_disk_is_gone_is_still_found_by_its_own_number(
    mounts: Callable[..., Mounts],
) -> None:  # D4: its device node has left with the disk, so nothing says which disk it was
    table = mounts(
        ROOT,
        f"90 27 0:77 / {STAGING} rw shared:9 - btrfs /dev/is-gone rw,subvolid=5",
        f"91 27 0:77 / {TARGET} rw shared:9 - btrfs /dev/is-gone rw,subvolid=5",
    )

    (staged,) = table.at(pathlib.Path(STAGING))

    assert staged.device is None
    found = [str(mount.target) for mount in table.of_superblock(staged.superblock)]
    assert found == [STAGING, TARGET]


def test_spaces_in_a_path_are_read(mounts: Callable[..., Mounts]) -> None:
    table = mounts(ROOT, "90 27 7:3 / /mnt/a\\040b rw - ext4 /dev/loop3 rw")

    (mount,) = table.of(DeviceNumber(7, 3))

    assert mount.target == pathlib.Path("/mnt/a b")


def test_a_path_with_spaces_is_found(mounts: Callable[..., Mounts]) -> None:
    table = mounts(ROOT, "90 27 7:3 / /mnt/a\\040b rw - ext4 /dev/loop3 rw")

    assert [mount.device for mount in table.at(pathlib.Path("/mnt/a b"))] == [DeviceNumber(7, 3)]


def test_a_number_is_not_found_in_a_longer_one(mounts: Callable[..., Mounts]) -> None:
    table = mounts(ROOT, "90 27 7:33 / /mnt/a rw - ext4 /dev/loop33 rw")

    assert table.of(DeviceNumber(7, 3)) == ()


def test_the_last_of_several_mounts_on_one_folder_is_the_one_around(
    mounts: Callable[..., Mounts],
) -> None:
    table = mounts(
        ROOT,
        f"80 27 254:1 / {KUBELET} rw - ext4 /dev/vdb rw",
        f"81 80 254:2 / {KUBELET} rw shared:4 - ext4 /dev/vdc rw",
    )

    around = table.around(KUBELET / "plugins")

    assert around is not None
    assert around.device == DeviceNumber(254, 2)


@pytest.mark.parametrize(
    "odd",
    [
        # Seen with 9p, which escapes nothing: Docker Desktop shares such a folder.
        "70 27 0:50 / /mnt/c rw - 9p drvfs rw,aname=drvfs;path=C:\\Program Files\\x;uid=0,trans=fd",
        "70 27 0:50 / /mnt/c rw - 9p my share - really rw,trans=virtio",
        "70 27 0:50 / /mnt/c rw - 9p",
        "70 27 0:50 / /mnt/c rw",
        "with a line break in its options,rw",
        "1 2 a:b / /mnt rw - x y z",
        "",
    ],
)
def test_an_odd_line_of_somebody_elses_mount_changes_nothing(
    mounts: Callable[..., Mounts], odd: str
) -> None:  # S15: it stopped the driver at start
    table = mounts(odd, ROOT, odd, f"90 27 7:3 / {STAGING} rw,nosuid - ext4 /dev/loop3 rw,x", odd)

    (mount,) = table.of(DeviceNumber(7, 3))
    around = table.around(KUBELET)

    check_propagation(table, KUBELET)
    assert mount.target == pathlib.Path(STAGING)
    assert mount.options == {"rw", "nosuid"}
    assert around is not None
    assert around.target == pathlib.Path("/")


def test_a_mount_whose_source_or_options_have_spaces_is_still_seen(
    mounts: Callable[..., Mounts],
) -> None:  # S28: something is mounted at the target, whatever it is
    table = mounts(ROOT, f"70 27 0:50 / {TARGET} rw - 9p drvfs rw,path=C:\\Program Files")

    (mount,) = table.at(pathlib.Path(TARGET))

    assert (mount.filesystem, "rw" in mount.super_options) == ("9p", True)


def test_a_table_without_the_root_is_that_of_a_chroot(mounts: Callable[..., Mounts]) -> None:
    """S15: the driver stopped at start with a trace."""
    table = mounts("80 27 254:1 / /mnt rw - ext4 /dev/vdb rw")

    assert table.around(KUBELET) is None
    check_propagation(table, KUBELET)


@pytest.mark.parametrize(
    "lines",
    [
        (ROOT,),
        (PRIVATE_ROOT, f"80 27 254:1 / {KUBELET} rw shared:5 master:1 - ext4 /dev/vda rw"),
        (PRIVATE_ROOT,),  # a host without systemd
    ],
)
def test_shared_mounts_are_fine(mounts: Callable[..., Mounts], lines: tuple[str, ...]) -> None:
    check_propagation(mounts(*lines), KUBELET)


@pytest.mark.parametrize("tags", ["", " master:1"])
def test_a_container_without_bidirectional_propagation_is_refused_at_start(
    mounts: Callable[..., Mounts], tags: str
) -> None:  # S15: pods would start on empty folders
    table = mounts(PRIVATE_ROOT, f"80 27 254:1 /k {KUBELET} rw{tags} - ext4 /dev/vda rw")

    with pytest.raises(WrongState, match="Bidirectional"):
        check_propagation(table, KUBELET)
