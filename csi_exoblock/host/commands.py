"""Commands on this host: run from an argument list, without a shell, and measured."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import shlex
import signal
import subprocess
import time
from collections.abc import Container, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from csi_exoblock.errors import CommandFailed, HostError
from csi_exoblock.host.exhaustion import refuse_exhausted
from csi_exoblock.host.starts import starting
from csi_exoblock.metrics import Metrics
from csi_exoblock.threads import begin_thread
from csi_exoblock.timing import HostTiming

# More than any of the driver's commands prints.
_OUTPUT_BYTES = 64 * 1024
# The name of a command's output in /proc, which tells the driver's commands from other processes.
_OUTPUT_NAME = "csi-exoblock command"
# A hostile disk can keep a check busy for minutes, so the node's other work comes first. But not
# with the class "idle": on a busy node the check would never run.
_GENTLY = ("nice", "-n", "10", "ionice", "-t", "-c", "2", "-n", "7")
# The part of the memory limit that a long command gets; the rest is for the driver and other ones.
_MEMORY_PART = 3 / 4
# What commands say of too little memory: those of e2fsprogs, and all others.
_TOO_LITTLE_MEMORY = ("Memory allocation failed", os.strerror(errno.ENOMEM))
# The longest complaint of a command, so that the whole error fits where sidecars store it (F11).
_COMPLAINT_CHARACTERS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The exit code of a command, and its output: at most 64 KiB of each stream."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def complaint(self) -> str:
        """The end of its errors or else of its output, short enough for an error message."""
        return _in_one_line(self.stderr.strip() or self.stdout)

    @property
    def report(self) -> str:
        """The end of its output and then of its errors, short enough for an error message."""
        return _in_one_line(f"{self.stdout} {self.stderr}")


class Commands:
    """Runs the host's commands and measures them.

    Args:
        memory_limit: How many bytes the driver and its commands may use together. If one process
            exceeds that, Kubernetes ends the driver too, and with it the work on all volumes (S26).
    """

    def __init__(
        self, *, timing: HostTiming, metrics: Metrics, memory_limit: int | None = None
    ) -> None:
        self._timing = timing
        self._metrics = metrics
        self._limited = _limited_to(memory_limit)

    def run(
        self,
        *argv: str,
        allowed: Container[int] = (0,),
        inherited: tuple[int, ...] = (),
        spared: bool = False,
    ) -> Completed:
        """Run a short command, such as blkid or mount, and wait for it until a timeout.

        Args:
            allowed: Exit codes that are no failure.
            inherited: Open files that stay open as long as the command runs.
            spared: Whether it goes on after the timeout; otherwise it is killed.

        Raises:
            CommandFailed: It ended with another code, was killed, hung, or isn't installed.
        """
        timeout_seconds = self._timing.command_timeout
        return self._run(argv, allowed, timeout_seconds, inherited, spared=spared)

    def run_to_its_end(
        self,
        *argv: str,
        allowed: Container[int] = (0,),
        inherited: tuple[int, ...] = (),
        gently: bool = False,
    ) -> Completed:
        """Run a command that can take hours and must not be cut short; it is never killed (D10).

        It survives the driver as well: it has a separate session and writes to no pipe. It fails if
        it needs more than three quarters of the memory limit.

        Args:
            inherited: Open files that stay open as long as the command runs.
            gently: Whether it runs at a lower priority for processor and disks.

        Raises:
            CommandFailed: It ended with another code, was killed, or isn't installed.
        """
        prefix = (*self._limited, *(_GENTLY if gently else ()))
        return self._run(argv, allowed, None, inherited, prefix=prefix)

    def _run(
        self,
        argv: tuple[str, ...],
        allowed: Container[int],
        timeout_seconds: float | None,
        inherited: tuple[int, ...] = (),
        prefix: tuple[str, ...] = (),
        *,
        spared: bool = False,
    ) -> Completed:
        began = time.monotonic()
        outcome = "failed"
        try:
            completed = _execute(argv, timeout_seconds, inherited, prefix, spared=spared)
            if completed.exit_code in allowed:
                outcome = "ok"
                return completed
            raise CommandFailed(_failure(argv, completed))
        finally:
            self._metrics.host_command_seconds.labels(argv[0], outcome).observe(
                time.monotonic() - began
            )


def _in_one_line(output: str) -> str:
    words = " ".join(output.split())
    remedy = ""
    if any(each in words for each in _TOO_LITTLE_MEMORY):
        remedy = " (give the node plugin more memory: node.resources.limits.memory)"
    return (words[-_COMPLAINT_CHARACTERS:] or "it said nothing") + remedy


def _limited_to(memory_limit: int | None) -> tuple[str, ...]:
    """Return what precedes a long command, so that it ends by itself before the container does."""
    if memory_limit is None:
        return ()
    return ("prlimit", f"--as={int(memory_limit * _MEMORY_PART)}")


def is_own_command(process: Path) -> bool:
    """Return whether a process is a command of this driver process or of an earlier one.

    Reads nothing that a process locks while it hangs on its disk (S26).

    Args:
        process: Its folder in /proc.

    Raises:
        HostError: The host has no memory left.
    """
    try:
        output = os.readlink(process / "fd" / "1")
    except OSError as error:  # it has ended
        refuse_exhausted(error)
        return False
    return output.startswith(f"/memfd:{_OUTPUT_NAME}")


def _execute(
    argv: tuple[str, ...],
    timeout_seconds: float | None,
    inherited: tuple[int, ...],
    prefix: tuple[str, ...],
    *,
    spared: bool,
) -> Completed:
    with ExitStack() as files:
        try:
            # Files in memory instead of pipes: they never block the command, even after the driver
            # has gone.
            stdout, stderr = _bounded_file("stdout", files), _bounded_file("stderr", files)
            with starting():
                process = subprocess.Popen(
                    (*prefix, *argv),
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=stderr,
                    start_new_session=True,
                    pass_fds=inherited,
                    env=_environment(),
                )
        except OSError as error:
            raise CommandFailed(f"{shlex.join(argv)} could not be started: {error}") from error
        try:
            exit_code = _await_end(process, timeout_seconds)
        except subprocess.TimeoutExpired as error:
            if not spared:
                _kill(process)
            _reap_later(process)
            raise CommandFailed(
                f"{shlex.join(argv)} did not end within {timeout_seconds:.0f} s and "
                f"{'goes on; retry' if spared else 'was killed'}"
            ) from error
        return Completed(exit_code=exit_code, stdout=_text(stdout), stderr=_text(stderr))


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a command and whatever it began, without waiting for the end.

    A process that hangs inside the kernel survives the signal until its disk answers.
    """
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _reap_later(process: subprocess.Popen[bytes]) -> None:
    with suppress(HostError):  # no thread left: it stays a zombie
        begin_thread(process.wait, name=f"end of process {process.pid}")


