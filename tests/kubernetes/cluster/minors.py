"""The minor versions of Kubernetes that the cluster can have, and what differs between them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CHOICE: Final = "CSI_EXOBLOCK_TEST_KUBERNETES"
"""The environment variable that chooses a minor, such as `1.34`; without it the newest runs."""

PACKAGES: Final = Path(__file__).parents[1] / "go"
"""The programs of every minor, as one Go module. Its go.mod pins the newest, and the sidecars."""

VOLUME_HEALTH: Final = "CSIVolumeHealth"
"""The feature gate by which a pod's status says how its volumes are; off by default (N7)."""

_OLDER = Path(__file__).parents[1] / "minors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Minor:
    """A minor version of Kubernetes.

    Attributes:
        name: Such as `1.34`.
        version: The release that stands for it, such as `1.34.4`.
        module: The go.mod that pins it.
    """

    name: str
    version: str
    module: Path

    def has(self, other: str) -> bool:
        """Return whether it has what came with a minor such as `1.37`."""
        return _number(self.name) >= _number(other)

    @property
    def feature_gates(self) -> Mapping[str, bool]:
        """What is switched away from its default, in every program; one unknown would end it."""
        # Before 1.37 the gate of this name is another feature's: kubelet makes events of it.
        return {VOLUME_HEALTH: True} if self.has("1.37") else {}


def minors() -> dict[str, Minor]:
    """Return all minors by their names, the oldest first."""
    modules = (*_OLDER.glob("*.mod"), PACKAGES / "go.mod")
    found = sorted(map(_minor, modules), key=lambda minor: _number(minor.name))
    return {minor.name: minor for minor in found}


def newest() -> Minor:
    """Return the minor that runs where none is chosen."""
    return _minor(PACKAGES / "go.mod")


def chosen() -> Minor:
    """Return the minor of this run.

    Raises:
        ValueError: The environment names one that there is not.
    """
    name = os.environ.get(CHOICE)
    if not name:
        return newest()
    known = minors()
    if name not in known:
        raise ValueError(f"{CHOICE}={name}: there are {', '.join(known)}")
    return known[name]


def _minor(module: Path) -> Minor:
    pinned = re.search(r"^\tk8s\.io/kubernetes v(\S+)$", module.read_text(), re.MULTILINE)
    assert pinned, f"{module} does not pin k8s.io/kubernetes"
    return Minor(name=pinned[1].rpartition(".")[0], version=pinned[1], module=module)


def _number(name: str) -> tuple[int, ...]:
    return tuple(map(int, name.split(".")))
