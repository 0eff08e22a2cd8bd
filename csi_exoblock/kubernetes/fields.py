"""Fields of Kubernetes' JSON.

An object can lack any field and can have unknown ones. A field with another type than Kubernetes'
own reads as if it were absent.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

Json = Mapping[str, object]
"""An object of JSON."""

# Source: Kubernetes API, Quantity.
_POWERS_OF_TEN = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_SCALES = {
    "": Decimal(1),
    **{unit: Decimal(10) ** power for unit, power in _POWERS_OF_TEN.items()},
    **{f"{unit}i": Decimal(1024**step) for step, unit in enumerate("KMGTPE", 1)},
}
_QUANTITY = re.compile(
    r"\+?([0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE]([+-]?[0-9]{1,2})|([numkMGTPE]|[KMGTPE]i)?)", re.ASCII
)


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
    """Return a quantity such as `10Gi` or `1e9` in bytes, rounded up; 0 if it is absent."""
    quantity = _QUANTITY.fullmatch(text(found, *path))
    if quantity is None:
        return 0
    exponent = int(quantity[2] or 0)
    return math.ceil(Decimal(quantity[1]).scaleb(exponent) * _SCALES[quantity[3] or ""])


def is_being_deleted(found: Json) -> bool:
    """Return whether somebody has asked for an object's deletion."""
    return bool(text(found, "metadata", "deletionTimestamp"))


def _list(found: Json, *path: str) -> list[object]:
    value = at(found, *path)
    return value if isinstance(value, list) else []
