"""Fields of Kubernetes' JSON.

An object can lack any field and can have unknown ones. A field with another type than Kubernetes'
own reads as if it were absent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime

Json = Mapping[str, object]
"""An object of JSON."""

_SCALES = {
    "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50,
}  # fmt: skip
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(|[kMGTP]|[KMGTP]i)", re.ASCII)


def parse_object(body: bytes) -> Json | None:
    """Return the JSON object that a body contains, `None` if it contains none."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def at(found: object, *path: str) -> object:
    """Return the value at a path of keys, `None` if it is absent."""
    for key in path:
        if not isinstance(found, dict):
            return None
        found = found.get(key)
    return found


def text(found: Json, *path: str) -> str:
    """Return a text, empty if it is absent."""
    value = at(found, *path)
    return value if isinstance(value, str) else ""


def texts(found: Json, *path: str) -> tuple[str, ...]:
    """Return the texts of a list."""
    return tuple(each for each in _list(found, *path) if isinstance(each, str))


def text_map(found: Json, *path: str) -> Mapping[str, str]:
    """Return a map of texts, such as labels."""
    value = at(found, *path)
    if not isinstance(value, dict):
        return {}
    return {key: each for key, each in value.items() if isinstance(each, str)}


def objects(found: Json, *path: str) -> tuple[Json, ...]:
    """Return the objects of a list."""
    return tuple(each for each in _list(found, *path) if isinstance(each, dict))


def count(found: Json, *path: str) -> int | None:
    """Return a whole number, `None` if it is absent."""
    value = at(found, *path)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def moment(found: Json, *path: str) -> datetime | None:
    """Return a point in time, `None` if it is absent."""
    try:
        return datetime.fromisoformat(text(found, *path))
    except ValueError:
        return None


def size_bytes(found: Json, *path: str) -> int:
    """Return a quantity such as `10Gi` in bytes, 0 if it is absent."""
    quantity = _QUANTITY.fullmatch(text(found, *path))
    return int(float(quantity[1]) * _SCALES[quantity[2]]) if quantity else 0


def is_being_deleted(found: Json) -> bool:
    """Return whether somebody has asked for an object's deletion."""
    return bool(text(found, "metadata", "deletionTimestamp"))


def _list(found: Json, *path: str) -> list[object]:
    value = at(found, *path)
    return value if isinstance(value, list) else []
