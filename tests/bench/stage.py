"""The processes that are measured: simulators and drivers, and a folder for what they need."""

from __future__ import annotations

import pathlib
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from csi_exoblock.pb import csi_pb2_grpc
from tests.bench.plan import Plan
from tests.support.driver_process import DriverProcess
from tests.support.simulator_process import SimulatorProcess

INSTANCE = "5e0f6d1c-93f4-4f0e-8d0b-0c8f6b5d2a10"
UNLIMITED = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where a section measures, and how much.

    Attributes:
        folder: Removed at the end.
        stopping: Set when the user wants it to end.
    """

    plan: Plan
    folder: pathlib.Path
    began: float
    stopping: threading.Event

    def say(self, line: str) -> None:
        """Print a line of progress.

        Raises:
            KeyboardInterrupt: It is to end; what Ctrl-C raised is lost when it hits a fork.
        """
        self.pause(0.0)
        print(f"{time.monotonic() - self.began:6.1f} s  {line}", flush=True)

    def pause(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            KeyboardInterrupt: It is to end.
        """
        if self.stopping.wait(seconds):
            raise KeyboardInterrupt

    def new_folder(self) -> pathlib.Path:
        """Make a folder; its name is short, for a socket's path may not be long."""
        return pathlib.Path(tempfile.mkdtemp(dir=self.folder))

    @contextmanager
    def cloud(
        self, *, latency_seconds: float, time_scale: float = 1.0, seed: int | None = None
    ) -> Iterator[SimulatorProcess]:
        """Run a cloud whose every operation takes so long, with one zone and without quotas."""
        with SimulatorProcess.start(
            "--sim-zones", "ch-gva-2",
            "--local-instance", "none",
            "--latency", f"{latency_seconds}s",
            "--time-scale", str(time_scale),
            *(() if seed is None else ("--seed", str(seed))),
        ) as cloud:  # fmt: skip
            cloud.set_latency("resize", 0.0)  # it has no operation, so it can't be the cloud's time
            for resource in ("block-storage", "block-storage-volume"):
                cloud.set_quota(resource, UNLIMITED)
            cloud.set_quota("block-storage-volume-attachments", UNLIMITED)
            yield cloud

    @contextmanager
    def controller(
        self, cloud: SimulatorProcess, *flags: str, time_scale: float | None = None
    ) -> Iterator[DriverProcess]:
        """Run a controller that is old enough to believe in what it sees (C1)."""
        scale = time_scale or self.plan.time_scale
        with DriverProcess.start(
            "controller",
            "--api-endpoint", cloud.api_endpoint,
            "--default-zone", cloud.zones[0],
            "--time-scale", f"{scale:.6f}",
            "--api-timeout", f"{15 / scale:.0f}s",  # the network is no faster than ever
            *flags,
            folder=self.new_folder(),
            environment=cloud.environment,
            afresh=True,
        ) as driver:  # fmt: skip
            self.pause(self.plan.doubtful_seconds)
            yield driver

    @contextmanager
    def node(
        self, folder: pathlib.Path, *flags: str, ready: bool = True
    ) -> Iterator[DriverProcess]:
        """Run a node whose disks are linked in the folder's `by-id`."""
        (folder / "by-id").mkdir(exist_ok=True)
        with DriverProcess.start(
            "node",
            "--instance-id", INSTANCE,
            "--zone", "ch-gva-2",
            "--device-dir", str(folder / "by-id"),
            "--kubelet-path", str(folder / "kubelet"),
            *flags,
            folder=folder,
            ready=ready,
            afresh=True,
        ) as driver:  # fmt: skip
            yield driver


def controller_of(driver: DriverProcess) -> csi_pb2_grpc.ControllerStub:
    """Return the controller service of a driver."""
    return csi_pb2_grpc.ControllerStub(driver.channel)
