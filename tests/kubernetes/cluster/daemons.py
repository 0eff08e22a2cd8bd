"""Run background processes that a later run can find and end by their recorded ids."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.kubernetes.cluster.places import LOGS, PROCESSES, STATE
from tests.support.waiting import eventually

_STOP_SECONDS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """A program of the cluster: how to start it, and what of it runs.

    The record of a running one is a file with its process id and start time, because an id alone
    may by now be another process.
    """

    name: str
    command: Sequence[str | Path]
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        """The file with everything it ever printed."""
        return LOGS / f"{self.name}.log"

    def start(self) -> None:
        """Start it in a session of its own, out of reach of an interrupt at the terminal."""
        LOGS.mkdir(parents=True, exist_ok=True)
        PROCESSES.mkdir(parents=True, exist_ok=True)
        arguments = [os.fspath(part) for part in self.command]
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        # Not a subprocess.Popen: it would complain of every daemon that outlives its object.
        pid = os.posix_spawnp(
            arguments[0],
            arguments,
            os.environ | dict(self.environment),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.fspath(self.log), append, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigdef=[signal.SIGPIPE],  # Python ignores it, and children would too
        )
        # Never half written: a supervisor in another process may read it now.
        unfinished = STATE / f"{self.name}.starting"
        unfinished.write_text(f"{pid} {_start_time(pid)}")
        unfinished.replace(self._record)

    def stop(self) -> None:
        """Ask it to end, and make it end after 15 seconds; one that does not run is fine."""
        stop_recorded(self._record)

    def kill(self) -> None:
        """End it the hard way, as a crash or a full memory would."""
        stop_recorded(self._record, with_signal=signal.SIGKILL)

    def crash(self) -> None:
        """End it as a bug of its own would, so that its supervisor starts it again."""
        pid = self.pid
        assert pid is not None, f"{self.name} does not run"
        os.kill(pid, signal.SIGKILL)

    def revive(self) -> None:
        """Start it again if it ended by itself, as kubelet does with a container."""
        recorded = _read(self._record)
        if recorded and _pid_of(recorded) is None and _read(self._record) == recorded:
            self.start()

    def restart(self) -> None:
        """Stop it and start it again with the same arguments."""
        self.stop()
        self.start()

    def with_arguments(self, *arguments: str) -> Daemon:
        """Describe it as it would be with more arguments."""
        return replace(self, command=[*self.command, *arguments])

    @property
    def pid(self) -> int | None:
        """Its process id, or None when it does not run."""
        return _running_pid(self._record)

    @property
    def _record(self) -> Path:
        return PROCESSES / self.name


def stop_recorded(record: Path, with_signal: signal.Signals = signal.SIGTERM) -> None:
    """End the process of this record, also one of another run, and remove the record."""
    pid = _running_pid(record)
    record.unlink(missing_ok=True)  # first: without it nobody starts the process again
    if pid is None:
        return
    started = _start_time(pid)
    os.kill(pid, with_signal)
    if not eventually(lambda: _has_ended(pid, started), seconds=_STOP_SECONDS):
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: _has_ended(pid, started), seconds=_STOP_SECONDS)


def _has_ended(pid: int, started: str | None) -> bool:
    _reap(pid)
    return _start_time(pid) != started


def _running_pid(record: Path) -> int | None:
    recorded = _read(record)
    return _pid_of(recorded) if recorded else None


def _read(record: Path) -> str | None:
    try:
        return record.read_text()
    except FileNotFoundError:
        return None


def _pid_of(recorded: str) -> int | None:
    """Return the id of a recorded process, or None when it has ended."""
    pid, started = recorded.split()
    return None if _has_ended(int(pid), started) else int(pid)


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return  # started by an earlier run


def _start_time(pid: int) -> str | None:
    """Return the process's start in clock ticks since boot, which with the id names it for ever."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *numbers = stat.rpartition(")")[2].split()
    return None if state == "Z" else numbers[18]  # one that ended but was not waited for is gone
