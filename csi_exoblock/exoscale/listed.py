"""Lists of the API whose entries are parsed only when they are used (S20).

A zone can hold ten thousand volumes, and most callers of a list look for one. Parsing all of them
would take longer than fetching them.
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
        entries: The API's JSON of each resource, by id.
        read: Parses an entry.
        names_of: Returns the name of each entry: the value of a label if it has that label, else
            the name of the resource.
        state_of: Returns the state of an entry.
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
        """Return the resource with this id, `None` if there is none."""
        entry = self._entries.get(str(id))
        return None if entry is None else self._read(entry)

    def ids(self) -> frozenset[str]:
        """Return the ids of all."""
        return frozenset(self._entries)

    def has_any_in(self, states: Collection[str]) -> bool:
        """Return whether any resource is in one of the states."""
        return any(self._state_of(entry) in states for entry in self._entries.values())

    def named(self, names: Collection[str], label: str) -> list[T]:
        """Return the resources that have one of the names."""
        ids_by_name = self.ids_by_name(label)
        return [self._read(self._entries[id]) for name in names for id in ids_by_name.get(name, ())]

    def ids_by_name(self, label: str) -> Mapping[str, Collection[str]]:
        """Return the ids of the resources by name; the index is built once per label.

        Args:
            label: The label whose value is the name of a resource that has it.
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
