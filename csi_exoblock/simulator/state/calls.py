"""Remember every call of the API, so that tests can count them."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any, Final

_CALLS_KEPT: Final = 200_000


@dataclass(slots=True, kw_only=True)
class Call:
    """One call of the API.

    Attributes:
        number: Counts the calls from 1.
        operation: The API's operation id, such as `list-zones`.
        at: When it came, in seconds since the epoch.
        seconds: How long it took to be answered; None while it is not.
        status: The HTTP status; None while there is none, and when the connection was dropped.
        fault: The kind of the fault that was injected into it.
        resource: The id in its path.
        instance: The id of the instance that had the volume of its path when it came.
    """

    number: int
    zone: str
    operation: str
    at: float
    user_agent: str
    resource: str | None = None
    instance: str | None = None
    status: int | None = None
    seconds: float | None = None
    fault: str | None = None


class CallLog:
    """The calls of the API, oldest first; very old ones are forgotten."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=_CALLS_KEPT)
        self._count = 0
        self._awaited: dict[int, asyncio.Event] = {}

    def open(
        self,
        *,
        zone: str,
        operation: str,
        at: float,
        user_agent: str,
        resource: str | None,
        instance: str | None,
    ) -> Call:
        """Remember a call that has just come, and return its entry to be completed."""
        self._count += 1
        call = Call(
            number=self._count,
            zone=zone,
            operation=operation,
            at=at,
            user_agent=user_agent,
            resource=resource,
            instance=instance,
        )
        self._calls.append(call)
        if event := self._awaited.pop(self._count, None):
            event.set()
        return call

    async def further(self, count: int) -> None:
        """Wait until `count` more calls have come."""
        await self._awaited.setdefault(self._count + count, asyncio.Event()).wait()

    def clear(self) -> None:
        """Forget all calls; their numbering goes on."""
        self._calls.clear()

    def as_json(self, after: int = 0) -> list[dict[str, Any]]:
        """Return the calls with a number above `after`."""
        return [asdict(call) for call in self._calls if call.number > after]
