"""A virtual machine in software: it starts, its disks come and go, and its power fails."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support.waiting import wait_until
from tests.vm.guest.agent import COMMAND_PORT, CSI_PORT, UP
from tests.vm.image import Image
from tests.vm.qmp import Qmp

GIB: Final = 1024**3

_SERIAL_CHARACTERS = 20
_SECTOR_BYTES = 4096
_SLOTS = 12
_START_SECONDS = 120
_COMMAND_SECONDS = 120


@dataclass(frozen=True, kw_only=True)
class Disk:
    """A volume as the cloud has it, attached or not.

    Attributes:
        file: Its content, on the machine that runs the tests.
    """

    file: Path
    uuid: uuid.UUID = field(default_factory=uuid.uuid4)

    @property
    def volume_id(self) -> str:
        """The id by which the driver knows it."""
        return f"ch-gva-2/{self.uuid}"

    @property
    def serial(self) -> str:
        """What it says that it is."""
        return str(self.uuid)[:_SERIAL_CHARACTERS]

    @property
    def link(self) -> str:
        """The name that udev gives it."""
        return f"/dev/disk/by-id/virtio-{self.serial}"


class Machine:
    """A machine without power at first.

    Args:
        folder: For its root's changes, the content of its disks, and all that it says.
    """

    def __init__(self, *, folder: Path, image: Image, driver_disk: Path) -> None:
        self._folder = folder
        self._image = image
        self._driver_disk = driver_disk
        self._slots: dict[int, Disk] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._qmp: Qmp | None = None
        self._ports: dict[int, int] = {}
        self.console = folder / "console.log"
        _create_overlay(image.root, self._root)

    def start(self) -> None:
        """Switch it on, with the disks that are attached, and return when commands can run."""
        monitor = self._folder / "monitor.sock"
        monitor.unlink(missing_ok=True)
        # Without the tests nobody would end it.
        command = ("setpriv", "--pdeathsig", "KILL", *self._command(monitor))
        with self._coming_up():
            with self.console.open("ab") as output:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
                )
            self._qmp = wait_until(
                lambda: self._connect(monitor), "QEMU's monitor", explain=self.console.read_text
            )
            for slot, disk in self._slots.items():
                self._plug_into(slot, disk)
            self._qmp.execute("cont")
        self._ports = self._forwarded_ports()

    def cut_power(self) -> None:
        """End it in the middle of whatever it does; its disks stay attached."""
        if self._qmp is not None:
            self._qmp.close()
            self._qmp = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def reset(self) -> None:
        """Restart it as its reset button does, and return when commands can run again."""
        with self._coming_up():
            self.monitor.execute("system_reset")

    def make_disk(self, *, gib: int = 1) -> Disk:
        """Make a blank disk that isn't attached."""
        disk = Disk(file=self._folder / f"{uuid.uuid4()}.img")
        disk.file.touch()
        os.truncate(disk.file, gib * GIB)
        return disk

    def attach(self, disk: Disk) -> None:
        """Plug a disk in; its device shows up a moment later."""
        slot = min(set(range(_SLOTS)) - self._slots.keys())
        self._slots[slot] = disk
        self._plug_into(slot, disk)

    def detach(self, disk: Disk) -> None:
        """Take a disk away, mounted or not, and return when it is gone."""
        slot = self._slot_of(disk)
        if self.is_on:
            self.monitor.execute("device_del", {"id": _device(slot)})
            self.monitor.wait_for("DEVICE_DELETED", device=_device(slot))
            self.monitor.execute("blockdev-del", {"node-name": _node(slot)})
        del self._slots[slot]

    def resize(self, disk: Disk, *, gib: int) -> None:
        """Make an attached disk larger; the kernel is told at once."""
        slot = self._slot_of(disk)
        self.monitor.execute("block_resize", {"node-name": _node(slot), "size": gib * GIB})

    def stall_after(self, disk: Disk, *, written_bytes: int) -> None:
        """Let an attached disk take some bytes, then next to nothing until it is attached again."""
        self._throttle(disk, bps_wr=1, bps_wr_max=written_bytes)

    @contextmanager
    def stopped(self, disk: Disk) -> Iterator[None]:
        """Have an attached disk answer no read and no write within the block.

        It still says its serial, and what it was asked meanwhile it answers when the block ends.
        """
        self._throttle(disk, bps=1)
        try:
            # QEMU lets one request through, and its size is paid for over the next hours.
            read = ("dd", f"if={disk.link}", "of=/dev/null", "bs=1M", "count=1", "iflag=direct")
            self.run("setsid", "--fork", "sh", "-c", f"exec {' '.join(read)} > /dev/null 2>&1")
            yield
        finally:
            self._throttle(disk)

    def _throttle(self, disk: Disk, **limits: int) -> None:
        """Limit what a disk's backend does in a second; nothing is limited that isn't named."""
        backend = f"/machine/peripheral/{_device(self._slot_of(disk))}/virtio-backend"
        unlimited = dict.fromkeys(("bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"), 0)
        self.monitor.execute("block_set_io_throttle", {"id": backend, **unlimited, **limits})

    def bytes_written_to(self, disk: Disk) -> int:
        """Count what a disk has taken since it was attached or the machine was switched on."""
        path = f"/{_device(self._slot_of(disk))}/"
        rows = self.monitor.execute("query-blockstats")
        return next(int(row["stats"]["wr_bytes"]) for row in rows if path in row.get("qdev", ""))

    def run(self, *argv: str) -> str:
        """Run a command inside and return what it prints; its complaint is in the failure."""
        code, output, complaint = self._ask(argv)
        assert code == 0, f"{argv}: exit code {code}: {complaint}"
        return output

    def succeeds(self, *argv: str) -> bool:
        """Run a command inside and tell whether it ended well."""
        return self._ask(argv)[0] == 0

    def wait_for_path(self, path: str) -> None:
        """Return when a path exists inside."""
        wait_until(lambda: self.succeeds("test", "-e", path), path)

    @property
    def is_on(self) -> bool:
        """Whether it has power."""
        return self._process is not None

    def has(self, disk: Disk) -> bool:
        """Tell whether a disk is attached."""
        return disk in self._slots.values()

    @property
    def csi_address(self) -> str:
        """Where a driver inside is reached from here."""
        return f"127.0.0.1:{self._ports[CSI_PORT]}"

    @property
    def monitor(self) -> Qmp:
        """QEMU's monitor."""
        assert self._qmp is not None, "the machine is off"
        return self._qmp

    @property
    def _root(self) -> Path:
        return self._folder / "root.qcow2"

    def _command(self, monitor: Path) -> tuple[str, ...]:
        ports = [
            part
            for slot in range(_SLOTS)
            for part in ("-device", f"pcie-root-port,id={_slot(slot)},chassis={slot + 1}")
        ]
        forwards = "".join(f",hostfwd=tcp:127.0.0.1:0-:{port}" for port in (COMMAND_PORT, CSI_PORT))
        cheap = "cache.no-flush=on"  # the power of the machine below never fails
        return (
            "qemu-system-x86_64",
            *("-nodefaults", "-nographic", "-S", "-machine", "q35", "-accel", "tcg,thread=multi"),
            *("-m", "512", "-smp", "1", "-cpu", "Nehalem"),
            *("-qmp", f"unix:{monitor},server=on,wait=off", "-serial", "stdio"),
            *("-kernel", str(self._image.kernel), "-initrd", str(self._image.initrd)),
            *("-append", f"{self._image.kernel_arguments} console=ttyS0 quiet panic=-1"),
            *("-netdev", f"user,id=net,restrict=on{forwards}"),
            *("-device", "virtio-net-pci,netdev=net,romfile="),
            *("-drive", f"if=none,id=root,format=qcow2,file={self._root},{cheap}"),
            *("-device", "virtio-blk-pci,drive=root"),
            *("-drive", f"if=none,id=driver,format=raw,readonly=on,file={self._driver_disk}"),
            *("-device", "virtio-blk-pci,drive=driver,serial=csi-exoblock"),
            *ports,
        )

    def _connect(self, monitor: Path) -> Qmp | None:
        ended = self._process is None or self._process.poll() is not None
        assert not ended, f"QEMU has ended: {self.console.read_text()}"
        try:
            return Qmp(monitor)
        except (FileNotFoundError, ConnectionRefusedError):
            return None

    def _plug_into(self, slot: int, disk: Disk) -> None:
        content = {
            "driver": "raw",
            "node-name": _node(slot),
            "cache": {"no-flush": True},
            "file": {"driver": "file", "filename": str(disk.file)},
        }
        device = {
            "driver": "virtio-blk-pci",
            "id": _device(slot),
            "bus": _slot(slot),
            "drive": _node(slot),
            "serial": disk.serial,
            "logical_block_size": _SECTOR_BYTES,
            "physical_block_size": _SECTOR_BYTES,
        }
        self.monitor.execute("blockdev-add", content)
        self.monitor.execute("device_add", device)

    def _slot_of(self, disk: Disk) -> int:
        return next(slot for slot, other in self._slots.items() if other == disk)

    def _forwarded_ports(self) -> dict[int, int]:
        """Return the ports that the kernel chose here, by those inside."""
        table = self.monitor.execute("human-monitor-command", {"command-line": "info usernet"})
        rows = re.findall(r"TCP\[HOST_FORWARD\]\s+\S+\s+\S+\s+(\d+)\s+\S+\s+(\d+)", table)
        return {int(inside): int(here) for here, inside in rows}

    @contextmanager
    def _coming_up(self) -> Iterator[None]:
        """Return from the block's end when commands can run.

        The agent says so on the console. To knock at its port before would take longer: QEMU
        accepts the connection at once, and passes it on with ever longer pauses.
        """
        before = self.console.stat().st_size if self.console.exists() else 0
        yield

        def is_up() -> bool:
            return UP.encode() in self.console.read_bytes()[before:]

        wait_until(
            is_up, "the machine is up", seconds=_START_SECONDS, explain=self.console.read_text
        )

    def _ask(self, argv: tuple[str, ...]) -> tuple[int, str, str]:
        address = ("127.0.0.1", self._ports[COMMAND_PORT])
        with socket.create_connection(address, timeout=_COMMAND_SECONDS) as connection:
            connection.sendall(json.dumps(argv).encode() + b"\n")
            with connection.makefile() as answer:
                code, output, complaint = json.loads(answer.readline())
        return int(code), str(output), str(complaint)


def _create_overlay(base: Path, overlay: Path) -> None:
    command = ("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, overlay)
    subprocess.run(command, check=True)


def _slot(number: int) -> str:
    return f"slot{number}"


def _device(number: int) -> str:
    return f"disk{number}"


def _node(number: int) -> str:
    return f"node{number}"
