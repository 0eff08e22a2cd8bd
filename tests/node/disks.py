"""Disks of the tests: files on loop devices, linked as udev would link an attached volume."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

GIB = 1024**3
PAGE_BYTES = 4096
SERIAL_CHARACTERS = 20

# In a mount namespace of its own, as kubelet starts containers: what is unmounted outside, such as
# other tests' disks, isn't kept there.
IN_A_CONTAINER = ("unshare", "--mount", "--propagation", "slave")


def link_name(uuid: str) -> str:
    """Return the name by which udev links the disk of a volume."""
    return f"virtio-{uuid[:SERIAL_CHARACTERS]}"


class Disk:
    """A disk that is attached to this host.

    Attributes:
        volume_id: The volume that it is.
        path: Its device.
        file: What it holds.
        link: The name by which the driver finds it.
    """

    def __init__(self, *, file: pathlib.Path, path: pathlib.Path, links: pathlib.Path) -> None:
        self.file = file
        self._uuid = uuid.uuid4()
        self.path = path
        self.volume_id = f"ch-gva-2/{self._uuid}"
        self.link = links / link_name(str(self._uuid))

    def attach(self) -> None:
        """Make the link, as udev does when the disk shows up."""
        self.link.symlink_to(self.path)

    def format(self, filesystem: str, *options: str) -> None:
        """Make a file system on it, by other means than the driver."""
        run(f"mkfs.{filesystem}", *options, str(self.path))

    def want_a_check(self) -> None:
        """Have the ext file system on it say that errors were seen."""
        run("tune2fs", "-E", "force_fsck", str(self.path))
        run("blockdev", "--flushbufs", str(self.path))

    def write(self, offset: int, data: bytes) -> None:
        """Write bytes to it and see them on the disk."""
        with self.path.open("r+b", buffering=0) as device:
            device.seek(offset)
            device.write(data)
            os.fsync(device.fileno())

    def copy_to(self, other: Disk) -> None:
        """Make another disk the same, bit by bit, as a restore does."""
        run("blockdev", "--flushbufs", str(self.path))
        with self.file.open("rb") as source, other.file.open("r+b") as target:
            for begin, end in _extents(source.fileno()):
                while begin < end:
                    begin += os.copy_file_range(
                        source.fileno(), target.fileno(), end - begin, begin, begin
                    )
        run("blockdev", "--flushbufs", str(other.path))

    def erase(self) -> None:
        """Make it blank again."""
        size_bytes = self.file.stat().st_size
        os.truncate(self.file, 0)
        os.truncate(self.file, size_bytes)
        run("blockdev", "--flushbufs", str(self.path))

    def content(self) -> dict[int, bytes]:
        """Return every page that isn't zero, by its offset."""
        run("blockdev", "--flushbufs", str(self.path))
        return content_of(self.file)

    def grow(self, gib: int) -> None:
        """Make it larger, as a resize in the cloud does."""
        os.truncate(self.file, gib * GIB)
        run("losetup", "--set-capacity", str(self.path))

    def become_another(self) -> None:
        """Be the blank disk of another volume from now on."""
        size_bytes = self.file.stat().st_size
        os.truncate(self.file, 0)
        os.truncate(self.file, size_bytes)
        run("blockdev", "--flushbufs", str(self.path))  # what was read of the old content
        self.link.unlink()
        self._uuid = uuid.uuid4()
        self.volume_id = f"ch-gva-2/{self._uuid}"
        self.link = self.link.with_name(link_name(str(self._uuid)))
        self.attach()

    def get_new_node(self) -> None:
        """Have a new device node, as the kernel makes one for the next disk with its number."""
        node = self.path.with_name(f".{self.path.name}")
        os.mknod(node, self.path.stat().st_mode, self.path.stat().st_rdev)
        node.rename(self.path)

    def come_back(self) -> None:
        """Be pulled out, and plugged in once more as a device with another number."""
        sector_bytes = run("blockdev", "--getss", str(self.path)).strip()
        left, self.path = self.path, _attach(self.file, int(sector_bytes))
        run("losetup", "--detach", str(left))
        self.link.unlink()
        self.attach()

    def cut(self) -> None:
        """Take its content away, so that reads fail."""
        os.truncate(self.file, 0)


@contextmanager
def attached_disk(
    folder: pathlib.Path,
    links: pathlib.Path,
    *,
    gib: int = 1,
    sector_bytes: int = 4096,
    file: pathlib.Path | None = None,
) -> Iterator[Disk]:
    """Attach a new blank disk for the length of the block.

    Args:
        file: What it holds, if that is there already; it stays.
    """
    with contextlib.nullcontext(file) if file else _blank(folder, gib) as content:
        yield from _attached(content, links, sector_bytes)


