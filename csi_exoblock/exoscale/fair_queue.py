"""A queue that serves the kinds of work in rotation, first come first served within a kind."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """A round-robin queue: one waiter per kind of work per round.

    Within a kind the first to come is the first served. So a storm of one kind delays a request of
    another kind by one place only.

    A waiter that joins ahead goes before all kinds. It must be the second step of work whose first
    step was served in rotation: so it is no more often ahead than its kind was served.

        queue.join("create", a)
        queue.join("create", b)
        queue.join("create", c)
        queue.join("detach", d)
        queue.first()               # a
        queue.go()                  # a leaves; "create" goes behind "detach"
        queue.first()               # d, although b and c came earlier
        queue.give_up("create", b)  # b's deadline has come: after d it is c's turn
        queue.join_ahead(e)         # e is served before d

    It has no lock; its owner does.
    """

    def __init__(self) -> None:
        self._kinds: OrderedDict[str, deque[T]] = OrderedDict()
        self._ahead = deque[T]()

    def join(self, kind: str, who: T) -> None:
        """Add a waiter at the end of its kind; a kind that had none goes behind all others."""
        self._kinds.setdefault(kind, deque()).append(who)

    def join_ahead(self, who: T) -> None:
        """Add a waiter that goes before every kind, behind those that joined ahead earlier."""
        self._ahead.append(who)

    def first(self) -> T | None:
        """Return the waiter that is served next, `None` if there is none."""
        if self._ahead:
            return self._ahead[0]
        return next((waiting[0] for waiting in self._kinds.values()), None)

    def go(self) -> None:
        """Remove the first waiter; unless it was ahead, its kind goes behind all others."""
        if self._ahead:
            self._ahead.popleft()
            return
        kind, waiting = next(iter(self._kinds.items()))
        waiting.popleft()
        self._kinds.move_to_end(kind)
        self._drop_if_empty(kind)

    def give_up(self, kind: str, who: T) -> None:
        """Remove a waiter that gave up."""
        if who in self._ahead:
            self._ahead.remove(who)
            return
        self._kinds[kind].remove(who)
        self._drop_if_empty(kind)

    def _drop_if_empty(self, kind: str) -> None:
        if not self._kinds[kind]:
            del self._kinds[kind]
