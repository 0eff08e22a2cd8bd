"""The processes of the demo, simulator and driver: how they start, and end without a trace."""

from __future__ import annotations

import ctypes
import json
import re
import secrets
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import click
import grpc

from csi_exoblock.concurrency import Deadline
from csi_exoblock.pb import csi_pb2, csi_pb2_grpc
from csi_exoblock.tools.demo_signals import ignore_signals, interrupted_only_after
from csi_exoblock.tools.demo_timing import POLL_SECONDS, PROCESS_SECONDS

_LAST_LINES = 12
_WRONG_USAGE = 2
_ANNOUNCEMENT = re.compile(r"simulator listening on (\S+) zones (\S+) instances (\S+)\n")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PR_SET_PDEATHSIG = 1
# A proxy that http_proxy names cannot reach this host's 127.0.0.1.
_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class DemoFailed(Exception):
    """The demo can't go on, or a proof failed; the text says why."""


class _Process:
    """A command of csi-exoblock in a session of its own, so that Ctrl-C does not reach it.

    The demo ends its processes in order, and each cleans up behind itself.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        ignore_signals()
        _end(self._process)


class CloudProcess(_Process):
    """The simulator, with this host as one of its instances.

    Attributes:
        node_id: The instance that is this host.
        environment: The variables with the API key for a client.
    """

    def __init__(
        self,
        process: subprocess.Popen[str],
        *,
        announcement: re.Match[str],
        environment: Mapping[str, str],
        devices: Path,
    ) -> None:
        super().__init__(process)
        self.url = announcement[1]
        self.zones = announcement[2].split(",")
        self.node_id = announcement[3]
        self.environment = environment
        self.devices = devices

    @classmethod
    def start(cls, folder: Path, latency: str, modes: tuple[str, ...]) -> Self:
        """Start the simulator.

        Raises:
            DemoFailed: It ended at once.
            click.UsageError: The latency or a mode is malformed.
        """
        devices, log = folder / "devices", folder / "log"
        devices.mkdir(parents=True)
        environment = {
            "EXOSCALE_API_KEY": "EXOdemo",
            "EXOSCALE_API_SECRET": secrets.token_urlsafe(),
        }
        arguments = ["simulator", "--listen", "127.0.0.1:0", "--latency", latency]
        arguments += ["--device-dir", str(devices), "--state-dir", str(folder)]
        for mode in modes:
            arguments += ["--mode", mode]
        with (
            log.open("w") as errors,
            _started(arguments, environment, stdout=subprocess.PIPE, stderr=errors) as process,
        ):
            announcement = _announcement(process, log)
        return cls(process, announcement=announcement, environment=environment, devices=devices)

    def count_calls(self) -> int:
        """Return the number of calls to its API so far."""
        return len(self._ask("calls"))

    def why_no_devices(self) -> str | None:
        """Return why its volumes have no block devices on this host, or None if they have."""
        why: str | None = self._ask("devices")["missing"]
        return why

    def resources(self) -> list[str]:
        """Return the ids of all volumes and snapshots."""
        return [each["id"] for what in ("volumes", "snapshots") for each in self._ask(what)]

    def _ask(self, what: str) -> Any:
        url = f"{self.url}/_simulator/{what}"
        with _DIRECTLY.open(url, timeout=PROCESS_SECONDS) as response:
            return json.load(response)


class DriverProcess(_Process):
    """The driver.

    Attributes:
        channel: A connection to its CSI socket.
    """

    def __init__(self, process: subprocess.Popen[str], *, socket: Path, log: Path) -> None:
        super().__init__(process)
        self.socket = socket
        self.channel = grpc.insecure_channel(f"unix:{socket}")
        self._log = log

    @classmethod
    def start(cls, folder: Path, cloud: CloudProcess, *, with_node: bool) -> Self:
        """Start the driver.

        Args:
            with_node: Whether it also serves the volumes of this host.

        Raises:
            DemoFailed: It ended, or is not ready in time.
        """
        folder.mkdir()
        socket, log = folder / "csi.sock", folder / "log"
        zone, instance = cloud.node_id.split("/")
        arguments = ["all" if with_node else "controller", "--endpoint", f"unix://{socket}"]
        arguments += ["--api-endpoint", f"{cloud.url}/{{zone}}/v2", "--default-zone", zone]
        arguments += ["--log-format", "text"]
        if with_node:
            arguments += ["--instance-id", instance, "--zone", zone]
            arguments += ["--device-dir", str(cloud.devices), "--kubelet-path", str(folder)]
        with (
            log.open("w") as output,
            _started(arguments, cloud.environment, stdout=output, stderr=output) as process,
        ):
            driver = cls(process, socket=socket, log=log)
            driver._wait_until_ready()
        return driver

    def last_words(self) -> str:
        """Return the end of its log."""
        return "\n".join(self._log.read_text().splitlines()[-_LAST_LINES:])

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.channel.close()
        super().__exit__(kind, error, trace)

    def _wait_until_ready(self) -> None:
        identity = csi_pb2_grpc.IdentityStub(self.channel)
        deadline = Deadline(PROCESS_SECONDS)
        while self._process.poll() is None and deadline.remaining():
            try:
                if identity.Probe(csi_pb2.ProbeRequest()).ready.value:
                    return
            except grpc.RpcError:
                pass  # no socket yet
            deadline.wait(POLL_SECONDS)
        raise DemoFailed(f"the driver did not start: {self.last_words()}")


@contextmanager
def _started(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    stdout: int | IO[str],
    stderr: IO[str],
) -> Iterator[subprocess.Popen[str]]:
    """Start a process, and end it if the block fails or is interrupted."""
    process: subprocess.Popen[str] | None = None
    try:
        with interrupted_only_after():
            process = subprocess.Popen(
                [sys.executable, "-m", "csi_exoblock", *arguments],
                env={"PATH": _PATH, **environment},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                text=True,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        yield process
    except BaseException:
        ignore_signals()
        if process is not None:
            _end(process)
        raise


def _announcement(process: subprocess.Popen[str], log: Path) -> re.Match[str]:
    """Return the line that the simulator prints once it listens.

    Raises:
        DemoFailed: It did not start.
        click.UsageError: It refused its flags.
    """
    line = process.stdout.readline() if process.stdout else ""
    if announcement := _ANNOUNCEMENT.fullmatch(line):
        return announcement
    process.wait(PROCESS_SECONDS)
    words = log.read_text().strip().removeprefix("csi-exoblock: ")
    if process.returncode == _WRONG_USAGE:
        raise click.UsageError(words)
    raise DemoFailed(f"the simulator did not start: {words}")


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(PROCESS_SECONDS)
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def _end_with_parent() -> None:
    """Ask the kernel to end the process if the demo is killed: devices must not outlive it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
