"""Ports of this machine."""

from __future__ import annotations

import itertools
import os
import socket
from typing import Final

_FIRST: Final = 20_000
_STEP: Final = 37  # prime to the next, so that each port comes once
_EACH: Final = 500  # for each of pytest's workers, and in all below those that the kernel picks
_WORKER: Final = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))

# Two sessions without workers at the same time begin at different ones.
_candidates = itertools.cycle(
    _FIRST + _EACH * _WORKER + (os.getpid() + each) * _STEP % _EACH for each in range(_EACH)
)


def free_port() -> int:
    """Return a port that nobody listens on now, and that nobody else is given meanwhile."""
    return next(port for port in _candidates if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as probing:
        try:
            probing.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
