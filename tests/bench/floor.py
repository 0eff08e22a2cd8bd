"""The least that each RPC of the node takes: its commands and system calls, with nothing proven."""

from __future__ import annotations

import ctypes
import os
import pathlib
import subprocess
import time
from collections.abc import Callable
from typing import Any

from csi_exoblock.host.profiles import mkfs_command
from csi_exoblock.model import Filesystem
from csi_exoblock.options import FormatOptions
from csi_exoblock.pb import csi_pb2
from tests.node.disks import link_name, run

# Source: blkid(8), exit status.
_NOTHING_FOUND = 2

_MOST_TRIES = 100

_LIBC = ctypes.CDLL(None)


class Floor:
    """Does what the requests ask for as a script would, and measures it.

    It trusts everything: that the link leads to the volume's disk, that what blkid says stays true,
    that nobody else mounts and that the kernel did what it was told.

    Args:
        links: The folder where udev links the disks.
    """

    def __init__(self, links: pathlib.Path) -> None:
        self._links = links
        self.seconds: dict[str, list[float]] = {}

    def call(self, rpc: str, request: Any, *, name: str = "") -> None:
        """Do the work of one RPC, and time it; one that needs no work counts for nothing."""
        works: dict[str, Callable[[Any], None]] = {
            "NodeStageVolume": self._stage,
            "NodePublishVolume": self._publish,
            "NodeUnpublishVolume": self._unpublish,
            "NodeUnstageVolume": self._unstage,
        }
        if (work := works.get(rpc)) is not None:
            began = time.perf_counter()
            work(request)
            self.seconds.setdefault(name or rpc, []).append(time.perf_counter() - began)

    def _stage(self, request: csi_pb2.NodeStageVolumeRequest) -> None:
        device = str(self._links / link_name(request.volume_id.partition("/")[2]))
        filesystem = Filesystem(request.volume_capability.mount.fs_type)
        probed = subprocess.run(("blkid", "-p", device), capture_output=True, check=False)
        if probed.returncode == _NOTHING_FOUND:
            run(*mkfs_command(filesystem, pathlib.Path(device), FormatOptions()))
        elif filesystem is Filesystem.EXT4:
            run("e2fsck", "-p", device)
        os.makedirs(request.staging_target_path, exist_ok=True)
        run("mount", "-t", str(filesystem), device, request.staging_target_path)

    def _publish(self, request: csi_pb2.NodePublishVolumeRequest) -> None:
        os.makedirs(request.target_path, exist_ok=True)
        run("mount", "-o", "bind", request.staging_target_path, request.target_path)

    def _unpublish(self, request: csi_pb2.NodeUnpublishVolumeRequest) -> None:
        run("umount", request.target_path)
        os.rmdir(request.target_path)

    def _unstage(self, request: csi_pb2.NodeUnstageVolumeRequest) -> None:
        staging = request.staging_target_path
        folder = os.open(staging, os.O_RDONLY)
        _LIBC.syncfs(folder)
        os.close(folder)
        # A driver that looks at the open files of all processes holds each of them for a moment.
        for _ in range(_MOST_TRIES):
            tried = subprocess.run(("umount", staging), capture_output=True, check=False)
            if tried.returncode == 0:
                return
        raise AssertionError(tried.stderr)
