"""Expecting a gRPC error: its code, and what its message must say."""

from __future__ import annotations

from collections.abc import Iterator
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
