"""A node process with disks of the tests' own, and tools of the host that can be made to fail."""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TypeVar, cast

import grpc
import pytest

from csi_exoblock.pb import csi_pb2, csi_pb2_grpc
from tests.node import requests
from tests.node.disks import Disk, attached_disk
from tests.node.gates import Gate
from tests.node.requests import FORMAT as FORMAT
from tests.node.requests import USUAL_MODE
from tests.node.requests import Mode as Mode
from tests.node.requests import block_capability as block_capability
from tests.node.requests import mount_capability as mount_capability
from tests.support.driver_process import DriverProcess
from tests.support.waiting import wait_until

INSTANCE = "5e0f6d1c-93f4-4f0e-8d0b-0c8f6b5d2a10"
# Of what the driver waits for on a cluster's node; a file system on a busy machine still answers.
TIME_SCALE = "0.2"
# It gives up after 3 s where it would wait for 60, and after 1.6 s where it would wait for 30.
PATIENCE = ("--device-wait-timeout", "15s", "--device-in-use-timeout", "8s")
# A resize2fs as on kernels that won't grow a mounted ext4 without CAP_SYS_RESOURCE.
ONLY_UNMOUNTED = (
    'for last; do :; done; if grep -q "^$last " /proc/mounts; then '
    'echo "resize2fs: Permission denied to resize filesystem" >&2; exit 1; fi; '
    'PATH=/usr/sbin:/sbin exec resize2fs "$@"'
)

# What the driver says of a process that it can't read.
_HANGS = "so what it uses can't be seen"
# What it says when a disk, a file system or a command takes longer than it waits.
_SLOW = ("doesn't answer", "did not end within", _HANGS)
_ROW = "row of a table"

MakeDisk = Callable[..., Disk]
T = TypeVar("T")


