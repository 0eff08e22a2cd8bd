"""What a test does to a node from outside: show it other disks, ask to be asked at each step."""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

# Imported before the first fork, so that no driver spends its first second on it.
from csi_exoblock import calls, logs
from csi_exoblock.concurrency import Deadline
from csi_exoblock.host.devices import Devices
from csi_exoblock.host.jobs import _Turns
from csi_exoblock.timing import Timing
from tests.chaos.node.mutants import MUTANTS
from tests.chaos.node.steps import GO, TURN


def prepare(order: dict[str, Any]) -> None:
    """Change this process, which is about to become a driver, as the order says."""
    if order["mutant"]:
        MUTANTS[order["mutant"]]()
    _show_disks_of(pathlib.Path(order["environment"]["CHAOS_FOLDER"]))
    _tell_each_command_its_call()
    _search_as_long_as_ever()
    if order["steps"]:
        _ask_at_each_step(order["steps"])


def _show_disks_of(host: pathlib.Path) -> None:
    """Have the driver look for disks in folders where they may come, go and have serials.

    Loop devices have no serial, and one that is mounted can't be taken away.
    """
    original = Devices.__init__

    def __init__(self: Devices, **given: Any) -> None:
        original(self, **given | {"sysfs": host / "sys", "dev": host / "dev"})

    Devices.__init__ = __init__  # type: ignore[method-assign]


def _search_as_long_as_ever() -> None:
    """Leave the search for a disk's users its minute: this host's processes live at usual speed."""
    original = Timing.scaled

    def scaled(self: Timing, factor: float) -> Timing:
        return replace(
            original(self, factor), users_search=self.users_search, memory_answer=self.memory_answer
        )

    Timing.scaled = scaled  # type: ignore[method-assign, assignment]  # no subclass here


def _volume_of(call: calls.Call) -> str:
    return str(call.fields.get("volume_id", "")).rpartition("/")[2]


def _tell_each_command_its_call() -> None:
    """Put volume and RPC into the environment of each command, for what stands in its place."""
    original: Callable[..., None] = subprocess.Popen.__init__

    def __init__(self: Any, *argv: Any, **options: Any) -> None:
        call = calls.current()
        name = f"{_volume_of(call)}.{call.name}" if call else "nobody.nothing"
        original(self, *argv, **{**options, "env": {**os.environ, "CHAOS_CALL": name}})

    subprocess.Popen.__init__ = __init__  # type: ignore[method-assign]


def _ask_at_each_step(path: str) -> None:
    """Tell the harness each step that a call takes, and go on, or die, as it answers."""
    original = logs.step
    mine = threading.local()

    def asked(name: str) -> None:
        original(name)
        tell(name)

    def tell(name: str) -> None:
        if (call := calls.current()) is None:
            return
        if not hasattr(mine, "line"):
            mine.line = socket.socket(socket.AF_UNIX)
            mine.line.connect(path)
        mine.line.sendall(f"{_volume_of(call)} {call.name} {name}\n".encode())
        if mine.line.recv(len(GO)) != GO:
            os.kill(os.getpid(), signal.SIGKILL)

    logs.step = asked
    take = _Turns.take

    def taken(self: _Turns, deadline: Deadline) -> Future[None]:
        turn = take(self, deadline)
        tell(TURN)
        return turn

    _Turns.take = taken  # type: ignore[method-assign]
