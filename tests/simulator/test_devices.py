"""Volumes attached to this host are block devices with 4096-byte sectors, and keep their bytes."""

from __future__ import annotations

import fcntl
import os
import pathlib
import signal
import struct
import subprocess
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from csi_exoblock.simulator.state.modes import Question
from tests.simulator.client import ZoneClient
from tests.support.loop_devices import loop_devices_below
from tests.support.simulator_process import SimulatorProcess

pytestmark = pytest.mark.root

BYTES_PER_GIB = 1024**3
SECTOR_BYTES = 4096
BLKSSZGET = 0x1268
INSTANCE = "6f1c2d3e-0000-4000-8000-000000000000"


class Host:
    """A cloud whose instance is this host.

    Attributes:
        links: Where the links to devices appear.
        state: Where the simulator keeps its files.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.links = folder / "by-id"
        self.state = folder / "state"
        self._folder = folder
        self.cloud = self.start()
        self.zone = ZoneClient(self.cloud, self.cloud.zones[0])

    def start(self, *flags: str) -> SimulatorProcess:
        """Start a simulator over this host's folders."""
        return SimulatorProcess.start(
            "--latency", "0s", "--local-instance", INSTANCE,
            "--device-dir", str(self.links), "--state-dir", str(self.state), *flags,
        )  # fmt: skip

    def restart(self, *flags: str) -> None:
        """Start another simulator after the first has ended."""
        self.zone.close()
        self.cloud = self.start(*flags)
        self.zone = ZoneClient(self.cloud, self.cloud.zones[0])

    def link(self, volume: str) -> pathlib.Path:
        """Return where the device of a volume appears."""
        return self.links / f"virtio-{volume[:20]}"

    def attach(self, volume: str) -> pathlib.Path:
        """Attach a volume to this host, and return its device."""
        self.zone.attach(volume, INSTANCE)
        return self.link(volume)

    def write(self, volume: str, text: bytes, offset: int = 0) -> None:
        """Attach a volume, write to its disk, and leave it attached."""
        with self.attach(volume).open("r+b") as device:
            os.pwrite(device.fileno(), text, offset)
            os.fsync(device.fileno())

    def devices(self) -> list[str]:
        """Return the loop devices whose file is in this host's folders."""
        return list(loop_devices_below(self._folder))

    def read(self, volume: str, length: int, offset: int = 0) -> bytes:
        """Read from the disk of an attached volume."""
        with self.link(volume).open("rb") as device:
            return os.pread(device.fileno(), length, offset)

    def size_bytes(self, volume: str) -> int:
        """Return the size of the disk of an attached volume."""
        with self.link(volume).open("rb") as device:
            return device.seek(0, os.SEEK_END)

    def close(self) -> None:
        """End the simulator, and remove what it should have removed."""
        self.zone.close()
        self.cloud.stop()
        for device in self.devices():
            subprocess.run(["losetup", "--detach", device], check=True)


