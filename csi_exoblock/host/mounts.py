"""The mounts of this host: the table of mounts, and the commands that change it."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import CommandFailed, HostError, OperationPending, WrongState
from csi_exoblock.host.block_devices import DeviceNumber
from csi_exoblock.host.commands import Commands
from csi_exoblock.host.exhaustion import refuse_exhausted
from csi_exoblock.host.holders import Holders
from csi_exoblock.host.kernel_log import KernelLog
from csi_exoblock.host.mount_calls import bind, unmount
from csi_exoblock.host.mountinfo import Line, unescaped, whole
from csi_exoblock.host.workers import Workers
from csi_exoblock.timing import HostTiming

log = logging.getLogger(__name__)

_MOUNT_FAILED = 32

# The flags of one mount, not of its whole file system. Source: Linux, fs/proc_namespace.c.
_OWN_FLAGS = frozenset(
    {"ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime", "nosymfollow"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A line of mountinfo. Source: proc(5).

    Attributes:
        mount_id: Differs between all mounts that exist at the same time.
        device: The block device behind this mount: the one that holds the file system, or the one
            whose node is bound to the target. `None` if there is no such device.
        root: The folder or file of the file system that the mount shows; `/` for all of it.
        is_block: Whether a device node is bound to the target, instead of a file system mounted.
        superblock: The number in mountinfo: the device's own for most file systems, an invented one
            for those that can span devices. All mounts of one file system share it, even after its
            device is gone.
        options: Those of this mount alone, such as `ro`.
        super_options: Those of the file system, wherever it is mounted.
        shared: Whether mounts below the target propagate to other mount namespaces.
    """

    mount_id: str
    device: DeviceNumber | None
    superblock: DeviceNumber
    root: str
    target: Path
    filesystem: str
    is_block: bool
    options: frozenset[str]
    super_options: frozenset[str]
    shared: bool

    @property
    def read_only(self) -> bool:
        """Whether this mount forbids writing, even if the file system allows it."""
        return "ro" in self.options

    @property
    def flags(self) -> frozenset[str]:
        """The flags of this mount alone, in the words of mount(8)."""
        return self.options & _OWN_FLAGS

    @property
    def writable(self) -> bool:
        """Whether this is a file system that can be written, and so grown."""
        return not self.is_block and "ro" not in self.options | self.super_options


