"""The checks of fields that all requests share: presence, size, paths, ids."""

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

# CSI 1.13, Size Limits: the limits of a field unless its own description says otherwise.
STRING_BYTES = 128
MAP_BYTES = 4096
# Linux, PATH_MAX: 4096 bytes with the zero at the end.
_PATH_BYTES = 4095
# Linux, NAME_MAX.
_NAME_BYTES = 255

# These have no size limit here. An id that is too long does not parse, so the call answers that it
# does not exist; a token that is too long is unknown. Neither makes the request invalid.
_OWN_RULE = frozenset({"volume_id", "source_volume_id", "snapshot_id", "node_id", "starting_token"})
_PATHS = frozenset({"staging_target_path", "target_path", "volume_path", "volume_publish_path"})

# Keys in the publish context, of a volume that was blank at first: when the cloud created it, and
# what the cloud's clock said when it was attached (N19).
CREATED_AT, ATTACHED_AT = "created-at", "attached-at"

# CSI 1.13, CreateVolumeRequest.name.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

Id = TypeVar("Id", bound=ResourceId)


def check(request: Message, *required: str) -> None:
    """Raise InvalidRequest unless the required fields are set and all fields are well-formed.

    Raises:
        InvalidRequest: A required field is missing, or a field is too large or has control
            characters; the message names it.
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
    """Raise InvalidRequest unless a map is no larger than CSI allows."""
    size_bytes = sum(len(key.encode()) + len(value.encode()) for key, value in entries.items())
    if size_bytes > MAP_BYTES:
        raise InvalidRequest(f"{name} has {size_bytes} bytes; at most {MAP_BYTES} are allowed")


def absolute_path(name: str, text: str) -> Path:
    """Return a path of the host.

    Raises:
        InvalidRequest: The path is relative or contains `..`, or a name that no file can have.
    """
    path = Path(text)
    if not path.is_absolute() or ".." in path.parts:
        raise InvalidRequest(f"{name} must be an absolute path without '..', not {text[:200]!r}")
    if any(len(part.encode()) > _NAME_BYTES for part in path.parts):
        raise InvalidRequest(f"{name}: at most {_NAME_BYTES} bytes are allowed between slashes")
    return path


def volume_path(text: str) -> Path:
    """Return the path of a volume.

    Raises:
        NotFound: The path is relative, so no volume is there; the caller expects this code (S16).
    """
    path = Path(text)
    if not path.is_absolute():
        raise NotFound(f"volume_path {text[:200]!r} is not absolute, so no volume is there")
    return path


def capacity_range(size: csi_pb2.CapacityRange) -> CapacityRange:
    """Return the smallest and the largest size that a request allows.

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
    """Return the id, or `None` if the text is no id, so that nothing exists under it."""
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
