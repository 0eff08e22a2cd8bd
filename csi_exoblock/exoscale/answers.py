"""Answers of the API: read them within a size limit, and find the times in them (F18, S20)."""

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
"""Takes the next part of a body and a limit in bytes; returns the unpacked content up to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A complete answer of the API.

    Attributes:
        headers: The headers; their names match in any case.
        came_at: When the answer came by the host's clock, in seconds since the epoch.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    came_at: float

    def seconds_to_wait(self) -> float:
        """Return for how many seconds the API asks for no requests, 0.0 if it does not ask.

        Only a 429 and a 503 count, because they concern the whole zone. An answer about one volume,
        such as that it is busy, must not hold up requests about the others (S20).
        """
        if self.status not in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            return 0.0
        header = self.headers.get("Retry-After", "")
        return _number(header) or self._seconds_until(header) or self._seconds_in_body()

    def clock_error_seconds(self) -> float:
        """Return by how many seconds the host's clock is ahead of the API's, 0.0 if unknown."""
        date = _moment(self.headers.get("Date", ""))
        return self.came_at - date.timestamp() if date else 0.0

    def _seconds_until(self, text: str) -> float:
        """Return the seconds until a date by the API's clock if the answer shows that clock."""
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

    Args:
        most_bytes: The largest body that is accepted, in bytes after unpacking.

    Raises:
        OSError: The body is larger than that, or can't be read.
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
    """Read a number of seconds, 0.0 if the value is no positive number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return 0.0
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0


def _moment(text: str) -> datetime | None:
    """Read an HTTP date, `None` if the text is none.

    Source: RFC 9110, sections 5.6.7 and 10.2.3.
    """
    try:
        date = parsedate_to_datetime(text)
        date.timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return date
