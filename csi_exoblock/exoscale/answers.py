"""Answers of the API: read within a limit, and what they say of time (F18, S20)."""

from __future__ import annotations

import json
import math
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import requests

_CHUNK_BYTES = 65536
_GZIP = 16 + zlib.MAX_WBITS

Decode = Callable[[bytes, int], bytes]
"""Returns more of the content for more of a body, at most so many bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer, whole.

    Attributes:
        headers: Their names in any case.
        came_at: What the host's clock said, in seconds since the epoch.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    came_at: float

    def seconds_to_wait(self) -> float:
        """Return how long the API asks to be left alone, 0.0 if it does not.

        It can only where it refuses a request because there are too many, or is out of order: what
        is said of one volume, such as that it is busy, does not concern the others (S20).
        """
        if self.status not in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            return 0.0
        header = self.headers.get("Retry-After", "")
        return _number(header) or self._seconds_until(header) or self._seconds_in_body()

    def clock_error_seconds(self) -> float:
        """Return how far the host's clock is ahead of the API's, 0.0 if that can't be told."""
        date = _moment(self.headers.get("Date", ""))
        return self.came_at - date.timestamp() if date else 0.0

    def is_json_object(self) -> bool:
        """Tell whether the body has the form of all that the API itself says."""
        try:
            return isinstance(json.loads(self.body), dict)
        except (ValueError, RecursionError):
            return False

    def _seconds_until(self, text: str) -> float:
        """Return the time until a date by the API's own clock, where it shows that."""
        date = _moment(text)
        now = self.came_at - self.clock_error_seconds()
        return max(0.0, date.timestamp() - now) if date else 0.0

    def _seconds_in_body(self) -> float:
        try:
            body = json.loads(self.body)
        except (ValueError, RecursionError):
            return 0.0
        return _number(body.get("retry_after")) if isinstance(body, dict) else 0.0


def read_answer(response: requests.Response, *, most_bytes: int) -> Answer:
    """Read an answer to its end.

    Raises:
        OSError: It has more bytes than it may have, or they can't be read.
    """
    came_at, body = time.time(), bytearray()
    decode = _decoder(response.headers.get("Content-Encoding", ""))
    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False):
        try:
            body += decode(chunk, most_bytes + 1 - len(body))
        except zlib.error as error:
            raise OSError(f"it can't be unpacked: {error}") from error
        if len(body) > most_bytes:
            raise OSError(f"it is larger than {most_bytes // 1024**2} MiB")
    return Answer(
        status=response.status_code,
        headers=response.headers,
        body=bytes(body),
        came_at=came_at,
    )


def _decoder(encoding: str) -> Decode:
    match encoding.strip().lower():
        case "" | "identity":
            return lambda packed, _: packed
        case "gzip" | "x-gzip":
            return zlib.decompressobj(_GZIP).decompress
    raise OSError(f"it is packed by {encoding[:40]!r}, which nobody asked for")


def _number(value: object) -> float:
    """Read seconds, 0.0 where there are none to wait."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return 0.0
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0


def _moment(text: str) -> datetime | None:
    """Read a date. Source: RFC 9110, sections 5.6.7 and 10.2.3."""
    try:
        date = parsedate_to_datetime(text)
        date.timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return date