@contextmanager
def _blank(folder: pathlib.Path, gib: int) -> Iterator[pathlib.Path]:
    file = folder / f"{uuid.uuid4()}.img"
    file.touch()
    os.truncate(file, gib * GIB)
    yield file
    file.unlink()


def _attached(file: pathlib.Path, links: pathlib.Path, sector_bytes: int) -> Iterator[Disk]:
    disk = Disk(file=file, path=_attach(file, sector_bytes), links=links)
    disk.attach()
    try:
        yield disk
    finally:
        _unmount_everywhere(disk.path)
        if run("losetup", "--associated", str(file)):  # a test may have pulled it out
            run("losetup", "--detach", str(disk.path))
        disk.link.unlink(missing_ok=True)


def _attach(file: pathlib.Path, sector_bytes: int) -> pathlib.Path:
    find = ("losetup", "--find", "--show", f"--sector-size={sector_bytes}", str(file))
    # A process that finds a device just taken would claim it for a moment, and others find it busy.
    path = pathlib.Path(run("flock", "/dev/loop-control", *find).strip())
    run("blockdev", "--setrw", str(path))  # a loop device keeps the protection of its last use
    return path


# What is unmounted elsewhere goes from here too (slave), apart from the disk: its folder becomes a
# mount of its own that hears of nothing. Other tests' disks are none of its business.
_KEEP = """
grep '^{device} ' /proc/self/mounts | while read -r _ path _; do
  folder=$(dirname "$(printf %b "$path")")
  mount --rbind "$folder" "$folder"
  mount --make-rprivate "$folder"
done
grep '^/dev/loop' /proc/self/mounts | grep -v '^{device} ' | while read -r _ path _; do
  umount --lazy "$(printf %b "$path")" 2> /dev/null  # unless it went by itself
done
echo ready
exec cat
"""


def keep_in_another_namespace(path: pathlib.Path) -> subprocess.Popen[bytes]:
    """Begin a process whose mount namespace has the disk mounted, until its input is closed."""
    keeper = subprocess.Popen(
        [*IN_A_CONTAINER, "sh", "-c", _KEEP.format(device=path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert keeper.stdout is not None
    keeper.stdout.readline()
    return keeper


@contextmanager
def kept_in_another_namespace(path: pathlib.Path) -> Iterator[subprocess.Popen[bytes]]:
    """Have the disk mounted in another mount namespace as well, for the length of the block."""
    keeper = keep_in_another_namespace(path)
    assert keeper.stdin is not None
    assert keeper.stdout is not None
    try:
        yield keeper
    finally:
        keeper.stdin.close()
        keeper.wait()
        keeper.stdout.close()


def content_of(path: pathlib.Path) -> dict[int, bytes]:
    """Return every page of a disk's file that isn't zero, by its offset."""
    with path.open("rb") as file:
        offsets = [
            offset
            for begin, end in _extents(file.fileno())
            for offset in range(begin, end, PAGE_BYTES)
        ]
        pages = {offset: os.pread(file.fileno(), PAGE_BYTES, offset) for offset in offsets}
    return {offset: page for offset, page in pages.items() if any(page)}


def _extents(file: int) -> Iterator[tuple[int, int]]:
    """Yield begin and end of everything in a sparse file that isn't a hole."""
    end = 0
    with contextlib.suppress(OSError):  # nothing but a hole is left
        while True:
            begin = os.lseek(file, end, os.SEEK_DATA)
            end = os.lseek(file, begin, os.SEEK_HOLE)
            yield begin, end


def run(*command: str) -> str:
    """Run a command and return what it prints; its complaint is in the failure."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def uuid_of(disk: Disk) -> str:
    """Return the id of the file system on a disk."""
    return run("blkid", "-p", "-s", "UUID", "-o", "value", str(disk.path))


def mounts_of(path: pathlib.Path) -> list[str]:
    """Return the targets at which a device is mounted, bound device nodes included."""
    number = path.stat().st_rdev
    found = []
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        target = fields[4].encode().decode("unicode_escape")
        filesystem, source = fields[fields.index("-") + 1 :][:2]
        # btrfs shows a number of its own, not the disk's; a bound device node that of its folder.
        here = fields[2] == f"{os.major(number)}:{os.minor(number)}" or source == str(path)
        if here or (filesystem == "devtmpfs" and _is_device(target, number)):
            found.append(target)
    return found


def _is_device(target: str, number: int) -> bool:
    try:
        return os.stat(target).st_rdev == number
    except OSError:
        return False


def _unmount_everywhere(path: pathlib.Path) -> None:
    for target in reversed(mounts_of(path)):
        subprocess.run(["umount", target], check=False, capture_output=True)
