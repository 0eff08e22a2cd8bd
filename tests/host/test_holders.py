"""Who uses a device, in a /proc saved from a host with a container that has it mounted (D4, D6)."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

import pytest

from csi_exoblock.errors import HostError
from csi_exoblock.host.block_devices import DeviceNumber
from csi_exoblock.host.holders import Holders, listed
from csi_exoblock.host.loops import Loops
from csi_exoblock.host.mappings import Mappings
from csi_exoblock.host.processes import Processes
from csi_exoblock.host.workers import CallLimit, Workers

pytestmark = pytest.mark.fast

DEVICE = DeviceNumber(253, 16)
DEVICES = frozenset({DEVICE, DeviceNumber(253, 17)})
ROOT = "27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw"
MOUNTED = "612 540 253:16 / /data rw,relatime - ext4 /dev/vdb rw,stripe=16"
# Its number only begins the same.
OTHER = "613 540 253:160 / /other rw,relatime - ext4 /dev/vdk rw"


def processes_in(proc: pathlib.Path) -> Processes:
    return Processes(mappings=Mappings(patience_seconds=60.0, later_seconds=60.0), proc=proc)


@pytest.fixture
def holders(tmp_path: pathlib.Path) -> Holders:
    (tmp_path / "self").mkdir()
    return Holders(
        workers=Workers(CallLimit(), patience_seconds=60.0, only_informs=False),
        loops=Loops(
            workers=Workers(CallLimit(), patience_seconds=60.0, only_informs=False),
            sysfs=tmp_path / "sysfs",
        ),
        processes=processes_in(tmp_path),
        proc=tmp_path,
        sysfs=tmp_path / "sysfs",
    )


def add_process(proc: pathlib.Path, pid: int, name: str, *mounts: str) -> None:
    """Add a process with a mount namespace of its own, so none of its mount ids is another's."""
    folder = proc / str(pid)
    (folder / "fd").mkdir(parents=True)
    (folder / "comm").write_text(f"{name}\n")
    mountinfo = (f"{pid * 100 + n} {line.partition(' ')[2]}\n" for n, line in enumerate(mounts))
    (folder / "mountinfo").write_text("".join(mountinfo))
    (folder / "fd" / "0").symlink_to("/dev/null")
    (folder / "fd" / "1").symlink_to("pipe:[4711]")


def test_who_has_the_device_mounted_in_a_namespace_of_its_own_is_named(
    holders: Holders, tmp_path: pathlib.Path
) -> None:
    add_process(tmp_path, 1, "systemd", ROOT, OTHER)
    add_process(tmp_path, 4100, "postgres", ROOT, MOUNTED)
    (tmp_path / "4101").mkdir()  # it ends while it is read
    (tmp_path / "sys").mkdir()

    assert holders.of_device(DEVICES) == ("a mount at /data for pid 4100 (postgres)",)


def test_who_has_a_file_of_the_file_system_open_is_named(
    holders: Holders, tmp_path: pathlib.Path
) -> None:
    file_system = tmp_path / "mounted"
    file_system.mkdir()
    add_process(tmp_path, 1, "systemd")
    (tmp_path / "1" / "fd" / "0").unlink()  # /dev/null is of another one anyway
    add_process(tmp_path, 7, "tail")
    (tmp_path / "7" / "fd" / "3").symlink_to(file_system)

    assert holders.of_mount(file_system, DEVICE) == "pid 7 (tail)"


def test_commands_of_the_driver_and_views_of_its_mount_are_nobody_else(
    holders: Holders, tmp_path: pathlib.Path
) -> None:  # D13: such a view goes with the mount, and one without a peer stays
    staged = tmp_path / "kubelet" / "staged"
    staged.mkdir(parents=True)
    view = "640 539 253:16 / {target} rw master:7 - ext4 /dev/vdb rw"
    add_process(tmp_path, 1, "systemd", ROOT, view.format(target=staged))
    add_process(tmp_path, 20, "exporter", ROOT, view.format(target=f"/host{staged}"))
    for pid, output in ((30, "/memfd:csi-exoblock command: stdout (deleted)"), (31, "pipe:[1]")):
        add_process(tmp_path, pid, "btrfs", ROOT)
        (tmp_path / str(pid) / "fd" / "1").unlink()
        (tmp_path / str(pid) / "fd" / "1").symlink_to(output)
        (tmp_path / str(pid) / "fd" / "3").symlink_to(staged)
    assert holders.commands_on(staged, DEVICE) == ("pid 30 (btrfs)",)
    assert holders.beside_commands(DEVICE, staged, DEVICE) == ("pid 31 (btrfs)",)

    add_process(tmp_path, 40, "postgres", ROOT, view.format(target="/data"))
    add_process(tmp_path, 41, "agent", view.format(target=staged).replace(" master:7", ""))

    assert {*holders.beside_commands(DEVICE, staged, DEVICE)} == {
        "a mount at /data for pid 40 (postgres)",
        f"a mount at {staged} for pid 41 (agent)",
        "pid 31 (btrfs)",
    }


