"""Driver processes that start in a moment and die as they are told."""

from __future__ import annotations

import pathlib
import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Self

import grpc

from csi_exoblock.pb import csi_pb2_grpc
from tests.support.forks import Fork, Forks
from tests.support.readiness import ready_or_ended

LOG_LEVEL = "CHAOS_LOG_LEVEL"
"""Variable that says how much all drivers log."""

_RECONNECT_MS = 10  # the default of a second is longer than most schedules
_OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),
    *((f"grpc.{which}_reconnect_backoff_ms", _RECONNECT_MS) for which in ("initial", "min", "max")),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """Where a driver dies by SIGKILL, or stops until it is told to go on.

    Attributes:
        at: `step`, `request` (sent, not answered), `answer`, or empty for never; `pause` is at a
            step, where it only stops.
        name: Which step; empty counts every step.
        ordinal: The how-manieth of them, from 1.
    """

    at: str = ""
    name: str = ""
    ordinal: int = 1


NEVER = Kill()


class Driver:
    """A driver under test: a controller or a node, whichever it was started as."""

    def __init__(self, process: Fork, socket: pathlib.Path) -> None:
        self._process = process
        self._socket = socket
        self.channel = grpc.insecure_channel(f"unix://{socket}", options=_OPTIONS)
        self.controller = csi_pb2_grpc.ControllerStub(self.channel)
        self.node = csi_pb2_grpc.NodeStub(self.channel)

    def wait_until_ready(self) -> None:
        """Return when Probe says ready, or a planned kill has ended the process before.

        Raises:
            AssertionError: The process has ended by itself, or is never ready.
        """
        ended = ready_or_ended(self.channel, self._process)
        if ended not in (None, -signal.SIGKILL):
            raise AssertionError(
                f"the driver with pid {self._process.pid} ended at its start with {ended}"
            )

    def is_alive(self) -> bool:
        """Tell whether the process still runs."""
        return self._process.poll() is None

    def is_stopped(self) -> bool:
        """Tell whether the process has stopped itself."""
        try:
            stat = pathlib.Path(f"/proc/{self._process.pid}/stat").read_text()
        except FileNotFoundError:
            return False
        return stat.rpartition(") ")[2].startswith("T")

    def go_on(self) -> None:
        """Let the process go on where it stopped itself."""
        self._process.send_signal(signal.SIGCONT)

    def end(self, *, gracefully: bool = False) -> None:
        """End the process, by SIGTERM or at once; who waits for its answers learns it himself."""
        self._process.send_signal(signal.SIGTERM if gracefully else signal.SIGKILL)
        self._process.wait()

    def kill(self) -> None:
        """End the process at once, and take its socket away."""
        self.end()
        self.channel.close()
        self._socket.unlink(missing_ok=True)


class Fleet:
    """Starts drivers, each a fork of one process that has imported everything already.

    Args:
        tampering: The module that says what tests may do to the drivers.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        tampering: str,
        arguments: tuple[str, ...],
        environment: Mapping[str, str],
    ) -> None:
        self._folder = folder
        self._arguments = arguments
        self._environment = dict(environment)
        self._count = 0
        self._forks = Forks(tampering)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._forks.close()

    @property
    def log(self) -> pathlib.Path:
        """What all drivers say."""
        return self._folder / "drivers.log"

    def start(
        self,
        *,
        flags: tuple[str, ...] = (),
        mutant: str = "",
        kill: Kill = NEVER,
        steps: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> Driver:
        """Start a driver and return it once it is ready.

        Args:
            flags: Beside those of every driver of the fleet.
            mutant: What is broken in it.
            steps: File into which it writes the names of the steps that it takes, or the socket at
                which it asks at each step whether to go on: as its tampering module has it.
            environment: Beside that of every driver of the fleet.
        """
        self._count += 1
        socket = self._folder / f"{self._count}.sock"
        with self.log.open("ab") as log:
            process = self._forks.start(
                [*self._arguments, *flags, "--endpoint", f"unix://{socket}"],
                environment={**self._environment, **(environment or {})},
                stdout=log.fileno(),
                stderr=log.fileno(),
                dies_by=signal.SIGKILL,
                mutant=mutant,
                kill=asdict(kill),
                steps=steps,
            )
        driver = Driver(process, socket)
        driver.wait_until_ready()
        return driver
