"""Parameters of the three Kubernetes classes: parse them, and refuse unknown keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from csi_exoblock.controller.specs import VolumeChanges
from csi_exoblock.csi.label_parameters import (
    DELETION_KEYS,
    SETTING_KEYS,
    deletions_in,
    labels_in,
    pattern_of,
)
from csi_exoblock.csi.templates import Templates
from csi_exoblock.errors import InvalidRequest
from csi_exoblock.model import Access, Filesystem, MountAccess, ZoneName
from csi_exoblock.options import FormatPolicy, VolumeContext, refuse_encryption

_SIDECAR_PREFIX = "csi.storage.k8s.io/"
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
_CLASS_KEYS = (*SETTING_KEYS, "volumeNameTemplate", "zone", *_CONTEXT_KEYS, "encrypted")
_SNAPSHOT_KEYS = (*SETTING_KEYS, "snapshotNameTemplate")
_ATTRIBUTE_KEYS = (*SETTING_KEYS, *DELETION_KEYS, "name")

# Parameters that sidecars add with --extra-create-metadata, and the label for each (C4).
_ABOUT = {
    "csi.storage.k8s.io/pv/name": "pv",
    "csi.storage.k8s.io/pvc/name": "pvc",
    "csi.storage.k8s.io/pvc/namespace": "namespace",
    "csi.storage.k8s.io/volumesnapshot/name": "snapshot",
    "csi.storage.k8s.io/volumesnapshot/namespace": "snapshot-namespace",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelling:
    """The driver's settings for the labels and names in classes.

    Attributes:
        reserved_prefix: The prefix of labels that only the driver may set.
        cluster: Returns the value of the variable `cluster`, `None` if there is none; raises
            KubernetesUnavailable while it is not known yet.
    """

    reserved_prefix: str
    cluster: Callable[[], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageClass:
    """The parameters of a StorageClass.

    Attributes:
        visible_name: The volume's name in the cloud, `None` for the name from CSI.
        labels: The labels that the class sets.
        about: The sidecar's metadata about the claim, by the names of the driver's labels.
        zone: The zone for a request without topology, `None` if the class names none.
        context: The options of the file system.
    """

    visible_name: str | None
    labels: Mapping[str, str]
    about: Mapping[str, str]
    zone: ZoneName | None
    context: VolumeContext

    @classmethod
    def parse(
        cls,
        parameters: Mapping[str, str],
        labelling: Labelling,
        *,
        restored: bool = False,
        class_alone: bool = False,
    ) -> Self:
        """Read a class's parameters; keys are case-insensitive.

        Args:
            restored: Whether the volume starts with content, so that it is never formatted (D1).
            class_alone: Whether the class is checked without a volume, so that variables have no
                value.

        Raises:
            InvalidRequest: A key is unknown or a value malformed.
        """
        given = _known(parameters, _CLASS_KEYS)
        refuse_encryption(given)
        policy = "never" if restored else "ifBlank"
        choices = {key: value for key, value in given.items() if key in _lower(_CONTEXT_KEYS)}
        templates = _templates_of_volume(parameters, labelling, class_alone)
        return cls(
            visible_name=_name(given, "volumeNameTemplate", templates),
            labels=labels_in(given, templates, reserved_prefix=labelling.reserved_prefix),
            about=_about(parameters),
            zone=_zone(given.get("zone")),
            context=VolumeContext.parse({**choices, "format": policy}),
        )

    def check(self, accesses: Iterable[Access]) -> None:
        """Raise InvalidRequest unless the options fit the requested file systems."""
        for access in accesses:
            if isinstance(access, MountAccess):
                self.context.options.check(access.filesystem)
                self.context.options.check_page_size()
                self._check_project_quota(access)

    def _check_project_quota(self, access: MountAccess) -> None:
        """Raise InvalidRequest unless a new ext4 with prjquota has the feature `project`."""
        new_ext4 = (access.filesystem, self.context.format) == (
            Filesystem.EXT4,
            FormatPolicy.IF_BLANK,
        )
        features = dict(self.context.options.mkfs_arguments).get("-O", "").split(",")
        if new_ext4 and "prjquota" in access.mount_flags and "project" not in features:
            raise InvalidRequest(
                "mount option prjquota needs the feature of ext4, or the mount fails: add "
                "mkfsOptions '-O project,quota' to the class"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotClass:
    """The parameters of a VolumeSnapshotClass.

    Attributes:
        visible_name: The snapshot's name in the cloud, `None` for the name from CSI.
        labels: The labels that the class sets.
        about: The sidecar's metadata about the VolumeSnapshot, by the names of the driver's labels.
    """

    visible_name: str | None
    labels: Mapping[str, str]
    about: Mapping[str, str]

    @classmethod
    def parse(cls, parameters: Mapping[str, str], labelling: Labelling) -> Self:
        """Read a class's parameters; keys are case-insensitive.

        Raises:
            InvalidRequest: A key is unknown or a value malformed.
        """
        given = _known(parameters, _SNAPSHOT_KEYS)
        templates = Templates.of_snapshots(parameters, cluster=labelling.cluster())
        return cls(
            visible_name=_name(given, "snapshotNameTemplate", templates),
            labels=labels_in(given, templates, reserved_prefix=labelling.reserved_prefix),
            about=_about(parameters),
        )


def volume_changes(
    parameters: Mapping[str, str],
    labelling: Labelling,
    *,
    about: Mapping[str, str] | None = None,
    class_alone: bool = False,
) -> VolumeChanges:
    """Read a VolumeAttributesClass's parameters; keys are case-insensitive.

    Args:
        about: Parameters with the sidecar's metadata about the volume, if those are not among
            `parameters`: csi-resizer puts them there, csi-provisioner only into the parameters of
            the StorageClass.
        class_alone: Whether the class is checked without a volume, so that variables have no value.

    Raises:
        InvalidRequest: A key is unknown or a value malformed.
    """
    given = _known(parameters, _ATTRIBUTE_KEYS)
    templates = _templates_of_volume({**parameters, **(about or {})}, labelling, class_alone)
    labels = labels_in(given, templates, reserved_prefix=labelling.reserved_prefix)
    removed = deletions_in(given, reserved_prefix=labelling.reserved_prefix)
    if both := sorted(removed & labels.keys()):
        raise InvalidRequest(f"parameters: label {both[0]} is both set and deleted")
    return VolumeChanges(
        visible_name=_name(given, "name", templates), labels=labels, removed=removed
    )


def _templates_of_volume(
    parameters: Mapping[str, str], labelling: Labelling, class_alone: bool
) -> Templates:
    templates = Templates.of_volumes(parameters, cluster=labelling.cluster())
    return templates.of_no_request() if class_alone else templates


def _known(parameters: Mapping[str, str], known: tuple[str, ...]) -> dict[str, str]:
    given: dict[str, str] = {}
    for key, value in parameters.items():
        lower = key.lower()
        if lower.startswith(_SIDECAR_PREFIX):
            continue
        if pattern_of(lower) not in _lower(known) or lower.endswith("_n"):
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


def _name(given: Mapping[str, str], key: str, templates: Templates) -> str | None:
    template = given.get(key.lower())
    return None if template is None else templates.name(template, field=key)
