"""D2, S6: the right disk is found whatever the links say, and never the wrong one.

The tree that the kernel shows is made of plain files here, for loop devices have no serial.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import HostError, WrongState
from csi_exoblock.host import serials
from csi_exoblock.host.block_devices import DeviceNumber
from csi_exoblock.host.devices import Devices
from csi_exoblock.metrics import Metrics
from csi_exoblock.timing import Timing
from tests.support.metrics import value
from tests.support.waiting import wait_until

MINE = UUID("0a1b2c3d-4e5f-4789-abcd-000000000001")
OTHER = UUID("ffffffff-4e5f-4789-abcd-000000000002")
SOON = 0.01
# How long a disk that hangs is waited for.
SERIAL_SECONDS = 1.0
LONG_SECONDS = 90.0
# Of a disk that answers at once, as far as the driver is concerned.
ANSWER_SECONDS = 0.1


class Host:
    """A host's disks, as sysfs and udev show them."""

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        wait_seconds: float = SOON * Timing().device_wait,
        serial_seconds: float = SERIAL_SECONDS,
    ) -> None:
        self._folder = folder
        self._links = folder / "by-id"
        self._blocks = folder / "sys" / "class" / "block"
        self._numbers = folder / "sys" / "dev" / "block"
        for path in (self._links, self._blocks, self._numbers):
            path.mkdir(parents=True)
        self.metrics = Metrics(CollectorRegistry())
        self.metrics.show(self.metrics.device_link_repaired)
        self.devices = Devices(
            link_dir=self._links,
            timing=replace(
                Timing().scaled(SOON), serial_timeout=serial_seconds, device_wait=wait_seconds
            ),
            metrics=self.metrics,
            sysfs=folder / "sys",
            dev=folder / "dev",
        )

    def add(
        self, name: str, *, serial: str | None, number: str = "254:0", sequence: int = 1
    ) -> None:
        """Plug a disk in; `None` is a disk that has no such attribute."""
        block = self._blocks / name
        (block / "queue").mkdir(parents=True)
        (block / "dev").write_text(f"{number}\n")
        (block / "size").write_text("2097152\n")
        (block / "queue" / "logical_block_size").write_text("4096\n")
        if not (self._numbers / number).exists():
            (self._numbers / number).symlink_to(f"../../class/block/{name}")
        self.set_sequence(name, sequence)
        if serial is not None:
            (block / "serial").write_text(serial)

    def set_sequence(self, name: str, sequence: int) -> None:
        """Number a disk among all that there ever were."""
        (self._blocks / name / "diskseq").write_text(f"{sequence}\n")

    def try_to_find(self) -> str | None:
        """Return the name of the disk that is found for my volume, if one is now."""
        try:
            found = self.devices.find_now(MINE)
        except HostError:
            return None
        return found.name if found else None

    @contextmanager
    def hanging(self, name: str) -> Iterator[None]:
        """Have a disk not answer for its serial, as one whose backend is gone, in the block."""
        serial = self._blocks / name / "serial"
        serial.unlink(missing_ok=True)
        os.mkfifo(serial)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # nobody asks just now
                os.close(os.open(serial, os.O_WRONLY | os.O_NONBLOCK))  # who waits reads nothing

    def set_serial(self, name: str, serial: str) -> None:
        """Have a disk tell another serial."""
        (self._blocks / name / "serial").unlink(missing_ok=True)
        (self._blocks / name / "serial").write_text(serial)

    def link(self, volume: UUID, name: str) -> None:
        """Link a volume's name to a disk, as udev does."""
        (self._links / f"virtio-{str(volume)[:20]}").symlink_to(self._folder / "dev" / name)

    def found(self) -> str:
        """Return the name of the disk that is found for my volume."""
        return self.devices.find(MINE, Deadline(LONG_SECONDS / 3)).name

    def repaired(self) -> float:
        """Return how often a link was found to be absent or wrong."""
        return value(self.metrics.text(), "csi_exoblock_device_link_repaired_total") or 0.0


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Host:
    """A host whose disks all answer."""
    return Host(tmp_path, serial_seconds=LONG_SECONDS)


@pytest.fixture
def hung_host(tmp_path: pathlib.Path) -> Host:
    """A host that soon gives up a disk that hangs."""
    return Host(tmp_path)


def serial_of(volume: UUID) -> str:
    return str(volume)[:20]


def test_link_and_serial_agree(host: Host) -> None:
    host.add("vdb", serial=serial_of(MINE))
    host.link(MINE, "vdb")

    assert host.found() == "vdb"
    assert host.repaired() == 0


def test_swapped_links_are_seen_through(host: Host) -> None:
    host.add("vdb", serial=serial_of(MINE))
    host.add("vdc", serial=serial_of(OTHER))
    host.link(MINE, "vdc")
    host.link(OTHER, "vdb")

    assert host.found() == "vdb"
    assert host.repaired() == 1


