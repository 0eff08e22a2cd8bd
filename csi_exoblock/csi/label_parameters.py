"""Label parameters of classes: `labels`, `labelSpecification_N`, `labelDeletion_N` (N10)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from csi_exoblock.csi.templates import Templates
from csi_exoblock.errors import InvalidRequest

SETTING_KEYS = ("labels", "labelSpecification_N")
DELETION_KEYS = ("labelDeletion_N",)

_NUMBERED = re.compile(r"(labelspecification|labeldeletion)_[1-9][0-9]{0,3}", re.ASCII)
_LABEL_KEY = re.compile(r"[A-Za-z0-9./-]{1,255}", re.ASCII)


def pattern_of(key: str) -> str:
    """Return a key in lower case with its number replaced by `n`, as the lists of keys have it."""
    numbered = _NUMBERED.fullmatch(key)
    return f"{numbered[1]}_n" if numbered else key


def labels_in(
    given: Mapping[str, str], templates: Templates, *, reserved_prefix: str
) -> dict[str, str]:
    """Return the labels that a class sets.

    Args:
        given: Parameters, keys in lower case.
        reserved_prefix: The prefix of labels that only the driver may set.

    Raises:
        InvalidRequest: One of them is malformed, reserved or given twice.
    """
    entries = [entry for entry in given.get("labels", "").split(",") if entry.strip()]
    entries += _numbered(given, "labelspecification_n")
    labels: dict[str, str] = {}
    for entry in entries:
        key, value = _label(entry.strip(), reserved_prefix)
        if key in labels:
            raise InvalidRequest(f"parameters: label {key} is given twice")
        labels[key] = templates.fill(value, field=f"label {key}")
    return labels


def deletions_in(given: Mapping[str, str], *, reserved_prefix: str) -> frozenset[str]:
    """Return the keys of the labels that a class removes.

    Raises:
        InvalidRequest: One of them is malformed or reserved.
    """
    keys = [key.strip() for key in _numbered(given, "labeldeletion_n")]
    for key in keys:
        _check_key(key, key, reserved_prefix)
    return frozenset(keys)


def _numbered(given: Mapping[str, str], pattern: str) -> list[str]:
    return [value for key, value in sorted(given.items()) if pattern_of(key) == pattern]


def _label(entry: str, reserved_prefix: str) -> tuple[str, str]:
    key, equals, value = entry.partition("=")
    if not (equals and value):
        raise InvalidRequest(f"parameters: label {entry[:100]!r} must be key=value")
    _check_key(key, entry, reserved_prefix)
    return key, value


def _check_key(key: str, entry: str, reserved_prefix: str) -> None:
    if not _LABEL_KEY.fullmatch(key):
        raise InvalidRequest(
            f"parameters: the key of label {entry[:100]!r} must be of letters, digits, dash, dot "
            "and slash"
        )
    if key.lower().startswith(reserved_prefix.lower()):
        raise InvalidRequest(f"parameters: labels {reserved_prefix}... are the driver's own")
