"""Read the bodies of requests, and refuse what the API's schemas do not allow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from csi_exoblock.simulator.state import refusals
from csi_exoblock.simulator.state.resources import Change

_NAME_LENGTH: Final = 255


class Body:
    """The JSON object of a request; an empty body is an empty object.

    Raises:
        Refusal: The body is no JSON object; the methods raise it for a field with a bad value.
    """

    def __init__(self, raw: bytes) -> None:
        try:
            fields = json.loads(raw or b"{}")
        except (ValueError, RecursionError) as error:
            raise refusals.invalid(f"the body is no JSON: {error}") from error
        if not isinstance(fields, dict):
            raise refusals.invalid("the body is no JSON object")
        self._fields: Mapping[str, Any] = fields

    def name(self) -> str | None:
        """Return `name`: 1 to 255 characters, or None when absent or null."""
        name = self._fields.get("name")
        if name is not None and (not isinstance(name, str) or not 1 <= len(name) <= _NAME_LENGTH):
            raise refusals.invalid(f"name must be a string of 1 to {_NAME_LENGTH} characters")
        return name

    def size_gib(self) -> int | None:
        """Return `size`, or None when absent."""
        size_gib = self._fields.get("size")
        if size_gib is not None and (isinstance(size_gib, bool) or not isinstance(size_gib, int)):
            raise refusals.invalid("size must be an integer")
        return size_gib

    def require_size_gib(self) -> int:
        """Return `size`, which is required."""
        size_gib = self.size_gib()
        if size_gib is None:
            raise refusals.invalid("size is required")
        return size_gib

    def labels(self) -> Mapping[str, str]:
        """Return `labels`, empty when absent or null."""
        labels = self._fields.get("labels") or {}
        if not isinstance(labels, dict) or not all(isinstance(v, str) for v in labels.values()):
            raise refusals.invalid("labels must be an object of strings")
        return labels

    def change(self) -> Change:
        """Return the changes of an update; a field that is absent or null stays as it is."""
        is_given = self._fields.get("labels") is not None
        return Change(name=self.name(), labels=self.labels() if is_given else None)

    def reference(self, field: str) -> UUID | None:
        """Return the id of an object that the body refers to, or None when absent."""
        reference = self._fields.get(field)
        if reference is None:
            return None
        if not isinstance(reference, dict) or "id" not in reference:
            raise refusals.invalid(f"{field} must be an object with an id")
        return parse_id(reference["id"])

    def require_reference(self, field: str) -> UUID:
        """Return the id of an object that the body must refer to."""
        id = self.reference(field)
        if id is None:
            raise refusals.invalid(f"{field} is required")
        return id


def parse_id(text: object) -> UUID:
    """Read an id.

    Raises:
        Refusal: It is no UUID.
    """
    try:
        return UUID(str(text))
    except ValueError as error:
        raise refusals.invalid(f"{text!r} is no UUID") from error