def test_a_private_mount_of_the_driver_is_nobody_else(
    holders: Holders, tmp_path: pathlib.Path
) -> None:  # D13: nor is it one of a process that shares the namespace, though it can't be read
    staged = "/kubelet/staged"
    (tmp_path / "self" / "mountinfo").write_text(
        f"640 27 253:16 / {staged} rw - ext4 /dev/vdb rw\n"
    )
    add_process(tmp_path, 1, "systemd")
    (tmp_path / "1" / "mountinfo").write_bytes((tmp_path / "self" / "mountinfo").read_bytes())

    assert holders.beside_commands(DEVICE, pathlib.Path(staged), DEVICE) == ()
    assert holders.of_device(DEVICES) == (f"a mount at {staged}",)


def test_nobody_is_said_to_be_nobody(holders: Holders, tmp_path: pathlib.Path) -> None:
    add_process(tmp_path, 1, "systemd", ROOT, OTHER)

    assert holders.of_device(DEVICES) == ()
    assert listed(()) == "nobody that /proc shows"


def test_of_many_eight_are_named(holders: Holders, tmp_path: pathlib.Path) -> None:
    for pid in range(100, 120):
        add_process(tmp_path, pid, "worker", MOUNTED)

    assert len(holders.of_device(DEVICES)) == 8


def test_what_device_mapper_or_mdraid_makes_of_a_disk_holds_it(
    holders: Holders, tmp_path: pathlib.Path
) -> None:  # D4: a mapper that was left open, on the disk or on a partition
    for number, name in (("253:16", "dm-0"), ("253:17", "md127")):
        (tmp_path / "sysfs" / "dev" / "block" / number / "holders" / name).mkdir(parents=True)

    assert holders.of_device(DEVICES) == ("dm-0", "md127")


def test_a_btrfs_is_found_by_its_device_although_its_number_is_invented(
    holders: Holders, tmp_path: pathlib.Path
) -> None:  # D4: /dev of that mount namespace has no such node
    add_process(tmp_path, 9, "postgres", ROOT, "99 27 0:77 / /data rw - btrfs /dev/vdgone rw")
    block = tmp_path / "sysfs" / "dev" / "block"
    block.mkdir(parents=True)
    (block / "253:16").symlink_to("../../devices/virtio3/block/vdgone")

    assert holders.of_device(DEVICES) == ("a mount at /data for pid 9 (postgres)",)


def test_a_search_that_hangs_proves_nothing(tmp_path: pathlib.Path) -> None:
    (tmp_path / "self").mkdir()
    os.mkfifo(tmp_path / "self" / "mountinfo")
    workers = Workers[tuple[str, ...]](CallLimit(), patience_seconds=0.01, only_informs=False)

    with pytest.raises(HostError, match="doesn't answer"):
        Holders(
            workers=workers,
            loops=Loops(
                workers=Workers(CallLimit(), patience_seconds=60.0, only_informs=False),
                sysfs=tmp_path / "sysfs",
            ),
            processes=processes_in(tmp_path),
            proc=tmp_path,
        ).of_device(DEVICES)
    with (tmp_path / "self" / "mountinfo").open("w"):
        pass


@pytest.fixture
def beside_a_hung_loop(tmp_path: pathlib.Path) -> Iterator[Holders]:
    """A host where asking a loop device for its file hangs: the file is on a dead network."""
    (tmp_path / "self").mkdir()
    backing = tmp_path / "sysfs" / "block" / "loop7" / "loop" / "backing_file"
    backing.parent.mkdir(parents=True)
    backing.write_text("/mnt/network/image\n")
    os.mkfifo(tmp_path / "loop7")
    yield Holders(
        workers=Workers(CallLimit(), patience_seconds=60.0, only_informs=False),
        loops=Loops(
            workers=Workers(CallLimit(), patience_seconds=0.01, only_informs=False),
            sysfs=tmp_path / "sysfs",
            dev=tmp_path,
        ),
        processes=processes_in(tmp_path),
        proc=tmp_path,
        sysfs=tmp_path / "sysfs",
    )
    (tmp_path / "loop7").open("wb").close()


def test_a_loop_device_that_hangs_holds_no_file_system_that_was_unmounted(
    beside_a_hung_loop: Holders,
) -> None:  # S26
    assert beside_a_hung_loop.of_device(DEVICES, skip_hung=True) == ()


def test_a_loop_device_that_hangs_may_be_made_of_a_raw_disk(beside_a_hung_loop: Holders) -> None:
    """D4: nobody can see whether it is."""
    with pytest.raises(HostError, match="loop device loop7 doesn't answer"):
        beside_a_hung_loop.of_device(DEVICES)


def test_a_loop_device_that_hangs_hides_nobody(
    beside_a_hung_loop: Holders, tmp_path: pathlib.Path
) -> None:
    add_process(tmp_path, 4100, "postgres", ROOT, MOUNTED)

    assert beside_a_hung_loop.of_device(DEVICES) == ("a mount at /data for pid 4100 (postgres)",)