class Mounts:
    """The mount table of the driver's mount namespace.

    Args:
        workers: Bounds how long a system call takes.
    """

    def __init__(
        self,
        *,
        commands: Commands,
        workers: Workers[None],
        holders: Holders,
        timing: HostTiming,
        proc: Path = Path("/proc"),
        dev: Path = Path("/dev"),
    ) -> None:
        self._commands = commands
        self._workers = workers
        self._holders = holders
        self._timing = timing
        self._mountinfo = proc / "self" / "mountinfo"
        self._nodes = str(DeviceNumber.of(dev.stat().st_dev))

    def at(self, path: Path) -> tuple[Mount, ...]:
        """Return the mounts at exactly this path, the lowest layer first."""
        target = str(real_path(path))
        return self._table(
            lambda line: unescaped(line.target) == target, says=_never_escaped(target)
        )

    def of(self, device: DeviceNumber) -> tuple[Mount, ...]:
        """Return every mount that shows a device."""
        number = str(device)
        lines = self._table(lambda line: line.number == number or self._hides_its_device(line))
        return tuple(mount for mount in lines if mount.device == device)

    def shows(self, mount_id: str, device: DeviceNumber) -> bool:
        """Return whether the mount that has an id now shows a device."""
        found = self._table(lambda line: line.mount_id == mount_id, says=f"{mount_id} ")
        return any(mount.device == device for mount in found)

    def of_superblock(self, superblock: DeviceNumber) -> tuple[Mount, ...]:
        """Return every mount of a file system, even if its device is gone."""
        number = str(superblock)
        return self._table(lambda line: line.number == number)

    def below(self, folder: Path) -> tuple[Mount, ...]:
        """Return every mount in a folder, at any depth."""
        top = Path(os.path.realpath(folder))
        return self._table(lambda line: Path(unescaped(line.target)).is_relative_to(top))

    def around(self, path: Path) -> Mount | None:
        """Return the mount that contains a path, `None` if the table doesn't list it.

        In a chroot the table has no entry for `/` unless the new root is itself a mount.
        """
        real = Path(os.path.realpath(path))
        within = self._table(lambda line: real.is_relative_to(unescaped(line.target)))
        # Of several mounts on one folder the last one covers the others.
        return max(reversed(within), key=lambda mount: len(mount.target.parts), default=None)

    def mount(
        self, device: Path, path: Path, filesystem: str, flags: tuple[str, ...], *, held: int
    ) -> None:
        """Mount a file system on a folder, which must exist.

        A mount that takes too long is left to go on. A btrfs of some terabytes can need minutes to
        read its tables, and the kernel begins all over after a kill.

        Args:
            held: The device's open file. The command keeps it open, so that the disk isn't free
                while a mount that outlived its driver is still to come (D4).

        Raises:
            CommandFailed: The kernel refused; the message has the kernel's own line (S17).
            OperationPending: A command of an earlier call changes the mounts there.
            WrongState: The file system is damaged.
        """
        options = ("-o", ",".join(flags)) if flags else ()
        # Without -w mount(8) mounts a disk that refuses writes read-only, and reports success (D7).
        writing = () if "ro" in flags else ("-w",)
        argv = ("mount", *writing, "-t", filesystem, *options, str(device), str(path))
        with KernelLog() as kernel, self._alone_beside(path) as lock:
            ended = self._commands.run(
                *argv, allowed=(0, _MOUNT_FAILED), inherited=(held, lock), spared=True
            )
            if ended.exit_code == 0:
                return
            reason = f"mounting {device} on {path}: {ended.complaint} {kernel.last_about(device)}"
        # mount(8) has one exit code for every errno. Damage is the only one that no retry mends.
        if os.strerror(errno.EUCLEAN) in ended.complaint:
            raise WrongState(reason)
        raise CommandFailed(reason)

    def bind(self, source: Path, path: Path, flags: frozenset[str] = frozenset()) -> None:
        """Bind a folder or a device node to another path, which must exist.

        Args:
            flags: Those of the new mount alone. If empty, it inherits all flags of the source.

        Raises:
            CommandFailed: The kernel refused.
            OperationPending: A command of an earlier call changes the mounts there.
        """
        with self._alone_beside(path):
            bind(source, path)
        if flags:
            self.change_flags(path, flags)

    def change_flags(self, path: Path, flags: frozenset[str]) -> None:
        """Replace the flags of a mount while it stays in use.

        Raises:
            CommandFailed: The kernel refused.
            OperationPending: A command of an earlier call changes the mounts there.
        """
        options = ",".join(("remount,bind", *_written(flags)))
        with self._alone_beside(path) as lock:
            self._commands.run("mount", "-o", options, str(path), inherited=(lock,))

    def unmount(self, path: Path, deadline: Deadline) -> None:
        """Unmount every layer at a path, never lazily; return if there is none.

        Waits for `Timing.device_in_use` while a layer is in use (D6).

        Raises:
            WrongState: It stayed in use; the message names its users.
            HostError: umount hung or was killed.
            OperationPending: A command of an earlier call changes the mounts there.
            DeadlineExceeded: The caller's time ended first.
        """
        patience = deadline.within(self._timing.device_in_use)
        layers = self.at(path)
        while layers:
            complaint = self._unmount_layer(layers[-1], path)
            before, layers = layers, self.at(path)
            if not complaint and len(layers) < len(before):
                continue
            if not patience.remaining():
                deadline.check()
                top = before[-1]
                node = top.device if top.is_block else None
                raise WrongState(
                    f"{path} can't be unmounted: {complaint or 'it is still there'}; "
                    f"in use by {self._holders.of_mount(top.target, top.superblock, node)}"
                )
            deadline.wait(min(self._timing.device_poll, patience.remaining()))
            layers = self.at(path)

    def _unmount_layer(self, top: Mount, path: Path) -> str:
        """Unmount the topmost layer at a path; return why that failed, empty if it did not.

        The last mount of a file system waits for its disk, so a command takes it away: a thread
        that hangs there would keep a driver that is told to end from ending.
        """
        if not self._is_shown_elsewhere(top):
            with self._alone_beside(path) as lock:
                ended = self._commands.run(
                    *("umount", str(top.target)), allowed=(0, _MOUNT_FAILED), inherited=(lock,)
                )
            return ended.complaint if ended.exit_code else ""

        def take_away() -> None:
            with self._alone_beside(path):  # as long as the call lasts, even if its caller has gone
                unmount(top.target)

        try:
            self._workers.run(f"unmounting {path}", take_away, joins=False)
        except OSError as error:
            return error.strerror or str(error)
        return ""

    def _is_shown_elsewhere(self, mount: Mount) -> bool:
        """Return whether the file system of a mount has another one, so that it stays mounted."""
        return any(each.mount_id != mount.mount_id for each in self.of_superblock(mount.superblock))

    @contextmanager
    def _alone_beside(self, path: Path) -> Iterator[int]:
        """Lock the folder that contains a mount point; yield its open file, for a command.

        A command that inherits it keeps the lock even if the driver dies. Otherwise an umount that
        is late would take away what a later publish has mounted, and the pod would write to the
        node's own disk (D14).

        Raises:
            OperationPending: A command of an earlier call, or of another driver process, has it.
            HostError: The folder can't be opened.
        """
        try:
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise HostError(f"{path.parent} can't be opened: {error.strerror}") from error
        try:
            self._lock(folder, path.parent)
            yield folder
        finally:
            os.close(folder)

    def _lock(self, file: int, folder: Path) -> None:
        # For a moment each new process shares all open files, and so the locks of other threads.
        patience = Deadline(self._timing.mount_lock)
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            if not patience.remaining():
                raise OperationPending(
                    "a command of an earlier call, or of another process of the driver, still "
                    f"changes the mounts in {folder}; it is not interrupted; retry"
                )
            patience.pause(threading.Event(), self._timing.mount_lock_poll)

    def _table(self, wanted: Callable[[Line], bool], *, says: str = "") -> tuple[Mount, ...]:
        """Return the wanted mounts.

        A node with many pods has hundreds of lines, so only the wanted ones are parsed in full.

        Args:
            says: What the lines of all wanted mounts contain.
        """
        lines = filter(
            None, map(Line.parse, (line for line in whole(self._mountinfo) if says in line))
        )
        return tuple(
            _mount(line, shows_a_node=self._shows_a_node(line)) for line in lines if wanted(line)
        )

    def _hides_its_device(self, line: Line) -> bool:
        """Return whether the device behind a mount can differ from its number in the table."""
        return line.filesystem == "btrfs" or self._shows_a_node(line)

    def _shows_a_node(self, line: Line) -> bool:
        """Return whether a mount can be a device node that this driver has bound.

        A pod can make nodes of any number in a tmpfs, and kubelet binds what the pod names (S28).
        """
        home = line.filesystem == "devtmpfs" or line.number == self._nodes
        return home and line.root != "/"


