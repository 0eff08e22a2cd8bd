"""Start the driver's commands in a moment, as forks of a process that has imported everything."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.zygote import MOST_BYTES

_EXIT_CODE_BYTES = 16


class Fork:
    """A running command; it has what the tests use of `subprocess.Popen`.

    Attributes:
        pid: The process id.
        returncode: The exit code, negative for a signal; None before it was seen to have ended.
    """

    def __init__(self, pid: int, report: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._report = report
        self._lock = threading.Lock()
        weakref.finalize(self, os.close, report)

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0.0)
        return None

    def wait(self, seconds: float | None = None) -> int:
        """Return the exit code when it has ended.

        Raises:
            TimeoutExpired: It has not within the time.
        """
        if not select.select([self._report], [], [], seconds)[0]:
            raise subprocess.TimeoutExpired("a fork", seconds or 0.0)
        with self._lock:
            if self.returncode is None:
                said = os.read(self._report, _EXIT_CODE_BYTES)
                self.returncode = int(said or -signal.SIGKILL)  # the zygote died, and it with it
            return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it ends just now
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL, unless it has ended."""
        self.send_signal(signal.SIGKILL)


class Forks:
    """Forks commands.

    Args:
        tampering: A module whose `prepare(order)` changes each fork before it runs; or empty.
    """

    def __init__(self, tampering: str = "") -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        self._orders = ours
        with theirs:
            self._zygote = subprocess.Popen(
                [sys.executable, "-m", "tests.support.zygote", str(theirs.fileno()), tampering],
                env={"PATH": os.environ["PATH"], "GRPC_ENABLE_FORK_SUPPORT": "false"},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def start(
        self,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        stdout: int,
        stderr: int,
        dies_by: signal.Signals = signal.SIGTERM,
        **more: Any,
    ) -> Fork:
        """Start a command and return at once.

        Args:
            environment: All that it has.
            stdout: A descriptor, as stderr.
            dies_by: What it gets when the process that started it is gone.
            more: For the tampering module.
        """
        order = {
            "arguments": list(arguments),
            "environment": dict(environment),
            "folder": os.getcwd(),
            "dies_by": dies_by,
            **more,
        }
        report, write = os.pipe()
        nothing = os.open(os.devnull, os.O_RDONLY)
        try:
            with self._lock:
                descriptors = [nothing, stdout, stderr, write]
                socket.send_fds(self._orders, [json.dumps(order).encode()], descriptors)
                answer = self._orders.recv(MOST_BYTES)
        finally:
            os.close(nothing)
            os.close(write)
        if not answer:
            os.close(report)
            raise RuntimeError("the process that forks commands is gone")
        return Fork(int(answer), report)

    def close(self) -> None:
        """Forget the zygote; what it has started gets its signal."""
        self._orders.close()
        self._zygote.wait()


def is_for_python(variable: str) -> bool:
    """Return whether Python itself reads an environment variable, when it starts."""
    return variable.startswith("PYTHON")


@functools.cache
def forks() -> Forks:
    """Return those of this process, which end with it."""
    return Forks()