def _environment() -> Mapping[str, str]:
    """Return a command's environment, without the driver's own, which can hold the API's secret."""
    return {"PATH": os.pathsep.join(os.get_exec_path()), "LC_ALL": "C"}


def _await_end(process: subprocess.Popen[bytes], timeout_seconds: float | None) -> int:
    """Return the exit code as soon as the process ends.

    Raises:
        subprocess.TimeoutExpired: It did not end in time.
    """
    if timeout_seconds is None:
        return process.wait()
    # With a timeout Popen.wait polls at growing intervals: it saw a mount of 5 ms end after 8 ms.
    try:
        end = os.pidfd_open(process.pid)
    except OSError:  # a kernel before 5.3, or a container that forbids it
        return process.wait(timeout_seconds)
    try:
        poll = select.poll()
        poll.register(end, select.POLLIN)
        poll.poll(timeout_seconds * 1000)
    finally:
        os.close(end)
    return process.wait(0)


def _bounded_file(name: str, files: ExitStack) -> int:
    """Return a file in memory that can't grow: writes beyond its end fail."""
    file = os.memfd_create(f"{_OUTPUT_NAME}: {name}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    files.callback(os.close, file)
    os.ftruncate(file, _OUTPUT_BYTES)
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)
    return file


def _text(file: int) -> str:
    # The command shares the file's position with us, so the position is the length of its output.
    return os.pread(file, os.lseek(file, 0, os.SEEK_CUR), 0).decode(errors="replace")


def _failure(argv: tuple[str, ...], completed: Completed) -> str:
    if completed.exit_code < 0:
        end = f"was killed by {signal.Signals(-completed.exit_code).name}"
        if -completed.exit_code == signal.SIGKILL:
            end += ", perhaps because the container has reached its memory limit"
    else:
        end = f"failed with exit code {completed.exit_code}"
    return f"{shlex.join(argv)} {end}: {completed.complaint}"