class Tools:
    """Commands of the host that come before the real ones on the driver's PATH."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self._log = folder / "log"
        self._log.touch()

    def count(self, *names: str) -> int:
        """Count how often the commands ran."""
        return len(self.runs(*names))

    def runs(self, *names: str) -> list[str]:
        """Return how the commands were called, in their order."""
        return [line for line in self._log.read_text().splitlines() if line.split()[0] in names]

    def watch(self, name: str) -> None:
        """Count the runs of a command that works as ever."""
        self.replace(name, f'exec {shutil.which(name)} "$@"')

    def replace(self, name: str, script: str) -> None:
        """Have a command do something else."""
        tool = self.folder / name
        tool.write_text(f'#!/bin/sh\necho "{name} $*" >> {self._log}\n{script}\n')
        tool.chmod(0o755)


def beside_hung_processes(call: Callable[[], T]) -> T:
    """Repeat a call, as kubelet does, while a process of another test hangs or is slow to be seen.

    Such tests run at the same time, and what their processes use can't be seen (S26).
    """
    return _repeated(call, while_it_says=(_HANGS,))


def on_a_busy_host(call: Callable[[], T]) -> T:
    """Repeat a call, as kubelet does, while the host is slower than the driver waits (TIME_SCALE).

    Not for a test that has something hang on purpose.
    """
    return _repeated(call, while_it_says=_SLOW)


def _repeated(call: Callable[[], T], *, while_it_says: tuple[str, ...]) -> T:
    was_slow = False

    def answered() -> tuple[T] | None:
        nonlocal was_slow
        try:
            return (call(),)
        except grpc.RpcError as error:
            answer = cast(grpc.Call, error)
            text = answer.details() or ""
            if answer.code() is grpc.StatusCode.UNAVAILABLE and any(
                each in text for each in while_it_says
            ):
                was_slow = True
            # What took too long can go on for a while.
            elif not (was_slow and answer.code() is grpc.StatusCode.ABORTED):
                raise
        return None

    (answer,) = wait_until(answered, "an answer of a host that is busy, or has hung processes")
    return answer


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume as kubelet deals with it: a disk, and the paths at which it is to appear.

    Attributes:
        repeats: Whether a call is repeated that a busy host was too slow for.
    """

    disk: Disk
    node: csi_pb2_grpc.NodeStub
    staging: pathlib.Path
    folder: pathlib.Path
    repeats: bool = True

    def target(self, pod: str = "pod") -> pathlib.Path:
        """Return where a pod's volume appears."""
        return self.folder / pod / "mount"

    def served_by(self, driver: DriverProcess) -> Volume:
        """Return the volume as another process of the driver serves it."""
        return replace(self, node=csi_pb2_grpc.NodeStub(driver.channel))

    def asked_once(self) -> Volume:
        """Return the volume for a test that has its disk or a command hang on purpose."""
        return replace(self, repeats=False)

    def stage(
        self,
        filesystem: str = "ext4",
        *,
        context: Mapping[str, str] = FORMAT,
        flags: tuple[str, ...] = (),
        mode: Mode.Mode.ValueType = USUAL_MODE,
        seconds: float | None = None,
    ) -> None:
        """Stage it with a file system."""
        capability = mount_capability(filesystem, flags=flags, mode=mode)
        self.stage_as(capability, context=context, seconds=seconds)

    def stage_as(
        self,
        capability: csi_pb2.VolumeCapability,
        *,
        context: Mapping[str, str] = FORMAT,
        publish_context: Mapping[str, str] | None = None,
        seconds: float | None = None,
    ) -> None:
        """Stage it as a capability says.

        Args:
            publish_context: What the attach answered; that of an old volume unless given.
        """
        request = requests.stage(
            self.disk.volume_id,
            self.staging,
            capability,
            context=context,
            publish_context=publish_context,
        )
        self._call(lambda: self.node.NodeStageVolume(request, timeout=seconds))

    def unstage(self) -> None:
        """Unstage it."""
        request = requests.unstage(self.disk.volume_id, self.staging)
        self._call(lambda: self.node.NodeUnstageVolume(request))

    def publish(
        self,
        pod: str = "pod",
        *,
        capability: csi_pb2.VolumeCapability | None = None,
        context: Mapping[str, str] = FORMAT,
        publish_context: Mapping[str, str] | None = None,
        readonly: bool = False,
        seconds: float | None = None,
    ) -> pathlib.Path:
        """Publish it to a pod and return where."""
        target = self.target(pod)
        target.parent.mkdir(exist_ok=True)
        request = requests.publish(
            self.disk.volume_id,
            self.staging,
            target,
            capability or mount_capability(),
            context=context,
            publish_context=publish_context,
            readonly=readonly,
        )
        self._call(lambda: self.node.NodePublishVolume(request, timeout=seconds))
        return target

    def unpublish(self, pod: str = "pod") -> None:
        """Take it from a pod."""
        request = requests.unpublish(self.disk.volume_id, self.target(pod))
        self._call(lambda: self.node.NodeUnpublishVolume(request))

    def expand(
        self,
        path: pathlib.Path | None = None,
        *,
        capability: csi_pb2.VolumeCapability | None = None,
        required: int | None = None,
        limit: int = 0,
        seconds: float | None = None,
    ) -> int:
        """Expand it to a size in bytes and return the size that it has.

        Args:
            path: Where it is published to `pod` unless given.
            required: The disk's size unless given.
        """
        size = self.disk.file.stat().st_size if required is None else required
        request = requests.expand(
            self.disk.volume_id,
            path or self.target(),
            self.staging,
            capability or mount_capability(),
            required=size,
            limit=limit,
        )
        answer = self._call(lambda: self.node.NodeExpandVolume(request, timeout=seconds))
        return answer.capacity_bytes

    def usage(self, path: pathlib.Path) -> dict[int, csi_pb2.VolumeUsage]:
        """Return its statistics by unit."""
        request = requests.stats(self.disk.volume_id, path)
        answer = self._call(lambda: self.node.NodeGetVolumeStats(request))
        return {row.unit: row for row in answer.usage}

    def health(
        self, *, staging: pathlib.Path | None = None, target: pathlib.Path | None = None
    ) -> csi_pb2.VolumeHealth:
        """Return what ails it, where it is staged or published if that is given."""
        request = requests.health(self.disk.volume_id, target=target, staging=staging)
        return self._call(lambda: self.node.NodeGetVolumeHealth(request)).volume_health

    def _call(self, call: Callable[[], T]) -> T:
        return on_a_busy_host(call) if self.repeats else beside_hung_processes(call)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Where the disks and the links to them lie."""
    made = tmp_path_factory.mktemp("node")
    (made / "by-id").mkdir()
    return made


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    made = Tools(tmp_path_factory.mktemp("tools"))
    for name in ("mkfs.ext4", "mkfs.ext3", "mkfs.xfs", "mkfs.btrfs"):
        made.watch(name)
    return made


@pytest.fixture(scope="module")
def start_node(
    folder: pathlib.Path, tools: Tools, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., DriverProcess]]:
    """Start further node processes for the same disks; all end with the file."""
    with ExitStack() as running:

        def start(
            *flags: str,
            command: str = "node",
            network: bool = True,
            wrapper: tuple[str, ...] = (),
            **environment: str,
        ) -> DriverProcess:
            return running.enter_context(
                DriverProcess.start(
                    command,
                    "--instance-id", INSTANCE,
                    "--zone", "ch-gva-2",
                    "--device-dir", str(folder / "by-id"),
                    "--kubelet-path", str(folder / "kubelet"),
                    "--time-scale", TIME_SCALE,
                    *PATIENCE,
                    *flags,
                    folder=tmp_path_factory.mktemp("driver"),
                    environment={"PATH": f"{tools.folder}:{os.environ['PATH']}", **environment},
                    network=network,
                    wrapper=wrapper,
                )
            )  # fmt: skip

        yield start


@pytest.fixture(scope="module")
def driver(start_node: Callable[..., DriverProcess]) -> DriverProcess:
    return start_node()


@pytest.fixture
def sector_bytes(request: pytest.FixtureRequest) -> int:
    """How large the sectors of disks are where a test doesn't care."""
    return int(request.config.getoption("--sector-bytes"))


