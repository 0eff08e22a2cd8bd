"""Start drivers fast: a process that has imported everything forks one whenever it is told to.

A driver started so differs from `python -m csi_exoblock` in what a test may do to it from outside,
which a module with a function `prepare` says.

    python -m tests.chaos.zygote MODULE    one order a line on standard input, as JSON; answers
                                           with pids
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

# Imported before the first fork, so that no driver spends its first second on it.
from csi_exoblock import __main__ as command_line

_PR_SET_PDEATHSIG = 1

Prepare = Callable[[dict[str, Any]], None]


def main(module: str) -> None:
    """Fork a driver for every order, until standard input ends."""
    prepare: Prepare = importlib.import_module(module).prepare
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the dead
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become_driver(order, prepare)
        print(pid, flush=True)


def _become_driver(order: dict[str, Any], prepare: Prepare) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # it must not outlive the harness
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.environ.update(order["environment"])
    sys.argv = ["csi-exoblock", *order["arguments"]]
    prepare(order)
    command_line.main()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
