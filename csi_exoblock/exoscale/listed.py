"""What a list of the API holds, each entry read only when somebody looks at it (S20).

A zone may hold ten thousand volumes, and whoever lists them mostly looks for one: to make values of
all would take longer than to fetch them.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Generic, TypeVar
from uuid import UUID

T = TypeVar("T")


class Listed(Collection[T], Generic[T]):
    """A list of volumes or snapshots.

    Args:
        entries: Each as the API describes it, by its id.
        read: Makes a value of an entry.
        names_of: Tells the name of each: the value of a label, or what it is called without it.
        state_of: Tells the state of one.
    """

    def __init__(
        self,
        entries: Mapping[str, object],
        *,
        read: Callable[[object], T],
        names_of: Callable[[Iterable[object], str], Iterable[str]],
        state_of: Callable[[object], str],
    ) -> None:
        self._entries = entries
        self._read = read
        self._names_of = names_of
        self._state_of = state_of
        self._lock = threading.Lock()
        self._ids_by_name: dict[str, Mapping[str, Collection[str]]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[T]:
        return map(self._read, self._entries.values())

    def __contains__(self, value: object) -> bool:
        return any(each == value for each in self)

    def get(self, id: UUID | None) -> T | None:
        """Return what has the id, `None` if nothing has."""
        entry = self._entries.get(str(id))
        return None if entry is None else self._read(entry)

    def ids(self) -> frozenset[str]:
        """Return the ids of all."""
        return frozenset(self._entries)

    def has_any_in(self, states: Collection[str]) -> bool:
        """Tell whether anything is in one of the states."""
        return any(self._state_of(entry) in states for entry in self._entries.values())

    def named(self, names: Collection[str], label: str) -> list[T]:
        """Return what has one of the names."""
        ids_by_name = self.ids_by_name(label)
        return [self._read(self._entries[id]) for name in names for id in ids_by_name.get(name, ())]

    def ids_by_name(self, label: str) -> Mapping[str, Collection[str]]:
        """Return the ids of what has each name; found out once for all who ask.

        Args:
            label: Whose value is the name, where it has one.
        """
        with self._lock:
            if label not in self._ids_by_name:
                self._ids_by_name[label] = self._index(label)
            return self._ids_by_name[label]

    def _index(self, label: str) -> Mapping[str, Collection[str]]:
        index = defaultdict[str, list[str]](list)
        names = self._names_of(self._entries.values(), label)
        for id, name in zip(self._entries, names, strict=True):
            index[name].append(id)
        return index