@pytest.fixture
def make_disk(
    folder: pathlib.Path, tmp_path: pathlib.Path, sector_bytes: int
) -> Iterator[MakeDisk]:
    """Attach further disks; all go with the test."""
    usual = sector_bytes
    with ExitStack() as attached:

        def make(*, gib: int = 1, sector_bytes: int = usual) -> Disk:
            return attached.enter_context(
                attached_disk(tmp_path, folder / "by-id", gib=gib, sector_bytes=sector_bytes)
            )

        yield make


@pytest.fixture
def disk(make_disk: MakeDisk) -> Disk:
    return make_disk()


@pytest.fixture
def paths(folder: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """Where in kubelet's folder a test's volumes are staged and published."""
    below = folder / "kubelet" / tmp_path.name
    below.mkdir(parents=True)
    return below


@pytest.fixture
def make_volume(driver: DriverProcess, paths: pathlib.Path) -> Callable[[Disk], Volume]:
    def make(disk: Disk, node: DriverProcess = driver) -> Volume:
        staging = paths / disk.path.name / "globalmount"
        staging.mkdir(parents=True)
        stub = csi_pb2_grpc.NodeStub(node.channel)
        return Volume(disk, stub, staging, paths / disk.path.name)

    return make


@pytest.fixture
def volume(make_volume: Callable[[Disk], Volume], disk: Disk) -> Volume:
    return make_volume(disk)


@pytest.fixture
def gate(tools: Tools, tmp_path: pathlib.Path) -> Iterator[Callable[..., Gate]]:
    made: dict[str, Gate] = {}

    def make(name: str, work: str | None = None) -> Gate:
        made[name] = Gate(tools, name, tmp_path, work=work)
        return made[name]

    yield make
    for name, each in made.items():
        each.open()
        tools.watch(name)


@dataclass(frozen=True, slots=True)
class Table:
    """What was expected and seen of each case; the end of the test report shows it."""

    _properties: list[tuple[str, object]]

    def add(self, case: str, *, expected: str, seen: str) -> None:
        """Record a case."""
        self._properties.append((_ROW, (case, expected, seen)))


@pytest.fixture
def table(request: pytest.FixtureRequest) -> Table:
    return Table(request.node.user_properties)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was expected and seen for every case of the tables that record it."""
    rows = [
        value
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        if report.when == "call"
        for name, value in report.user_properties
        if name == _ROW
    ]
    if rows:
        terminalreporter.section("disks: what was asked, expected and seen")
    for case, expected, seen in sorted(rows):
        terminalreporter.line(f"{case:<52} {expected:<34} {seen}")
