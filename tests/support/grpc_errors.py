"""How gRPC calls end: expecting an error, or finding out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import grpc
import pytest


@contextmanager
def refused(code: grpc.StatusCode, *says: str) -> Iterator[None]:
    """Expect the block's call to end with the code and a message that says each of the texts."""
    with pytest.raises(grpc.RpcError) as caught:
        yield
    call = cast(grpc.Call, caught.value)  # every error of a channel is one; the stubs can't say so
    seen, message = call.code(), call.details() or ""
    assert seen is code, f"{seen}: {message}"
    for text in says:
        assert text in message


def outcome(call: Callable[[], object]) -> tuple[str, str]:
    """Return the code that a call ends with, and its message."""
    try:
        call()
    except grpc.RpcError as error:
        ended = cast(grpc.Call, error)
        return ended.code().name, ended.details() or ""
    return "OK", ""
