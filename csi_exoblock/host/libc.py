"""Calls of the C library whose errors are told by errno."""

from __future__ import annotations

import ctypes
import os

LIBC = ctypes.CDLL(None, use_errno=True)


def checked(result: int) -> int:
    """Return the result of a call, or raise its error.

    Raises:
        OSError: The call has failed: its result is negative.
    """
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
