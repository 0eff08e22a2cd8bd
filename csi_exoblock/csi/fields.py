"""What holds for the fields of every request: presence, size, paths, ids that mean nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import Message

from csi_exoblock.capacity import CapacityRange
from csi_exoblock.errors import InvalidRequest, NotFound
from csi_exoblock.model import ResourceId
from csi_exoblock.pb import csi_pb2

# CSI 1.13, Size Limits: what a field may hold unless its own description says otherwise.
STRING_BYTES = 128
MAP_BYTES = 4096
# Linux, PATH_MAX: with the zero at its end.
_PATH_BYTES = 4095

# An id that is too long does not parse, so nothing exists under it; a token that is too long is
# unknown. Neither is malformed.
_OWN_RULE = frozenset({"volume_id", "source_volume_id", "snapshot_id", "node_id", "starting_token"})
_PATHS = frozenset({"staging_target_path", "target_path", "volume_path", "volume_publish_path"})

# In the publish context: when the cloud made a volume that was made blank (N19).
CREATED_AT = "created-at"

# CSI 1.13, CreateVolumeRequest.name.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

Id = TypeVar("Id", bound=ResourceId)


def check(request: Message, *required: str) -> None:
    """Return if the required fields are there and none is too large or holds control characters.

    Raises:
        InvalidRequest: A field isn't as it must be; the message names it.
    """
    for name in required:
        if not _is_present(request, name):
            raise InvalidRequest(f"{name} is required")
    for field, value in request.ListFields():
        if isinstance(value, str):
            _check_text(field.name, value)
        elif isinstance(value, Mapping) and not field.name.endswith("secrets"):
            check_map(field.name, value)


def check_map(name: str, entries: Mapping[str, str]) -> None:
    """Return if a map is no larger than CSI allows.

    Raises:
        InvalidRequest: It is larger.
    """
    size_bytes = sum(len(key.encode()) + len(value.encode()) for key, value in entries.items())
    if size_bytes > MAP_BYTES:
        raise InvalidRequest(f"{name} has {size_bytes} bytes; at most {MAP_BYTES} are allowed")


def absolute_path(name: str, text: str) -> Path:
    """Return a path of the host.

    Raises:
        InvalidRequest: It is relative, or climbs.
    """
    path = Path(text)
    if not path.is_absolute() or ".." in path.parts:
        raise InvalidRequest(f"{name} must be an absolute path without '..', not {text[:200]!r}")
    return path


def volume_path(text: str) -> Path:
    """Return the path under which a volume is to be found.

    Raises:
        NotFound: It is relative, so no volume is there: both are one to the caller (S16).
    """
    path = Path(text)
    if not path.is_absolute():
        raise NotFound(f"volume_path {text[:200]!r} is not absolute, so no volume is there")
    return path


def capacity_range(size: csi_pb2.CapacityRange) -> CapacityRange:
    """Return how large a volume must and may be.

    Raises:
        InvalidRequest: The numbers are negative or contradict each other.
    """
    if size.required_bytes < 0 or size.limit_bytes < 0:
        raise InvalidRequest("capacity_range: required_bytes and limit_bytes can't be negative")
    if size.limit_bytes and size.limit_bytes < size.required_bytes:
        raise InvalidRequest(
            f"capacity_range: limit_bytes {size.limit_bytes} is below required_bytes "
            f"{size.required_bytes}"
        )
    return CapacityRange(required_bytes=size.required_bytes, limit_bytes=size.limit_bytes)


def id_or_none(kind: type[Id], text: str) -> Id | None:
    """Return the id, or `None` if nothing can exist under that text."""
    try:
        return kind.parse(text)
    except NotFound:
        return None


def _is_present(request: Message, name: str) -> bool:
    has_presence = request.DESCRIPTOR.fields_by_name[name].has_presence
    return request.HasField(name) if has_presence else bool(getattr(request, name))


def _check_text(name: str, text: str) -> None:
    if name in _OWN_RULE:
        return
    limit = _PATH_BYTES if name in _PATHS else STRING_BYTES
    size_bytes = len(text.encode())
    if size_bytes > limit:
        raise InvalidRequest(f"{name} has {size_bytes} bytes; at most {limit} are allowed")
    if _CONTROL.search(text):
        raise InvalidRequest(f"{name} holds control characters")
