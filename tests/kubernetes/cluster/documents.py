"""Read JSON of unknown shape without casts: a path of keys and the type that must be there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON object, such as a Kubernetes object or a list of them."""

    content: Json

    def text(self, *path: str) -> str:
        """Return the string at a path, empty when there is none."""
        value = self._at(path)
        return value if isinstance(value, str) else ""

    def number(self, *path: str) -> int:
        """Return the whole number at a path, 0 when there is none."""
        value = self._at(path)
        return value if isinstance(value, int) else 0

    def flag(self, *path: str) -> bool:
        """Return whether `true` is at a path."""
        return self._at(path) is True

    def texts(self, *path: str) -> dict[str, str]:
        """Return the object at a path as names and strings, such as labels."""
        value = self._at(path)
        if not isinstance(value, Mapping):
            return {}
        return {str(key): item for key, item in value.items() if isinstance(item, str)}

    def documents(self, *path: str) -> Iterator[Document]:
        """Yield the objects of the list at a path, none when there is no list."""
        value = self._at(path)
        for item in value if isinstance(value, list) else ():
            if isinstance(item, Mapping):
                yield Document(item)

    def document(self, *path: str) -> Document:
        """Return the object at a path, an empty one when there is none."""
        value = self._at(path)
        return Document(value if isinstance(value, Mapping) else {})

    def _at(self, path: tuple[str, ...]) -> object:
        value: object = self.content
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value
