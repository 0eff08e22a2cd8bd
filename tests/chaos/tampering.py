"""What a test does to a controller from outside: kill it, break it, listen in on it."""

from __future__ import annotations

import os
import signal
import threading
from collections import defaultdict
from typing import Any

import requests

from csi_exoblock import calls, logs
from csi_exoblock.concurrency import Deadline, SharedCall
from tests.chaos.mutants import MUTANTS

_AT_STEP = {"step": signal.SIGKILL, "pause": signal.SIGSTOP}
_SENDING_SECONDS = 0.002  # by then a request is on its way, and its answer is not back


def prepare(order: dict[str, Any]) -> None:
    """Change this process, which is about to become a driver, as the order says.

    It has one of the mutants, dies or stops at the n-th of its steps or requests, and names the
    call behind each API request.
    """
    if order["mutant"]:
        MUTANTS[order["mutant"]]()
    _name_the_call_behind_each_request()
    kill = order["kill"]
    if kill["at"] in _AT_STEP:
        _end_at_step(kill["name"], kill["ordinal"], _AT_STEP[kill["at"]])
    elif kill["at"]:
        _die_at_request(kill["ordinal"], after=kill["at"] == "answer")
    _record_steps(order["steps"])


def _record_steps(path: str) -> None:
    """Write down the names of the steps that calls take, and of the requests that they send."""
    if not path:
        return
    original = logs.step

    def recorded(name: str) -> None:
        original(name)
        if calls.current() is not None:
            with open(path, "a") as file:
                file.write(f"{name}\n")

    logs.step = recorded


def _die_at_request(ordinal: int, *, after: bool) -> None:
    """Kill the process when it has sent its n-th request, or has the answer to it."""
    original = requests.Session.request
    lock = threading.Lock()
    seen = 0

    def request(self: requests.Session, method: str, url: str, **options: Any) -> requests.Response:
        nonlocal seen
        with lock:
            seen += 1
            mine = seen == ordinal
        if mine and not after:
            threading.Timer(_SENDING_SECONDS, os.kill, (os.getpid(), signal.SIGKILL)).start()
        response = original(self, method, url, **options)
        if mine:
            os.kill(os.getpid(), signal.SIGKILL)
        return response

    requests.Session.request = request  # type: ignore[method-assign, assignment] # from outside


def _end_at_step(step: str, ordinal: int, number: signal.Signals) -> None:
    """Send a signal to the process when the step (any, if empty) comes for the n-th time."""
    original = logs.step
    lock = threading.Lock()
    seen = 0

    def counted(name: str) -> None:
        nonlocal seen
        original(name)
        if calls.current() is not None and step in ("", name):
            with lock:
                seen += 1
                if seen == ordinal:
                    os.kill(os.getpid(), number)

    logs.step = counted


def _name_the_call_behind_each_request() -> None:
    """Tell the simulator which RPC sends a request, in the User-Agent that it records."""
    original = requests.Session.request
    asked_by = _who_shares_a_call()

    def request(self: requests.Session, method: str, url: str, **options: Any) -> requests.Response:
        call = calls.current()
        names = call.name if call else "+".join(getattr(asked_by, "names", ())) or "-"
        agent = f"csi-exoblock rpc/{names}"
        return original(self, method, url, **options, headers={"User-Agent": agent})

    requests.Session.request = request  # type: ignore[method-assign, assignment] # what is measured from outside


def _who_shares_a_call() -> threading.local:
    """Note for the thread of a shared call which RPCs wait for its answer."""
    waiting: defaultdict[int, set[str]] = defaultdict(set)
    asked_by = threading.local()
    get, take = SharedCall.get, SharedCall._take

    def noted_get(self: SharedCall[Any], deadline: Deadline) -> Any:
        if call := calls.current():
            waiting[id(self)].add(call.name)
        return get(self, deadline)

    def noted_take(self: SharedCall[Any]) -> Any:
        asked_by.names = sorted(waiting.pop(id(self), ()))
        return take(self)

    SharedCall.get = noted_get  # type: ignore[method-assign]
    SharedCall._take = noted_take  # type: ignore[method-assign]
    return asked_by
