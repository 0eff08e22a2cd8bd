"""A process that has imported everything, and forks the commands that tests start.

Python takes half a second of processor time to import the driver; a fork takes some milliseconds.
What runs in the fork is the same: `csi_exoblock.__main__`, with its own arguments, environment,
working directory and standard streams. `tests.support.forks` is its client.

    python -m tests.support.zygote SOCKET [MODULE]    MODULE.prepare(order) changes each fork first
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

# Imported before the first fork, so that no fork spends its first second on it.
import csi_exoblock.app.controller
import csi_exoblock.app.node
import csi_exoblock.app.process
import csi_exoblock.simulator.command
import csi_exoblock.tools.bundle
import csi_exoblock.tools.doctor
import csi_exoblock.tools.examinations
import csi_exoblock.tools.moving
import csi_exoblock.tools.status  # noqa: F401
from csi_exoblock import __main__ as command_line

STREAMS = 3
MOST_BYTES = 1024 * 1024

_PR_SET_PDEATHSIG = 1
_STATUS = STREAMS  # the descriptor that a fork's exit code is written to comes after its streams

Order = dict[str, Any]
Prepare = Callable[[Order], None]


class Zygote:
    """Forks at each order, and reports how each fork ended."""

    def __init__(self, orders: socket.socket, prepare: Prepare) -> None:
        self._orders = orders
        self._prepare = prepare
        self._reports: dict[int, int] = {}

    def run(self) -> Order | None:
        """Serve until the client is gone; in a fork, return what it was ordered to be."""
        wakeup, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests to deal with
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        while True:
            ready, _, _ = select.select([self._orders.fileno(), wakeup], [], [])
            if wakeup in ready:
                os.read(wakeup, MOST_BYTES)
                self._report_the_dead()
            if self._orders.fileno() in ready:
                message, descriptors, *_ = socket.recv_fds(self._orders, MOST_BYTES, _STATUS + 1)
                if not message:
                    return None
                order: Order = json.loads(message)
                pid = os.fork()
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    os.close(wakeup)
                    os.close(woken)
                    self._become(order, descriptors)
                    return order
                self._reports[pid] = descriptors[_STATUS]
                for descriptor in descriptors[:STREAMS]:
                    os.close(descriptor)
                self._orders.send(str(pid).encode())

    def _report_the_dead(self) -> None:
        """Write the exit codes of forks that have ended to who waits for them."""
        for pid in tuple(self._reports):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                report = self._reports.pop(pid)
                os.write(report, str(os.waitstatus_to_exitcode(status)).encode())
                os.close(report)

    def _become(self, order: Order, descriptors: list[int]) -> None:
        """Make this fork what a process of its own would be."""
        self._orders.close()
        for report in self._reports.values():
            os.close(report)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored where the tests run under nohup
        ctypes.CDLL(None).prctl(
            _PR_SET_PDEATHSIG, order["dies_by"]
        )  # it must not outlive the tests
        os.close(descriptors[_STATUS])
        for target, source in enumerate(descriptors[:STREAMS]):
            os.dup2(source, target)
            os.close(source)
        os.chdir(order["folder"])
        os.environ.clear()
        os.environ.update(order["environment"])
        sys.argv = ["csi-exoblock", *order["arguments"]]
        self._prepare(order)


def main(orders: str, module: str = "") -> None:
    """Fork at every order, until the client is gone."""
    prepare: Prepare = importlib.import_module(module).prepare if module else lambda _: None
    gc.freeze()  # what every fork shares
    zygote = Zygote(socket.socket(fileno=int(orders)), prepare)
    if zygote.run() is not None:
        command_line.main()


if __name__ == "__main__":
    main(*sys.argv[1:])
