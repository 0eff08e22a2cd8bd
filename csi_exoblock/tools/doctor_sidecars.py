"""The doctor's check of the sidecars: which there are, their versions and flags (N11)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from csi_exoblock.kubernetes.workloads import Container, Workload
from csi_exoblock.tools.doctor import Check, Finding, well, wrong
from csi_exoblock.tools.installation import NEEDS, SNAPSHOT_CLASSES, Installation
from csi_exoblock.tools.reach import Reach

_INSTALL = "install the chart again, or compare your manifests with deploy/kubernetes"
_SNAPSHOTTER = "csi-snapshotter"

TESTED: Mapping[str, tuple[int, int]] = {
    "csi-provisioner": (6, 4),
    "csi-attacher": (4, 13),
    "csi-resizer": (2, 3),
    _SNAPSHOTTER: (8, 7),
}
"""The sidecars, and the major and minor version with which the driver is tested."""

_ANY = ""
FLAGS: Mapping[str, Mapping[str, str]] = {
    "csi-provisioner": {
        "strict-topology": "true",
        "extra-create-metadata": "true",
        "timeout": _ANY,
    },
    "csi-attacher": {"timeout": _ANY},
    "csi-resizer": {"handle-volume-inuse-error": "false", "resize-timeout": _ANY},
    _SNAPSHOTTER: {"extra-create-metadata": "true", "timeout": _ANY},
}
"""The flags whose defaults do not suit the driver, with the only right value if there is one."""


class SidecarChecks:
    """Compares the sidecars with those of the chart."""

    def __init__(self, reach: Reach, installation: Installation) -> None:
        self._reach = reach
        self._installation = installation

    def all(self) -> list[Check]:
        """Return the check."""
        return [Check("sidecars", self._findings, needs=(*NEEDS, SNAPSHOT_CLASSES))]

    def _findings(self) -> Iterator[Finding]:
        if not self._installation.has_controller:
            return
        found = {each.sidecar: (workload, each) for workload, each in self._installation.sidecars()}
        for name in TESTED:
            if name in found:
                yield from _of_sidecar(*found[name])
            elif name != _SNAPSHOTTER:
                yield wrong("sidecars", f"there is no {name}", _INSTALL)
            elif used := self._snapshot_classes():
                says = f"there is no {name}, but VolumeSnapshotClass {', '.join(used)} needs it"
                yield wrong("sidecars", says, f"{_INSTALL}; or delete the class")
            else:
                yield well("sidecars", f"there is no {name}, and no class that needs it")

    def _snapshot_classes(self) -> list[str]:
        return [
            each.name
            for each in self._reach.inventory().list_snapshot_classes(self._reach.deadline())
            if each.driver_name == self._reach.driver_name
        ]


def _of_sidecar(workload: Workload, sidecar: Container) -> Iterator[Finding]:
    name = sidecar.sidecar
    least = ".".join(map(str, TESTED[name]))
    version = re.match(r"v?(\d+)\.(\d+)", sidecar.tag, re.ASCII)
    if version and (int(version[1]), int(version[2])) < TESTED[name]:
        yield wrong(
            "sidecars",
            f"{name} {sidecar.tag} is older than v{least}, with which the driver is tested",
            _INSTALL,
        )
    for flag, value in FLAGS[name].items():
        given = sidecar.flags.get(flag)
        if given is None or value not in (_ANY, given):
            expected = f"--{flag}={value}" if value else f"--{flag}"
            yield wrong("sidecars", f"{name} runs without {expected}", _INSTALL)
    if (workload.replicas or 0) > 1 and sidecar.flags.get("leader-election") != "true":
        yield wrong(
            "sidecars",
            f"{name} runs in {workload.replicas} replicas without --leader-election, so that two "
            "of them can create a volume twice",
            "add the flag, or set replicas to 1",
        )
    yield well("sidecars", f"{name} {sidecar.tag or 'of an unknown version'} was checked")
