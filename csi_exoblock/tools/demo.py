"""The demo: the real driver takes one volume through its life, against the simulator."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click
import grpc
from rich.console import Console

from csi_exoblock.tools.demo_mounts import mounts_below, mounts_ended
from csi_exoblock.tools.demo_orchestrator import Orchestrator, Volume
from csi_exoblock.tools.demo_pod import Pod
from csi_exoblock.tools.demo_processes import CloudProcess, DemoFailed, DriverProcess
from csi_exoblock.tools.demo_report import Report
from csi_exoblock.tools.demo_signals import interrupt_on_signals

_FAILED = 1
_INTERRUPTED = 130


@click.command()
@click.option(
    "--latency",
    envvar="CSI_EXOBLOCK_LATENCY",
    show_envvar=True,
    default="create=1s,attach=1s,detach=1s,snapshot=1s,delete=0.5s",
    show_default=True,
    help="Time that the cloud's operations take, as for the simulator.",
)
@click.option(
    "--mode",
    multiple=True,
    envvar="CSI_EXOBLOCK_MODE",
    show_envvar=True,
    help="QUESTION=ANSWER about the cloud, as for the simulator; repeatable.",
)
def demo(latency: str, mode: tuple[str, ...]) -> None:
    """Show a volume's life; no account needed, nothing left behind.

    Without root or loop devices only the cloud's side is shown, and the steps on the host are
    skipped.
    """
    interrupt_on_signals()
    console = Console(highlight=False)
    try:
        with tempfile.TemporaryDirectory(prefix="csi-exoblock-demo-") as folder:
            # The kernel names mounts by their real path, also where TMPDIR is a symbolic link.
            _run(Path(folder).resolve(), latency, mode, console)
    except KeyboardInterrupt:
        console.print("\ninterrupted; everything is cleaned up")
        sys.exit(_INTERRUPTED)
    except DemoFailed as error:
        console.print(f"[red]{error}[/]", soft_wrap=True)
        sys.exit(_FAILED)
    except grpc.RpcError:
        sys.exit(_FAILED)  # the report has shown the error


def _run(folder: Path, latency: str, modes: tuple[str, ...], console: Console) -> None:
    with (
        CloudProcess.start(folder / "cloud", latency, modes) as cloud,
        mounts_ended(folder),
        DriverProcess.start(
            folder / "driver", cloud, with_node=(has_host := _has_host(cloud, console))
        ) as driver,
    ):
        console.print(f"cloud   {cloud.url}  zones {', '.join(cloud.zones)}")
        console.print(f"driver  unix://{driver.socket}\n", soft_wrap=True)
        report = Report(console, count_calls=cloud.count_calls)
        orchestrator = Orchestrator(driver.channel, node_id=cloud.node_id, report=report)
        try:
            if has_host:
                _whole_life(orchestrator, folder, report)
            else:
                _life_in_the_cloud(orchestrator, report)
        except grpc.RpcError:
            console.print(f"\nThe end of the driver's log:\n{driver.last_words()}", soft_wrap=True)
            raise
        _require_nothing_left(cloud, folder)
        report.conclude()


def _has_host(cloud: CloudProcess, console: Console) -> bool:
    """Return whether the host's side can be shown, and say why if it can't."""
    why = cloud.why_no_devices()
    if why is not None:
        console.print(
            f"{why[0].upper()}{why[1:]}: formatting, mounting and writing are skipped, because "
            "they need loop devices and mounts.\nThe cloud's side is shown.\n",
            markup=False,
        )
    return why is None


def _require_nothing_left(cloud: CloudProcess, folder: Path) -> None:
    left = [*cloud.resources(), *mounts_below(folder), *cloud.devices.iterdir()]
    if left:
        raise DemoFailed(f"left behind: {', '.join(map(str, left))}")


def _whole_life(orchestrator: Orchestrator, folder: Path, report: Report) -> None:
    """Prove with a checksum that data survives snapshot, restore and expansion."""
    source = _create_first(orchestrator, report)
    with Pod(orchestrator, source, folder / "driver" / "pod-1") as first:
        checksum = first.write()
        report.note(f"wrote {first.size_mib()} MiB, sha256 {checksum[:16]}…")
        snapshot_id = orchestrator.snapshot("monday", source)
        restored = orchestrator.create("copy", 2, snapshot_id=snapshot_id)
        with Pod(orchestrator, restored, folder / "driver" / "pod-2") as second:
            _require_same(checksum, second)
            report.note(f"restored beside its source: same data, {second.capacity()}")
    orchestrator.expand(restored, 3)
    with Pod(orchestrator, restored, folder / "driver" / "pod-3") as third:
        _require_same(checksum, third)
        report.note(f"expanded: same data, {third.capacity()}")
    _delete(orchestrator, snapshot_id, source, restored)


def _life_in_the_cloud(orchestrator: Orchestrator, report: Report) -> None:
    source = _create_first(orchestrator, report)
    orchestrator.attach(source)
    snapshot_id = orchestrator.snapshot("monday", source)
    restored = orchestrator.create("copy", 2, snapshot_id=snapshot_id)
    orchestrator.expand(restored, 3)
    orchestrator.detach(source)
    _delete(orchestrator, snapshot_id, source, restored)


def _create_first(orchestrator: Orchestrator, report: Report) -> Volume:
    volume = orchestrator.create("data", 1)
    report.note("5 s of that come only once: a driver that has just started lists the volumes")
    report.note("twice, because a driver that died before it might have begun to create one")
    return volume


def _delete(orchestrator: Orchestrator, snapshot_id: str, *volumes: Volume) -> None:
    orchestrator.delete_snapshot(snapshot_id)
    for volume in volumes:
        orchestrator.delete(volume)


def _require_same(checksum: str, pod: Pod) -> None:
    if (found := pod.checksum()) != checksum:
        raise DemoFailed(f"the data changed: sha256 {found}, not {checksum}")