@contextmanager
def mounted(device: pathlib.Path, folder: pathlib.Path, type: str = "") -> Iterator[pathlib.Path]:
    """Mount a file system, beside the one it is a copy of if need be."""
    folder.mkdir()
    options = ["-o", "nouuid"] if type == "xfs" else []
    subprocess.run(["mount", *options, str(device), str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    """This host, as an instance of a cloud."""
    host = Host(tmp_path)
    yield host
    host.close()


def test_attached_volume_is_a_device_with_4096_byte_sectors(host: Host) -> None:  # S25
    volume = host.zone.create_volume(size=2)

    link = host.attach(volume)

    with link.open("rb") as device:
        sector_bytes = fcntl.ioctl(device, BLKSSZGET, struct.pack("i", 0))
    assert struct.unpack("i", sector_bytes) == (SECTOR_BYTES,)
    assert host.size_bytes(volume) == 2 * BYTES_PER_GIB
    assert [str(link.readlink())] == host.devices()
    assert [each["device"] for each in host.cloud.volumes()] == host.devices()


def test_detached_volume_leaves_no_device_and_no_link(host: Host) -> None:
    volume = host.zone.create_volume()
    host.attach(volume)

    host.zone.detach(volume)

    assert list(host.links.iterdir()) == []
    assert host.devices() == []


def test_device_appears_only_when_the_attach_succeeds(host: Host) -> None:  # S6
    volume = host.zone.create_volume()
    host.cloud.add_fault(fault="hang", operation="attach-block-storage-volume-to-instance")

    body = {"instance": {"id": INSTANCE}}
    operation = host.zone.begin("PUT", f"block-storage/{volume}:attach", body)
    before = host.devices()
    host.cloud.finish_operation(host.zone.zone, operation["id"])

    assert before == []
    assert host.size_bytes(volume) == BYTES_PER_GIB


def test_new_volume_reads_as_zeros(host: Host) -> None:  # D1
    volume = host.zone.create_volume()

    host.attach(volume)

    assert host.read(volume, 2**20) == bytes(2**20)


def test_bytes_outlive_the_attachment(host: Host) -> None:
    volume = host.zone.create_volume()
    host.write(volume, b"canary", BYTES_PER_GIB - SECTOR_BYTES)

    host.zone.detach(volume)
    host.attach(volume)

    assert host.read(volume, 6, BYTES_PER_GIB - SECTOR_BYTES) == b"canary"


def test_larger_restore_has_the_bytes_of_the_snapshots_moment(host: Host) -> None:  # S8, S18
    volume = host.zone.create_volume()
    host.write(volume, b"before")
    snapshot = host.zone.create_snapshot(volume)
    with host.link(volume).open("r+b") as device:
        os.pwrite(device.fileno(), b"after!", 0)
        os.fsync(device.fileno())
    host.zone.detach(volume)
    host.zone.complete("DELETE", f"block-storage/{volume}")

    body = {"block-storage-snapshot": {"id": snapshot}, "size": 3}
    restored = host.zone.complete("POST", "block-storage", body)
    host.attach(restored)

    assert host.read(restored, 6) == b"before"
    assert host.size_bytes(restored) == 3 * BYTES_PER_GIB
    assert host.read(restored, 6, 3 * BYTES_PER_GIB - SECTOR_BYTES) == bytes(6)


@pytest.mark.parametrize("type", ["ext4", "xfs"])
def test_snapshot_of_a_mounted_file_system_is_of_one_moment(
    host: Host, tmp_path: pathlib.Path, type: str
) -> None:  # S18
    """What was not yet on the disk shows that the file system was held still."""
    volume = host.zone.create_volume()
    device = host.attach(volume)
    subprocess.run([f"mkfs.{type}", "-q", str(device)], check=True)

    with mounted(device, tmp_path / "source") as folder:
        (folder / "written").write_text("not synced")
        snapshot = host.zone.create_snapshot(volume)
        (folder / "written").write_text("still writable")
    restore = {"block-storage-snapshot": {"id": snapshot}}
    restored = host.zone.complete("POST", "block-storage", restore)
    with mounted(host.attach(restored), tmp_path / "restored", type) as folder:
        text = (folder / "written").read_text()

    assert text == "not synced"


def test_resized_volume_is_larger_at_the_next_attach(host: Host) -> None:  # S7
    volume = host.zone.create_volume()
    host.write(volume, b"canary")
    host.zone.detach(volume)

    host.zone.send("PUT", f"block-storage/{volume}:resize-volume", {"size": 2})
    host.attach(volume)

    assert host.size_bytes(volume) == 2 * BYTES_PER_GIB
    assert host.read(volume, 6) == b"canary"


def test_volume_of_a_stopped_instance_grows_where_it_is(host: Host) -> None:  # N2
    volume = host.zone.create_volume()
    host.attach(volume)
    host.cloud.set_instance_state(host.zone.zone, INSTANCE, "stopped")

    host.zone.send("PUT", f"block-storage/{volume}:resize-volume", {"size": 2})

    assert host.size_bytes(volume) == 2 * BYTES_PER_GIB


def test_largest_volume_takes_no_room(host: Host) -> None:
    volume = host.zone.create_volume(size=10240)

    host.write(volume, b"end", 10240 * BYTES_PER_GIB - SECTOR_BYTES)
    snapshot = host.zone.create_snapshot(volume)

    files = [host.state / "volumes" / f"{volume}.img", host.state / "snapshots" / f"{snapshot}.img"]
    assert all(file.stat().st_size == 10240 * BYTES_PER_GIB for file in files)
    assert all(file.stat().st_blocks * 512 < 2**20 for file in files)


def test_volume_of_another_instance_has_no_device_and_no_file(host: Host) -> None:
    volume = host.zone.create_volume()

    host.zone.attach(volume, host.cloud.add_instance(host.zone.zone))

    assert host.devices() == []
    assert list((host.state / "volumes").iterdir()) == []


def test_volume_moves_from_one_local_instance_to_another(host: Host) -> None:  # D3
    volume = host.zone.create_volume()
    host.write(volume, b"canary")
    host.zone.detach(volume)

    host.zone.attach(volume, host.cloud.add_instance(host.zone.zone, local=True))

    assert host.read(volume, 6) == b"canary"


@pytest.mark.parametrize("way", ["delete", "destroy", "remove"])
def test_device_goes_with_its_volume_or_instance(host: Host, way: str) -> None:
    volume = host.zone.create_volume()
    host.attach(volume)
    host.cloud.set_mode("delete-attached", "accepted")

    match way:
        case "delete":
            host.zone.complete("DELETE", f"block-storage/{volume}")
        case "destroy":
            host.cloud.set_instance_state(host.zone.zone, INSTANCE, "destroyed")
        case "remove":
            host.cloud.remove_instance(host.zone.zone, INSTANCE)

    assert host.devices() == []
    assert list(host.links.iterdir()) == []


def test_detach_from_an_instance_that_goes_leaves_the_device_of_the_next(host: Host) -> None:
    volume = host.zone.create_volume()
    host.write(volume, b"canary")
    host.cloud.add_fault(fault="hang", operation="detach-block-storage-volume")
    operation = host.zone.begin("PUT", f"block-storage/{volume}:detach")
    host.cloud.set_instance_state(host.zone.zone, INSTANCE, "destroyed")
    host.zone.attach(volume, host.cloud.add_instance(host.zone.zone, local=True))

    host.cloud.finish_operation(host.zone.zone, operation["id"])

    assert host.read(volume, 6) == b"canary"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_no_further_signal_disturbs_the_cleaning_up(host: Host, number: signal.Signals) -> None:
    for _ in range(3):
        host.attach(host.zone.create_volume())

    code = host.cloud.stop(number, again=True)

    assert code == 0
    assert host.devices() == []
    assert list(host.links.iterdir()) == []
    assert list(host.state.glob("*/*.img")) == []


def test_detach_in_use_is_noticed(host: Host) -> None:  # D6
    volume, quiet = host.zone.create_volume(), host.zone.create_volume()
    host.attach(quiet)
    host.zone.detach(quiet)

    with host.attach(volume).open("rb"):
        host.zone.detach(volume)

    noticed = {each["id"]: each["detached-in-use"] for each in host.cloud.volumes()}
    assert noticed == {volume: True, quiet: False}


def test_attach_without_a_device_is_an_operation_that_failed(host: Host) -> None:
    volume = host.zone.create_volume()
    host.links.rmdir()
    host.links.touch()

    body = {"instance": {"id": INSTANCE}}
    operation = host.zone.wait(host.zone.begin("PUT", f"block-storage/{volume}:attach", body))
    host.links.unlink()

    assert (operation["state"], operation["reason"]) == ("failure", "fault")
    assert host.zone.volume(volume)["state"] == "detached"
    assert host.devices() == []


def test_deleted_volumes_and_snapshots_leave_no_file(host: Host) -> None:
    volume = host.zone.create_volume()
    host.write(volume, b"canary")
    snapshot = host.zone.create_snapshot(volume)
    host.zone.detach(volume)

    host.zone.complete("DELETE", f"block-storage/{volume}")
    host.zone.complete("DELETE", f"block-storage-snapshot/{snapshot}")

    assert [*host.state.glob("*/*.img")] == []


def test_failed_restore_and_snapshot_leave_no_file(host: Host) -> None:
    volume = host.zone.create_volume()
    host.write(volume, b"canary")
    snapshot = host.zone.create_snapshot(volume)
    host.cloud.add_fault(fault="fail")

    restore = {"block-storage-snapshot": {"id": snapshot}}
    host.zone.wait(host.zone.begin("POST", "block-storage", restore))
    host.zone.wait(host.zone.begin("POST", f"block-storage/{volume}:create-snapshot", {}))

    assert len([*host.state.glob("*/*.img")]) == 2


def test_failed_detach_leaves_the_device(host: Host) -> None:
    volume = host.zone.create_volume()
    host.write(volume, b"canary")
    host.cloud.add_fault(fault="fail")

    host.zone.wait(host.zone.begin("PUT", f"block-storage/{volume}:detach"))

    assert host.read(volume, 6) == b"canary"


def test_sigterm_leaves_nothing_behind(host: Host) -> None:
    volume = host.zone.create_volume()
    host.write(volume, b"canary")
    host.zone.create_snapshot(volume)

    exit_code = host.cloud.stop()

    assert exit_code == 0
    assert host.devices() == []
    assert list(host.links.iterdir()) == []
    assert [*host.state.glob("*/*.img")] == []


def test_temporary_folder_goes_with_the_process(tmp_path: pathlib.Path) -> None:
    flags = ("--device-dir", str(tmp_path / "by-id"), "--latency", "0s")
    with SimulatorProcess.start(*flags, "--local-instance", INSTANCE) as cloud:
        zone = ZoneClient(cloud, cloud.zones[0])
        zone.attach(zone.create_volume(), INSTANCE)
        zone.close()
        (volume,) = cloud.volumes()
        loop = pathlib.Path("/sys/block", pathlib.Path(volume["device"]).name, "loop")
        image = pathlib.Path((loop / "backing_file").read_text().strip())
        existed = image.exists()

    assert existed
    assert not image.parent.parent.exists()


@pytest.mark.parametrize("flags", [(), ("--persist",)])
def test_leftovers_of_a_killed_process_are_cleaned(host: Host, flags: tuple[str, ...]) -> None:
    host.attach(host.zone.create_volume())
    host.cloud.kill()
    left = host.devices()

    host.restart(*flags)

    assert len(left) == 1
    assert host.devices() == []
    assert list(host.links.iterdir()) == []


def test_volume_that_a_kill_lost_leaves_no_bytes_to_the_next(host: Host) -> None:
    flags = ("--persist", "--seed", "1")
    host.cloud.stop()
    host.restart(*flags)
    host.cloud.stop()
    saved = host.state / "state.json"
    before = saved.read_text()
    host.restart(*flags)
    lost = host.zone.create_volume()
    host.write(lost, b"secret")
    host.zone.create_snapshot(lost)
    host.cloud.kill()
    saved.write_text(before)  # as if the kill had come before the next save

    host.restart(*flags)
    images = list(host.state.glob("*/*.img"))
    again = host.zone.create_volume()
    host.attach(again)

    assert again == lost
    assert images == []
    assert host.read(again, 6) == bytes(6)


def test_persistent_devices_come_back_with_their_bytes(host: Host) -> None:
    host.cloud.stop()
    host.restart("--persist")
    volume = host.zone.create_volume()
    host.write(volume, b"canary")
    snapshot = host.zone.create_snapshot(volume)

    host.cloud.stop()
    while_down = host.devices()
    host.restart("--persist")
    restored = host.zone.complete(
        "POST", "block-storage", {"block-storage-snapshot": {"id": snapshot}}
    )
    host.attach(restored)

    assert while_down == []
    assert host.read(volume, 6) == b"canary"
    assert host.read(restored, 6) == b"canary"


def test_emptied_cloud_has_no_device(host: Host) -> None:
    host.write(host.zone.create_volume(), b"canary")

    host.cloud.clear()

    assert host.devices() == []
    assert [*host.state.glob("*/*.img")] == []
    assert host.cloud.volumes() == []


def _new_volume(host: Host) -> str:
    volume = host.zone.create_volume()
    host.attach(volume)
    content = host.read(volume, BYTES_PER_GIB // 64)
    if not any(content):
        return "zeros"
    return "noise" if len(zlib.compress(content[: 2 * 1024**2])) >= 2 * 1024**2 else "old-data"


def _detach_in_use(host: Host) -> str:
    volume = host.zone.create_volume()
    device = os.open(host.attach(volume), os.O_RDONLY | os.O_EXCL)
    operation = host.zone.begin("PUT", f"block-storage/{volume}:detach")
    answer, patience = "waits", threading.Event()
    for _ in range(60):
        if host.zone.get(f"operation/{operation['id']}")["state"] == "success":
            answer = "takes"
            break
        patience.wait(0.05)
    os.close(device)
    host.zone.wait(operation)
    return answer


def _boot_serial(host: Host) -> str:
    links = list(host.links.glob("virtio-*"))
    return "like-a-volume" if links and host.zone.get("block-storage") else "none"


QUESTIONS_OF_DEVICES: dict[Question, Callable[[Host], str]] = {
    Question.NEW_VOLUME: _new_volume,
    Question.DETACH_IN_USE: _detach_in_use,
    Question.BOOT_SERIAL: _boot_serial,
}


@pytest.mark.parametrize(
    ("question", "answer"),
    [(question, answer) for question in QUESTIONS_OF_DEVICES for answer in question.answers],
    ids=lambda value: value.label if isinstance(value, Question) else value,
)
def test_a_cloud_with_devices_gives_each_answer(
    host: Host, question: Question, answer: str
) -> None:  # N15, section 8
    if answer != question.answers[0]:
        host.cloud.set_mode(question.label, answer)

    assert QUESTIONS_OF_DEVICES[question](host) == answer
