"""The call that a thread works on: log lines, messages to other calls and the pace name it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar


class Call:
    """One call under way.

    Attributes:
        name: The RPC, such as `CreateVolume`. Requests to the API are sent in turn by it, so that a
            hundred calls of one RPC don't hold up one of another (S20).
        fields: What every log line of the call says about it.
        step: What it does just now, for messages to other calls.
    """

    def __init__(self, name: str, fields: Mapping[str, object]) -> None:
        self.name = name
        self.fields = dict(fields)
        self.step = "starting"
        self._began = time.monotonic()

    def seconds(self) -> float:
        """Return for how many seconds the call has been running."""
        return time.monotonic() - self._began


_current: ContextVar[Call | None] = ContextVar("call", default=None)


@contextmanager
def enter(name: str, **fields: object) -> Iterator[Call]:
    """Let this thread work on a call inside the block.

    Args:
        fields: What is known of it from the start.
    """
    entered = Call(name, fields)
    token = _current.set(entered)
    try:
        yield entered
    finally:
        _current.reset(token)


def current() -> Call | None:
    """Return the call that this thread is working on, `None` if there is none."""
    return _current.get()
