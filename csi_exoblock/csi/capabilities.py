"""Volume capabilities: parse them, and refuse those that the driver does not support (F15)."""

from __future__ import annotations

from collections.abc import Iterable

from csi_exoblock.csi.fields import MAP_BYTES
from csi_exoblock.errors import InvalidRequest
from csi_exoblock.model import Access, AccessMode, BlockAccess, Filesystem, MountAccess
from csi_exoblock.options import mount_flags, without_host_flags
from csi_exoblock.pb import csi_pb2

_Mode = csi_pb2.VolumeCapability.AccessMode.Mode
_SUPPORTED_MODES = ", ".join(AccessMode)


def require_complete(capability: csi_pb2.VolumeCapability, field: str) -> None:
    """Raise InvalidRequest unless the capability has both an access type and an access mode."""
    if capability.WhichOneof("access_type") is None:
        raise InvalidRequest(f"{field}: access_type is required, either block or mount")
    if capability.access_mode.mode == csi_pb2.VolumeCapability.AccessMode.UNKNOWN:
        raise InvalidRequest(f"{field}: access_mode is required, one of {_SUPPORTED_MODES}")


def parse_access(capability: csi_pb2.VolumeCapability, field: str) -> Access:
    """Read one capability.

    Raises:
        InvalidRequest: It is incomplete or not supported.
    """
    require_complete(capability, field)
    mode = _parse_mode(capability.access_mode.mode, field)
    if capability.WhichOneof("access_type") == "block":
        return BlockAccess(mode=mode)
    return _parse_mount(capability.mount, mode, field)


def parse_accesses(capabilities: Iterable[csi_pb2.VolumeCapability]) -> tuple[Access, ...]:
    """Read all capabilities of one volume, which must be all block or all mount.

    Raises:
        InvalidRequest: One of them is incomplete or not supported, or they mix block and mount.
    """
    accesses = tuple(parse_access(each, "volume_capabilities") for each in capabilities)
    if len({type(access) for access in accesses}) > 1:
        raise InvalidRequest(
            "volume_capabilities: a volume is used either as block or as mount, not both"
        )
    return accesses


def _parse_mode(mode: _Mode.ValueType, field: str) -> AccessMode:
    try:
        return AccessMode(_Mode.Name(mode))
    except ValueError as error:
        raise InvalidRequest(
            f"{field}: access mode {_name(mode)} is not supported, a volume is attached to one "
            f"instance at a time; supported are {_SUPPORTED_MODES}"
        ) from error


def _name(mode: _Mode.ValueType) -> str:
    return _Mode.Name(mode) if mode in _Mode.values() else str(mode)


def _parse_mount(
    mount: csi_pb2.VolumeCapability.MountVolume, mode: AccessMode, field: str
) -> MountAccess:
    if mount.volume_mount_group:
        raise InvalidRequest(f"{field}: volume_mount_group is not supported; use fsGroup")
    if sum(len(flag.encode()) for flag in mount.mount_flags) > MAP_BYTES:
        raise InvalidRequest(f"{field}: mount_flags have more than {MAP_BYTES} bytes")
    filesystem = _parse_filesystem(mount.fs_type, field)
    read_only = mode is AccessMode.SINGLE_NODE_READER_ONLY
    asked = without_host_flags(tuple(mount.mount_flags), filesystem)
    flags = mount_flags(asked, filesystem, read_only=read_only)
    return MountAccess(mode=mode, filesystem=filesystem, mount_flags=flags)


def _parse_filesystem(fs_type: str, field: str) -> Filesystem:
    try:
        return Filesystem(fs_type or "ext4")
    except ValueError as error:
        raise InvalidRequest(
            f"{field}: fs_type {fs_type[:40]!r} is not supported; supported are "
            f"{', '.join(Filesystem)}"
        ) from error
