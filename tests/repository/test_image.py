"""What goes into the image is locked by hash, and exists for both processors."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_LOCK = tomllib.loads((_ROOT / "uv.lock").read_text())
_PACKAGES = {package["name"]: package for package in _LOCK["package"]}
_PROJECT = tomllib.loads((_ROOT / "pyproject.toml").read_text())
# Debian 12's Python and C library: a wheel for a newer one would not load.
_PYTHON = ("cp311-cp311", "cp37-abi3", "cp38-abi3", "cp39-abi3", "cp310-abi3", "cp311-abi3")


def needed(name: str) -> Iterator[str]:
    """Yield a package of the lock file and all that it needs on Linux, some of them twice."""
    yield name
    for dependency in _PACKAGES[name].get("dependencies", ()):
        if "win32" not in dependency.get("marker", ""):
            yield from needed(dependency["name"])


def runs(wheel: str, machine: str) -> bool:
    """Return whether a wheel runs on Debian 12 with this processor, by its file's name."""
    name = wheel.rpartition("/")[2]
    if name.endswith("-none-any.whl"):
        return True
    return "manylinux" in name and machine in name and any(tag in name for tag in _PYTHON)


@pytest.mark.fast
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_package_of_the_image_has_a_wheel_for(machine: str) -> None:  # N13
    names = set(needed("csi-exoblock")) - {"csi-exoblock"}

    without = {
        name
        for name in names
        if not any(runs(wheel["url"], machine) for wheel in _PACKAGES[name].get("wheels", ()))
    }

    assert names > {"grpcio", "protobuf", "requests"}
    assert without == set()


@pytest.mark.fast
def test_what_builds_the_package_is_locked_as_it_is_asked_for() -> None:  # N13
    assert sorted(_PROJECT["dependency-groups"]["build"]) == sorted(
        _PROJECT["build-system"]["requires"]
    )


def test_uv_itself_is_installed_by_hash() -> None:  # N13
    script = _ROOT / "deploy" / "image" / "requirements.py"

    asked = subprocess.run(
        [sys.executable, script, "uv"], cwd=_ROOT, check=True, capture_output=True, text=True
    )

    requirement, *hashes = asked.stdout.split()
    assert requirement == f"uv=={_PACKAGES['uv']['version']}"
    assert hashes
    assert all(each.startswith("--hash=sha256:") for each in hashes)
