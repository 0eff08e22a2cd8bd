"""What is in the image that the Dockerfile makes, and what is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import csi_exoblock
from tests.install.image import IMAGE, buildah
from tests.install.installation import HelmInstallation

_PROGRAM = "/opt/csi-exoblock/bin/csi-exoblock"
_MOST_MIB = 80
_TOOLS = ("mkfs.ext4", "mkfs.ext3", "mkfs.xfs", "mkfs.btrfs", "e2fsck", "resize2fs", "xfs_growfs")
_UNWANTED = ("pip", "pip3", "uv", "git", "gcc", "cc", "make", "python3-config")


@pytest.fixture(scope="module")
def container(bare: HelmInstallation) -> Iterator[str]:
    """A container of the image."""
    name = buildah("from", IMAGE)
    yield name
    buildah("rm", name)


@pytest.fixture(scope="module")
def root(container: str) -> Path:
    """The image's files, on this machine; removing the container takes them away."""
    return Path(buildah("mount", container))


@pytest.mark.parametrize("arguments", [["version"], ["controller", "--help"], ["node", "--help"]])
def test_command_runs_as_an_ordinary_user(container: str, arguments: list[str]) -> None:  # F14
    assert buildah("run", container, "--", _PROGRAM, *arguments)


def test_it_says_its_version_in_the_label_and_by_itself(container: str) -> None:
    inspected = json.loads(buildah("inspect", IMAGE))["OCIv1"]["config"]

    version = inspected["Labels"]["org.opencontainers.image.version"]
    assert version == csi_exoblock.__version__
    assert f"csi-exoblock {version}," in buildah("run", container, "--", _PROGRAM, "version")
    assert inspected["User"] == "65532:65532"


def test_file_system_tools_are_there(container: str) -> None:
    script = f"for tool in {' '.join(_TOOLS)} blkid mount umount; do command -v $tool; done"
    found = buildah("run", container, "--", "sh", "-c", script).split()

    assert len(found) == len(_TOOLS) + 3


def test_nothing_is_there_that_builds_or_gives_rights(root: Path) -> None:  # N13
    binaries = [
        path
        for folder in ("usr/bin", "usr/sbin", "usr/local/bin", "opt/csi-exoblock/bin")
        for path in (root / folder).iterdir()
    ]
    privileged = [
        path for path in binaries if not path.is_symlink() and path.stat().st_mode & 0o6000
    ]

    assert [path.name for path in binaries if path.name in _UNWANTED] == []
    assert privileged == []
    assert list((root / "var/lib/apt/lists").glob("*Packages*")) == []
    assert list((root / "var/cache/apt").glob("archives/*.deb")) == []
    packages = root / "opt/csi-exoblock/lib/python3.11/site-packages"
    assert [
        path.name for path in packages.iterdir() if path.name in ("aiohttp", "rich", "pip")
    ] == []
    assert list((packages / "csi_exoblock").glob("__pycache__/model.*.pyc"))


def test_it_is_small_enough_for_every_node(tmp_path: Path) -> None:
    buildah("push", "--quiet", IMAGE, f"dir:{tmp_path}")

    size_mib = sum(path.stat().st_size for path in tmp_path.iterdir()) / 2**20

    assert size_mib <= _MOST_MIB
