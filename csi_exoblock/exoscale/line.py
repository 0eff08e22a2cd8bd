"""Who of those that wait may go next: each kind of work in turn, of a kind whoever came first."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Line(Generic[T]):
    """Those who wait, by kind of work: a hundred of one kind hold one of another up only once."""

    def __init__(self) -> None:
        self._kinds: OrderedDict[str, deque[T]] = OrderedDict()

    def join(self, kind: str, who: T) -> None:
        """Wait behind those of the kind; a kind of which nobody waits comes after all others."""
        self._kinds.setdefault(kind, deque()).append(who)

    def first(self) -> T | None:
        """Return who may go next, `None` if nobody waits."""
        return next((waiting[0] for waiting in self._kinds.values()), None)

    def go(self) -> None:
        """Let the first one go; its kind comes after all others then."""
        kind, waiting = next(iter(self._kinds.items()))
        waiting.popleft()
        self._kinds.move_to_end(kind)
        self._drop_if_empty(kind)

    def give_up(self, kind: str, who: T) -> None:
        """Let one go who no longer wants to."""
        self._kinds[kind].remove(who)
        self._drop_if_empty(kind)

    def _drop_if_empty(self, kind: str) -> None:
        if not self._kinds[kind]:
            del self._kinds[kind]