def test_the_serial_is_enough_without_udev(host: Host) -> None:
    host.add("vda", serial="")
    host.add("vdb", serial=serial_of(MINE))

    assert host.found() == "vdb"


@pytest.mark.parametrize("serial", ["", serial_of(OTHER)])
def test_a_link_to_a_disk_with_another_serial_or_none_is_a_mismatch(
    host: Host, serial: str
) -> None:
    host.add("vdb", serial=serial)
    host.link(MINE, "vdb")

    with pytest.raises(HostError, match="not there") as caught:
        host.found()

    assert serial in str(caught.value)


def test_a_disk_whose_serial_can_t_be_read_is_not_absent(host: Host) -> None:  # D4
    host.add("vdb", serial="")
    host.link(MINE, "vdb")

    with pytest.raises(HostError, match="vdb, which its link names, doesn't report its serial"):
        host.devices.refuse_unreadable(MINE)


def test_a_disk_that_is_absent_or_another_one_is_absent(host: Host) -> None:  # D4
    host.devices.refuse_unreadable(MINE)
    host.add("vdb", serial=serial_of(OTHER))
    host.add("vda", serial="")
    host.link(MINE, "vdb")

    host.devices.refuse_unreadable(MINE)


def test_two_disks_with_one_serial_are_both_refused(host: Host) -> None:
    host.add("vdb", serial=serial_of(MINE))
    host.add("vdc", serial=serial_of(MINE))
    host.link(MINE, "vdb")

    with pytest.raises(WrongState, match=r"vdb, vdc"):
        host.found()


def test_a_device_without_the_attribute_is_taken_by_its_exact_link(host: Host) -> None:
    host.add("loop7", serial=None)
    host.link(MINE, "loop7")

    assert host.found() == "loop7"


def test_a_partition_is_never_taken_for_the_disk(host: Host, tmp_path: pathlib.Path) -> None:
    host.add("loop7p1", serial=None)
    (tmp_path / "sys" / "class" / "block" / "loop7p1" / "partition").write_text("1")
    host.link(MINE, "loop7p1")

    with pytest.raises(HostError, match="not there"):
        host.found()


def test_a_disk_that_is_missing_is_reported_with_those_that_are_there(host: Host) -> None:  # S6
    host.add("vdc", serial=serial_of(OTHER))

    with pytest.raises(HostError, match=f"serials present: {serial_of(OTHER)}"):
        host.found()


def test_a_disk_that_comes_late_is_waited_for(tmp_path: pathlib.Path) -> None:  # S6
    host = Host(tmp_path, wait_seconds=LONG_SECONDS)
    coming = threading.Timer(0.3, lambda: host.add("vdb", serial=serial_of(MINE)))
    coming.start()

    found = host.devices.find(MINE, Deadline(LONG_SECONDS)).name

    coming.join()
    assert found == "vdb"


def test_the_bus_is_scanned_before_giving_up(host: Host, tmp_path: pathlib.Path) -> None:  # S6
    rescan = tmp_path / "sys" / "bus" / "pci" / "rescan"
    rescan.parent.mkdir(parents=True)
    rescan.write_text("")

    with pytest.raises(HostError):
        host.found()

    # A busy machine may take longer than the driver waits for a scan.
    wait_until(lambda: rescan.read_text() == "1", "the scan")


def test_a_scan_that_never_ends_is_not_waited_for(host: Host, tmp_path: pathlib.Path) -> None:
    """S26: it waits in the kernel for a disk that is being removed and hangs."""
    rescan = tmp_path / "sys" / "bus" / "pci" / "rescan"
    rescan.parent.mkdir(parents=True)
    os.mkfifo(rescan)  # to write there waits for a reader

    with pytest.raises(HostError, match="its disk is not there"):
        host.found()
    with pytest.raises(HostError, match="its disk is not there"):
        host.found()

    assert rescan.read_text() == "1"


def test_a_disk_that_comes_late_is_waited_for_beside_a_stranger_that_hangs(
    tmp_path: pathlib.Path,
) -> None:  # S6, S26: udev could not name the stranger, for it never answered
    host = Host(tmp_path, wait_seconds=LONG_SECONDS)
    host.add("vdc", serial=None, number="254:16")
    coming = threading.Timer(0.3, lambda: host.add("vdb", serial=serial_of(MINE)))

    with host.hanging("vdc"):
        coming.start()
        found = host.devices.find(MINE, Deadline(LONG_SECONDS)).name
        coming.join()

    assert found == "vdb"


def test_the_bus_is_scanned_beside_a_stranger_that_hangs(
    hung_host: Host, tmp_path: pathlib.Path
) -> None:  # S6, D4: the volume may be absent, or be the stranger
    rescan = tmp_path / "sys" / "bus" / "pci" / "rescan"
    rescan.parent.mkdir(parents=True)
    rescan.write_text("")
    hung_host.add("vdc", serial=None, number="254:16")

    with hung_host.hanging("vdc"), pytest.raises(HostError, match=r"vdc.*might be its own"):
        hung_host.found()

    wait_until(lambda: rescan.read_text() == "1", "the scan")


