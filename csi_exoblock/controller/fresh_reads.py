"""Writes that are sent only on a fresh read, as the cloud has no conditional writes (D3, N10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from csi_exoblock import logs
from csi_exoblock.errors import ReadAgain

Seen = TypeVar("Seen")
Sent = TypeVar("Sent")


def send_on_fresh_read(
    send: Callable[[Seen], Sent], seen: Seen, read_again: Callable[[], Seen]
) -> Sent:
    """Check what was read and send a write; read again each time that the write came too late.

    It ends, because reads and writes end at the call's deadline.

    Args:
        send: Checks what was read, sends the write, and returns its result.
        seen: What was read just now.
        read_again: Reads it again.
    """
    while True:
        try:
            return send(seen)
        except ReadAgain:
            logs.step("reading again, because the write waited too long for its turn")
        seen = read_again()
