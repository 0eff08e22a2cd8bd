"""Turn values into JSON and back by their types; raise ValueError for JSON that does not fit."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from typing import Any, TypeVar, get_args, get_origin, get_type_hints
from uuid import UUID

_Value = TypeVar("_Value")


def encode(value: object) -> str:
    """Return a value as JSON; it can nest dataclasses, ids and JSON's own types."""
    return json.dumps(value, default=_plain, separators=(",", ":"))


def decode(kind: type[_Value], value: object) -> _Value:
    """Make a dataclass of a JSON object.

    Raises:
        ValueError: A field is unknown, missing, or has a value that its type does not allow.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is no object")
    hints = get_type_hints(kind)
    if unknown := value.keys() - hints.keys():
        raise ValueError(f"unknown {', '.join(sorted(unknown))}; known are {', '.join(hints)}")
    values = {name: _field(hints[name], name, each) for name, each in value.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(str(error)) from error


def _plain(value: object) -> object:
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


def _field(hint: Any, name: str, value: Any) -> Any:
    """Read a field's value by the field's type."""
    if isinstance(hint, types.UnionType):
        hint = get_args(hint)[0]  # the other is None
        return None if value is None else _field(hint, name, value)
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{name} must be a list, not {value!r}")
        return tuple(_field(get_args(hint)[0], name, each) for each in value)
    if get_origin(hint) is Mapping:
        return _field(dict, name, value)
    if isinstance(hint, type) and is_dataclass(hint):
        return decode(hint, value)
    if issubclass(hint, (StrEnum, UUID)):
        return hint(value)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise ValueError(f"{name} must be {hint.__name__}, not {value!r}")
    return value
