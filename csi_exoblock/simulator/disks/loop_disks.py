"""Keep the content of volumes in sparse files, which are loop devices while attached to this host.

A file is made only when it is needed: a volume that was never attached to this host has no file and
reads as zeros.

Source: the platform's volumes have 4096-byte logical sectors and appear as
`/dev/disk/by-id/virtio-<first 20 characters of the volume id>`.
"""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import threading
from collections.abc import Iterator, Set
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Final
from uuid import UUID

from csi_exoblock.simulator.disks.freezing import frozen
from csi_exoblock.simulator.disks.users import users_of

_BYTES_PER_GIB: Final = 1024**3
_SERIAL_LENGTH: Final = 20
_OLD_DATA_AT: Final = 1024**2  # in bytes; no prober looks there
_NOISE_BYTES: Final = 4 * 1024**2  # more than is read of a disk to see whether it is blank
_COMMAND_SECONDS: Final = 600.0  # a copy of a full 10 GiB disk takes well under a minute
# Programs that scan all disks open each for a moment only; a real user keeps it open longer.
_GONE_READS: Final = 50
_GONE_PAUSE_SECONDS: Final = 0.02

_SECTORS: Final = ("--sector-size", "4096")
# One at a time: of two processes that find the same free device, one could claim it while the
# other uses it.
_TURN: Final = ("flock", "/dev/loop-control")
_LOSETUP: Final = (*_TURN, "losetup", "--find", "--show", *_SECTORS)

log = logging.getLogger(__name__)


class LoopDisks:
    """Volumes as sparse files and loop devices; needs root.

    Args:
        state_dir: Where the files are kept.
        device_dir: Where the links to the devices are put, as udev does.
        keep: Whether the files outlive the process, and those of earlier ones are used.
    """

    why_missing = None

    def __init__(self, state_dir: Path, device_dir: Path, *, keep: bool) -> None:
        self._volumes = state_dir.resolve() / "volumes"
        self._snapshots = state_dir.resolve() / "snapshots"
        self._device_dir = device_dir
        self._keep = keep
        self._devices: dict[UUID, str] = {}
        self._pulled: list[UUID] = []
        self._noisy: set[UUID] = set()
        self._lock = threading.Lock()
        for directory in (self._volumes, self._snapshots, device_dir):
            directory.mkdir(parents=True, exist_ok=True)
        self._remove_devices_of_the_dead()
        if not keep:
            self._remove_files()

    def require_devices(self) -> None:
        """Make a loop device and remove it again.

        Raises:
            OSError: That failed: root in a container can lack loop devices, or CAP_SYS_ADMIN, which
                blockdev needs as mount does.
        """
        image = self._volumes / "trial"
        _grow(image, 1)
        try:
            device = _run(*_LOSETUP, str(image)).strip()
            try:
                _run("blockdev", "--setrw", device)
            finally:
                _run("losetup", "--detach", device)
        finally:
            image.unlink()

    def take_snapshot(self, volume: UUID, snapshot: UUID) -> None:
        """Copy the volume's file, if it has one, as of one moment."""
        device = self._devices.get(volume)
        with frozen(device) if device else nullcontext():
            _copy(_image(self._volumes, volume), _image(self._snapshots, snapshot))

    def restore(self, snapshot: UUID, volume: UUID) -> None:
        """Copy the snapshot's file, if it has one."""
        _copy(_image(self._snapshots, snapshot), _image(self._volumes, volume))

    def recycle(self, volume: UUID, size_gib: int) -> None:
        """Make the volume's file with data in it that is no file system."""
        image = _image(self._volumes, volume)
        _grow(image, size_gib)
        with image.open("r+b") as file:
            file.seek(_OLD_DATA_AT)
            file.write(b"what somebody else left here\n")

    def scramble(self, volume: UUID, size_gib: int) -> None:
        """Make the volume's file with random data at both ends, and at each end to which it grows.

        The middle stays empty, because nothing reads it before it is written.
        """
        image = _image(self._volumes, volume)
        with self._lock:
            self._noisy.add(volume)
        _grow(image, size_gib)
        _make_noise(image, 0)
        _make_noise(image, size_gib * _BYTES_PER_GIB - _NOISE_BYTES)

    def connect(self, volume: UUID, size_gib: int) -> None:
        """Make a loop device of the volume's file, and a link to it."""
        image = _image(self._volumes, volume)
        _grow(image, size_gib)
        link = self._link(volume)
        link.unlink(missing_ok=True)  # first, because it fails in a folder that can't be written
        with self._lock:
            device = _run(*_LOSETUP, str(image)).strip()
            self._devices[volume] = device
        try:
            # A loop device keeps the write protection of its last use, as of a read-only volume.
            _run("blockdev", "--setrw", device)
            link.symlink_to(device)
        except OSError:
            self.disconnect(volume)  # the next attach would forget this device
            raise

    def disconnect(self, volume: UUID) -> None:
        """Remove the link and the loop device."""
        with self._lock:
            device = self._devices.pop(volume, None)
        if device is None:
            return
        self._link(volume).unlink(missing_ok=True)
        _run("losetup", "--detach", device)
        if not _is_gone(device, _image(self._volumes, volume)):
            self._pulled.append(volume)
            users = ", ".join(users_of(device)) or "nobody that /proc shows"
            log.warning("volume %s was detached while %s was in use by %s", volume, device, users)

    def resize(self, volume: UUID, size_gib: int) -> None:
        """Grow the volume's file, if it has one, and its device."""
        image = _image(self._volumes, volume)
        if image.exists():
            grown = _grow(image, size_gib)
            if grown and volume in self._noisy:
                _make_noise(image, size_gib * _BYTES_PER_GIB - _NOISE_BYTES)
        device = self._devices.get(volume)
        if device is not None:
            _run("losetup", "--set-capacity", device)

    def delete_volume(self, volume: UUID) -> None:
        """Remove the volume's device and file."""
        self.disconnect(volume)
        _image(self._volumes, volume).unlink(missing_ok=True)

    def delete_snapshot(self, snapshot: UUID) -> None:
        """Remove the snapshot's file."""
        _image(self._snapshots, snapshot).unlink(missing_ok=True)

    def devices(self) -> dict[UUID, str]:
        """Return the loop device of each connected volume."""
        return dict(self._devices)

    def is_in_use(self, volume: UUID) -> bool:
        """Return whether the volume's loop device is mounted or held otherwise."""
        device = self._devices.get(volume)
        if device is None:
            return False
        try:
            os.close(os.open(device, os.O_RDONLY | os.O_EXCL))
        except OSError as error:
            return error.errno == errno.EBUSY
        return False

    def pulled(self) -> tuple[UUID, ...]:
        """Return the volumes whose loop device was still open when it was detached."""
        return tuple(self._pulled)

    def keep_only(self, volumes: Set[UUID], snapshots: Set[UUID]) -> None:
        """Remove the files of all other volumes and snapshots."""
        for directory, kept in ((self._volumes, volumes), (self._snapshots, snapshots)):
            for image in directory.glob("*.img"):
                if UUID(image.stem) not in kept:
                    image.unlink()

    def clear(self) -> None:
        """Remove every link, loop device and file."""
        for volume in tuple(self._devices):
            self.disconnect(volume)
        self._pulled.clear()
        self._remove_files()

    def close(self) -> None:
        """Remove every link and loop device, and the files unless they are to be kept."""
        for volume in tuple(self._devices):
            self.disconnect(volume)
        if not self._keep:
            self._remove_files()

    def _link(self, volume: UUID) -> Path:
        return self._device_dir / f"virtio-{str(volume)[:_SERIAL_LENGTH]}"

    def _remove_files(self) -> None:
        for directory in (self._volumes, self._snapshots):
            for image in directory.glob("*.img"):
                image.unlink()

    def _remove_devices_of_the_dead(self) -> None:
        """Remove the devices and links of a process that was killed over the same files."""
        for device, file in _list_loop_devices():
            if file.startswith(f"{self._volumes}/"):
                _run("losetup", "--detach", device)
        for image in self._volumes.glob("*.img"):
            self._link(UUID(image.stem)).unlink(missing_ok=True)