def _written(flags: frozenset[str]) -> tuple[str, ...]:
    """Return the flags as mount(8) must get them, so that the mount has these and no others.

    mountinfo shows `strictatime` as the absence of its alternatives. Without any of them the kernel
    keeps it on a remount, but beside `nodiratime` alone it sets `relatime`.
    """
    strict = flags and flags.isdisjoint({"noatime", "relatime"})
    return (*sorted(flags), *(("strictatime",) if strict else ()))


def _never_escaped(path: str) -> str:
    """Return the beginning of a path that mountinfo writes as it is. Source: proc(5)."""
    return re.split(r"[\s\\#]", path, maxsplit=1)[0]


def real_path(path: Path) -> Path:
    """Return the path as mountinfo spells it: with links resolved in all but its last part."""
    return Path(os.path.realpath(path.parent)) / path.name


def check_propagation(mounts: Mounts, kubelet_path: Path) -> None:
    """Raise WrongState unless pods will see the mounts below kubelet's folder (S15).

    A folder that a container got without propagation is a separate mount that isn't shared. The
    root file system can be unshared on a host too, which needs no propagation: that is only logged.

    Raises:
        WrongState: Pods would start on empty folders and write to the node's own disk.
    """
    mount = mounts.around(kubelet_path)
    if mount is not None and mount.shared:
        return
    if mount is not None and mount.target != Path("/"):
        raise WrongState(
            f"{kubelet_path}: mounts there stay inside this container, because {mount.target} "
            "is not shared; give the volume mount of kubelet's folder mountPropagation: "
            "Bidirectional, which needs a privileged container"
        )
    log.warning(
        "mounts are not propagated; that is right only outside of a container",
        extra={"path": str(kubelet_path)},
    )


def _mount(line: Line, *, shows_a_node: bool) -> Mount:
    path = Path(unescaped(line.target))
    number = DeviceNumber.parse(line.number)
    node = _block_number(path) if shows_a_node else None
    if node is not None:
        device: DeviceNumber | None = node
    elif line.filesystem == "btrfs":
        device = _block_number(Path(unescaped(line.source)))  # its own number is an invented one
    else:
        device = number
    return Mount(
        mount_id=line.mount_id,
        device=device,
        root=unescaped(line.root),
        target=path,
        filesystem=line.filesystem,
        superblock=number,
        is_block=node is not None,
        options=frozenset(line.options.split(",")),
        super_options=frozenset(line.super_options.split(",")),
        shared=any(tag.startswith("shared:") for tag in line.tags),
    )


def _block_number(path: Path) -> DeviceNumber | None:
    try:
        status = path.stat()
    except OSError as error:
        refuse_exhausted(error)
        return None
    return DeviceNumber.of(status.st_rdev) if stat.S_ISBLK(status.st_mode) else None
