"""Start the driver as a process of its own, and talk to it over its CSI socket.

with DriverProcess.start("controller", "--api-endpoint", url, folder=tmp_path) as driver:
    identity = csi_pb2_grpc.IdentityStub(driver.channel)
"""

from __future__ import annotations

import ctypes
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import grpc

from tests.support.children import die_with_parent
from tests.support.forks import Fork, forks, is_for_python
from tests.support.readiness import ready_or_ended

STOP_SECONDS = 60.0

_CLONE_NEWNET = 0x40000000


class DriverProcess:
    """A running driver.

    Attributes:
        socket: Its CSI socket.
        log: The file that holds all it says.
        channel: A connection to the socket, closed with the driver.
    """

    def __init__(
        self, process: subprocess.Popen[bytes] | Fork, *, socket: pathlib.Path, log: pathlib.Path
    ) -> None:
        self._process = process
        self.socket = socket
        self.log = log
        self.channel = grpc.insecure_channel(f"unix://{socket}")

    @classmethod
    def start(
        cls,
        *arguments: str,
        folder: pathlib.Path,
        environment: Mapping[str, str] | None = None,
        ready: bool = True,
        network: bool = True,
        wrapper: tuple[str, ...] = (),
        afresh: bool = False,
    ) -> Self:
        """Start a driver and return it when it says that it is ready, or at once.

        Its socket and its log lie in the folder. It ends when the test process dies. It is a fork
        of a process that has imported everything, unless it is to be started in another way.

        Args:
            arguments: The command (`all`, `controller` or `node`) and its flags.
            environment: Added to PATH, which is all that it inherits.
            ready: Whether to wait.
            network: Whether it has any; without, not even the loopback interface is up.
            wrapper: A command, and its arguments, that runs the driver.
            afresh: Whether Python is started for it, as users do: its memory is its own then.
        """
        socket, log = folder / "csi.sock", folder / "driver.log"
        arguments = (*arguments, "--endpoint", f"unix://{socket}")
        environment = {"PATH": os.environ["PATH"], **(environment or {})}
        process: subprocess.Popen[bytes] | Fork
        with log.open("ab") as output:
            if afresh or wrapper or not network or any(map(is_for_python, environment)):
                process = subprocess.Popen(
                    [*wrapper, sys.executable, "-m", "csi_exoblock", *arguments],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    preexec_fn=die_with_parent if network else _be_cut_off,
                )
            else:
                process = forks().start(
                    arguments,
                    environment=environment,
                    stdout=output.fileno(),
                    stderr=output.fileno(),
                )
        driver = cls(process, socket=socket, log=log)
        try:
            if ready:
                driver.wait_until_ready()
        except BaseException:
            driver.kill()
            raise
        return driver

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def stop(self) -> int:
        """End it with SIGTERM, and return its exit code."""
        return self._end(signal.SIGTERM)

    def wait(self) -> int:
        """Return its exit code when it has ended."""
        return self._process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._end(signal.SIGKILL)

    def wait_until_ready(self) -> None:
        """Return when the driver says that it is ready."""
        try:
            ended = ready_or_ended(self.channel, self._process)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.log.read_text()}") from error
        assert ended is None, f"the driver ended with {ended}: {self.log.read_text()}"

    def _end(self, number: signal.Signals) -> int:
        self.channel.close()
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            return self._process.wait(STOP_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()


def _be_cut_off() -> None:
    """Leave every network, as root may."""
    die_with_parent()
    if ctypes.CDLL(None).unshare(_CLONE_NEWNET) != 0:
        raise OSError("no network namespace")