def test_a_disk_that_hangs_and_is_the_volumes_own_is_not_waited_for(
    tmp_path: pathlib.Path,
) -> None:  # S26: its link says so; the answer comes at once, far from the wait's end
    host = Host(tmp_path, wait_seconds=LONG_SECONDS)
    host.add("vdb", serial=None)
    host.link(MINE, "vdb")

    with host.hanging("vdb"), pytest.raises(HostError, match=r"vdb.*doesn't answer"):
        host.found()  # whose caller waits a third of that


def test_a_disk_that_hangs_holds_up_nobody_but_who_asks_for_it(hung_host: Host) -> None:  # S26
    hung_host.add("vdb", serial=serial_of(MINE))
    hung_host.add("vdc", serial=None, number="254:16")
    hung_host.link(OTHER, "vdc")

    with hung_host.hanging("vdc"):
        for _ in range(40):
            with pytest.raises(HostError, match=r"vdc.*doesn't answer"):
                hung_host.devices.find_now(OTHER)
        found = hung_host.devices.find_now(MINE)
        mine = hung_host.devices.is_volume(DeviceNumber(254, 0), MINE)
        seen = [disk.name for _, disk in hung_host.devices.volumes()]
        asked = [each for each in threading.enumerate() if each.name == "serial of vdc"]

    assert found is not None
    assert found.name == "vdb"
    assert mine
    assert seen == ["vdb", "vdc"]
    assert len(asked) == 1


def test_a_disk_that_hangs_after_it_was_known_stays_known(hung_host: Host) -> None:  # S26, D4
    hung_host.add("vdb", serial=serial_of(MINE))
    hung_host.link(MINE, "vdb")
    assert hung_host.found() == "vdb"

    with hung_host.hanging("vdb"):
        while_it_hangs = hung_host.found()
    hung_host.set_serial("vdb", "")  # how virtio shows an error
    empty = hung_host.found()

    assert (while_it_hangs, empty) == ("vdb", "vdb")


def test_a_disk_that_takes_the_name_of_another_is_asked_again(host: Host) -> None:  # D2
    host.add("vdb", serial=serial_of(MINE), sequence=7)
    assert host.found() == "vdb"

    host.set_serial("vdb", serial_of(OTHER))
    host.set_sequence("vdb", 8)

    assert host.devices.find_now(MINE) is None


def test_a_disk_that_answers_at_last_is_found(hung_host: Host) -> None:  # S26
    hung_host.add("vdb", serial=None)
    hung_host.link(MINE, "vdb")
    with hung_host.hanging("vdb"), pytest.raises(HostError, match="doesn't answer"):
        hung_host.found()

    hung_host.set_serial("vdb", serial_of(MINE))

    assert wait_until(lambda: hung_host.try_to_find()) == "vdb"


def test_a_disk_that_was_never_known_and_hangs_may_be_anybodys(hung_host: Host) -> None:
    """D4: a volume is not absent because its disk doesn't say its name, and udev didn't either."""
    hung_host.add("vdc", serial=None)

    with hung_host.hanging("vdc"), pytest.raises(HostError, match="might be its own"):
        hung_host.devices.find_now(MINE)


def test_a_disk_that_hangs_is_another_volume_if_its_link_says_so(hung_host: Host) -> None:  # S26
    hung_host.add("vdc", serial=None, number="254:16")
    hung_host.link(OTHER, "vdc")

    with hung_host.hanging("vdc"):
        assert hung_host.devices.find_now(MINE) is None


def test_a_disk_that_fails_slowly_is_waited_for_once(
    hung_host: Host, tmp_path: pathlib.Path
) -> None:
    """S26: a second for each call would be minutes, and the test would not end in time."""
    hung_host.add("vdc", serial=None)
    serial = tmp_path / "sys" / "class" / "block" / "vdc" / "serial"
    os.mkfifo(serial)

    for _ in range(150):
        with pytest.raises(HostError, match=r"vdc.*doesn't answer"):
            hung_host.devices.find_now(MINE)
        serial.open("wb").close()  # who reads it gets nothing
        wait_until(lambda: "serial of vdc" not in _threads(), "the end of the question")


def test_a_disk_without_a_serial_can_be_asked_for_ever(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S26: what a node's own disk takes for its answers does not add up."""
    host.add("vdc", serial="")
    # Each answer takes a moment, whatever it takes on this machine.
    moments = (number * ANSWER_SECONDS for number in itertools.count())
    monkeypatch.setattr(serials, "time", SimpleNamespace(monotonic=lambda: next(moments)))

    for _ in range(int(2 * LONG_SECONDS / ANSWER_SECONDS)):
        assert host.devices.find_now(MINE) is None


def _threads() -> list[str]:
    return [each.name for each in threading.enumerate()]
