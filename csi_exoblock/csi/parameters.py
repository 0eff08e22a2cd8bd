"""Parameters of StorageClasses and VolumeSnapshotClasses: known keys only, and their values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from csi_exoblock.errors import InvalidRequest
from csi_exoblock.model import Access, MountAccess, ZoneName
from csi_exoblock.options import VolumeContext, refuse_encryption

_SIDECAR_PREFIX = "csi.storage.k8s.io/"
_SPECIFICATION = re.compile(r"labelspecification_[1-9][0-9]{0,3}", re.ASCII)
_LABEL_KEY = re.compile(r"[A-Za-z0-9./-]{1,255}", re.ASCII)
_ZONE = re.compile(r"[a-z0-9-]{1,63}", re.ASCII)

_CONTEXT_KEYS = (
    "mkfsOptions",
    "fsFormatOptions",
    "blockSize",
    "inodeSize",
    "bytesPerInode",
    "reservedBlocksPercent",
    "xfsCompat",
    "discardOnFormat",
    "fsck",
)
_LABEL_KEYS = ("labels", "labelSpecification_N")
_CLASS_KEYS = (*_LABEL_KEYS, "zone", *_CONTEXT_KEYS, "encrypted")

# What the sidecars add with --extra-create-metadata, and the label that says it (C4).
_ABOUT = {
    "csi.storage.k8s.io/pv/name": "pv",
    "csi.storage.k8s.io/pvc/name": "pvc",
    "csi.storage.k8s.io/pvc/namespace": "namespace",
    "csi.storage.k8s.io/volumesnapshot/name": "snapshot",
    "csi.storage.k8s.io/volumesnapshot/namespace": "snapshot-namespace",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageClass:
    """What a StorageClass asks of a volume.

    Attributes:
        about: What the sidecar says of the claim, under the names of our labels.
        context: How its file system is made and kept.
    """

    labels: Mapping[str, str]
    about: Mapping[str, str]
    zone: ZoneName | None
    context: VolumeContext

    @classmethod
    def parse(cls, parameters: Mapping[str, str], *, reserved_prefix: str, restored: bool) -> Self:
        """Read a class's parameters; keys are case-insensitive.

        Args:
            reserved_prefix: What the labels that only the driver may set begin with.
            restored: Whether the volume starts with content and so is never formatted (D1).

        Raises:
            InvalidRequest: A key is unknown or a value malformed.
        """
        given = _known(parameters, _CLASS_KEYS)
        refuse_encryption(given)
        policy = "never" if restored else "ifBlank"
        choices = {key: value for key, value in given.items() if key in _lower(_CONTEXT_KEYS)}
        return cls(
            labels=_labels(given, reserved_prefix),
            about=_about(parameters),
            zone=_zone(given.get("zone")),
            context=VolumeContext.parse({**choices, "format": policy}),
        )

    def check(self, accesses: Iterable[Access]) -> None:
        """Return if the file systems that are asked for can be made so.

        Raises:
            InvalidRequest: An option isn't for that file system.
        """
        for access in accesses:
            if isinstance(access, MountAccess):
                self.context.options.check(access.filesystem)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotClass:
    """What a VolumeSnapshotClass asks of a snapshot.

    Attributes:
        about: What the sidecar says of the VolumeSnapshot, under the names of our labels.
    """

    labels: Mapping[str, str]
    about: Mapping[str, str]

    @classmethod
    def parse(cls, parameters: Mapping[str, str], *, reserved_prefix: str) -> Self:
        """Read a class's parameters; keys are case-insensitive.

        Raises:
            InvalidRequest: A key is unknown or a value malformed.
        """
        given = _known(parameters, _LABEL_KEYS)
        return cls(labels=_labels(given, reserved_prefix), about=_about(parameters))


def _known(parameters: Mapping[str, str], known: tuple[str, ...]) -> dict[str, str]:
    given: dict[str, str] = {}
    for key, value in parameters.items():
        lower = key.lower()
        if lower.startswith(_SIDECAR_PREFIX):
            continue
        if lower not in _lower(known) and not _SPECIFICATION.fullmatch(lower):
            raise InvalidRequest(
                f"parameters: unknown key {key[:100]!r}; known are {', '.join(known)}"
            )
        if lower in given:
            raise InvalidRequest(f"parameters: {key} is given twice")
        given[lower] = value
    return given


def _lower(keys: tuple[str, ...]) -> frozenset[str]:
    return frozenset(key.lower() for key in keys)


def _about(parameters: Mapping[str, str]) -> dict[str, str]:
    return {label: parameters[key] for key, label in _ABOUT.items() if parameters.get(key)}


def _zone(text: str | None) -> ZoneName | None:
    if text is None:
        return None
    if not _ZONE.fullmatch(text):
        raise InvalidRequest(f"parameters: zone {text[:100]!r} is no name of a zone")
    return ZoneName(text)


def _labels(given: Mapping[str, str], reserved_prefix: str) -> dict[str, str]:
    entries = [entry for entry in given.get("labels", "").split(",") if entry.strip()]
    entries += [value for key, value in sorted(given.items()) if _SPECIFICATION.fullmatch(key)]
    labels: dict[str, str] = {}
    for entry in entries:
        key, value = _label(entry.strip(), reserved_prefix)
        if key in labels:
            raise InvalidRequest(f"parameters: label {key} is given twice")
        labels[key] = value
    return labels


def _label(entry: str, reserved_prefix: str) -> tuple[str, str]:
    key, equals, value = entry.partition("=")
    if not (equals and value) or not _LABEL_KEY.fullmatch(key):
        raise InvalidRequest(
            f"parameters: label {entry[:100]!r} must be key=value, the key of letters, digits, "
            "dash, dot and slash"
        )
    if key.startswith(reserved_prefix):
        raise InvalidRequest(f"parameters: labels {reserved_prefix}... are the driver's own")
    if "{{" in value:
        raise InvalidRequest(f"parameters: label {key}: variables are not supported yet")
    return key, value