def _list_loop_devices() -> Iterator[tuple[str, str]]:
    """Yield each loop device with its file; `losetup --list` would open each."""
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):  # it has gone meanwhile
            yield f"/dev/{path.parts[3]}", path.read_text().strip()


def _is_gone(device: str, image: Path) -> bool:
    """Return whether a detached loop device no longer has its file, as once nothing uses it.

    It may have another one at once: the next search for a free device finds the same.
    """
    pause = threading.Event()
    for _ in range(_GONE_READS):
        if (device, str(image)) not in _list_loop_devices():
            return True
        pause.wait(_GONE_PAUSE_SECONDS)
    return False


def _image(directory: Path, id: UUID) -> Path:
    return directory / f"{id}.img"


def _grow(image: Path, size_gib: int) -> bool:
    """Grow a file and return whether it was smaller."""
    with image.open("ab") as file:
        is_smaller = file.tell() < size_gib * _BYTES_PER_GIB
        if is_smaller:
            file.truncate(size_gib * _BYTES_PER_GIB)
    return is_smaller


def _make_noise(image: Path, offset: int) -> None:
    with image.open("r+b") as file:
        file.seek(offset)
        file.write(os.urandom(_NOISE_BYTES))


def _copy(source: Path, target: Path) -> None:
    if source.exists():
        _run("cp", "--reflink=auto", "--sparse=always", str(source), str(target))


def _run(*argv: str) -> str:
    """Run a command and return what it printed.

    Raises:
        OSError: It failed; the text has its error output.
    """
    finished = subprocess.run(
        argv, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False
    )
    if finished.returncode != 0:
        raise OSError(f"{' '.join(argv)}: {finished.stderr.strip()}")
    return finished.stdout
