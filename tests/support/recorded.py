"""The requests that real sidecars and a real kubelet sent: tests/data/requests.json."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

REQUESTS_FILE: Final = Path(__file__).parents[1] / "data" / "requests.json"
"""Written by `python -m tests.kubernetes record`."""

Request = TypeVar("Request", bound=Message)


def recorded(kind: type[Request], about: str = "data") -> Request:
    """Return a request as it was sent.

    Args:
        about: The claim that it was sent for: `data` is the usual one, tests/kubernetes/
            test_requests.py says what the others are.
    """
    method = kind.DESCRIPTOR.name.removesuffix("Request")
    return ParseDict(_requests()[method][about], kind())


@functools.cache
def _requests() -> Mapping[str, Mapping[str, Any]]:
    content: Mapping[str, Mapping[str, Any]] = json.loads(REQUESTS_FILE.read_text())["requests"]
    return content
