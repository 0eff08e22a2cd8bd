"""The doctor's checks of a node's host: identity, tools, kernel, mounts, long work (N11)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from csi_exoblock.app.inspection import InspectedHost
from csi_exoblock.errors import CommandFailed, DriverError
from csi_exoblock.host.mounts import check_propagation
from csi_exoblock.host.workers import CallLimit, Workers
from csi_exoblock.model import NodeId
from csi_exoblock.tools.doctor import Check, Finding, not_checked, well, wrong
from csi_exoblock.tools.long_work import long_work
from csi_exoblock.tools.tables import span

PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "blkid": ("--version",),
    "wipefs": ("--version",),
    "mount": ("--version",),
    "umount": ("--version",),
    "nice": ("--version",),
    "ionice": ("--version",),
    "prlimit": ("--version",),
    "mkfs.ext4": ("-V",),
    "mkfs.ext3": ("-V",),
    "e2fsck": ("-V",),
    "resize2fs": (),  # it has no such flag, but prints its version before its usage
    "mkfs.xfs": ("-V",),
    "xfs_growfs": ("-V",),
    "mkfs.btrfs": ("--version",),
    "btrfs": ("--version",),
}
"""The programs that the node runs, with the arguments that make each print its version."""

NO_NODE = "this is no pod of Kubernetes, or --node-name is missing"

# A kernel without the last one is usual: those of the Enterprise Linux family have none.
_FILESYSTEMS = {"ext4": True, "xfs": True, "btrfs": False}
_MODULE_LISTS = ("modules.dep", "modules.builtin")


class HostChecks:
    """Checks the host under the node plugin, and changes nothing.

    Args:
        proc: Where the host's processes are visible.
    """

    def __init__(self, host: InspectedHost, *, proc: Path = Path("/proc")) -> None:
        self._host = host
        self._proc = proc

    def all(self) -> list[Check]:
        """Return the checks."""
        return [
            Check("root", self._root),
            Check("identity", self._identity),
            Check("registration", self._registration),
            Check("tools", self._tools),
            Check("kernel", self._kernel),
            Check("propagation", self._propagation, "correct the volume mount in the DaemonSet"),
            Check("long work", self._long_work),
        ]

    def _root(self) -> Iterator[Finding]:
        if os.geteuid() != 0:
            yield wrong(
                "root",
                "this is not root, so nothing can be formatted or mounted here",
                "let the DaemonSet's container run as root and privileged",
            )

    def _identity(self) -> Iterator[Finding]:
        known: dict[str, NodeId] = {}
        failures: list[str] = []
        if self._host.settings.identity is not None:
            known["--instance-id"] = self._host.settings.identity
        workers = Workers[NodeId](
            CallLimit(),
            patience_seconds=self._host.timing.metadata_timeout,
            only_informs=True,
            perhaps="it might hang",
        )
        for name, source in self._host.sources.items():
            try:
                known[name] = workers.run(f"source {name}", source.read)
            except DriverError as error:
                failures.append(f"{name}: {error}")
        for name, node_id in known.items():
            yield well("identity", f"{name} says {node_id}")
        if not known:
            yield wrong(
                "identity",
                f"no source knows instance and zone: {'; '.join(failures)}",
                "see that the cloud controller runs, or set --instance-id and --zone"
                if self._host.node.is_known
                else f"{NO_NODE}: run this in the plugin's pod, see docs/doctor.md",
            )
        elif len({*known.values()}) > 1:
            said = ", ".join(f"{name} says {node_id}" for name, node_id in known.items())
            yield wrong(
                "identity",
                f"the sources disagree: {said}",
                "the driver uses the first; remove the wrong one from --metadata-sources",
            )
        else:
            for failure in failures:
                yield well("identity", f"not available, and not needed: {failure}")

    def _registration(self) -> Iterator[Finding]:
        if not self._host.node.is_known:
            yield not_checked("registration", NO_NODE)
        elif self._host.node.is_registered():
            yield well("registration", "kubelet knows the driver and its limit of volumes")
        else:
            yield wrong(
                "registration",
                "kubelet does not know the driver, so no pod with a volume starts here",
                "see ExoblockNodePluginNotRegistered in docs/runbooks.md",
            )

    def _tools(self) -> Iterator[Finding]:
        for program, arguments in PROGRAMS.items():
            try:
                ended = self._host.commands.run(program, *arguments, allowed=range(256))
            except CommandFailed as error:
                yield wrong("tools", str(error), "use the image of this project")
            else:
                said = (ended.stdout.strip() or ended.stderr.strip()).splitlines()
                yield well("tools", f"{program}: {said[0] if said else 'no version'}")

    def _kernel(self) -> Iterator[Finding]:
        loaded = (self._proc / "filesystems").read_text().split()
        modules = self._modules()
        for name, is_needed in _FILESYSTEMS.items():
            if name in loaded:
                yield well("kernel", f"{name} is loaded")
            elif not modules:
                yield not_checked("kernel", f"{name} is not loaded, and no list of modules is here")
            elif f"/{name}.ko" in modules:
                yield well("kernel", f"{name} will be loaded when it is needed")
            else:
                says = f"the kernel has no {name}, so such volumes can't be mounted here"
                remedy = "use another image for this node"
                yield wrong("kernel", says, remedy) if is_needed else well("kernel", says)

    def _modules(self) -> str:
        """Return the lists of the kernel's modules, empty if they can't be read.

        They are on the host, whose root folder a container sees only as that of process 1.
        """
        release = os.uname().release
        for folder in (self._proc / "1" / "root" / "lib" / "modules", Path("/lib/modules")):
            try:
                return "".join((folder / release / each).read_text() for each in _MODULE_LISTS)
            except OSError:
                continue
        return ""

    def _propagation(self) -> Iterator[Finding]:
        path = self._host.settings.kubelet_path
        check_propagation(self._host.mounts, path)
        yield well("propagation", f"kubelet sees what is mounted below {path}")

    def _long_work(self) -> Iterator[Finding]:
        found = long_work(self._proc)
        for work in found:
            says = f"{work.program} (process {work.pid}) has run for {span(work.seconds)}"
            if work.seconds < self._host.timing.doctor_job_age:
                yield well("long work", says)
            else:
                yield wrong(
                    "long work",
                    says,
                    "see whether its disk hangs (dmesg); it can't be interrupted safely",
                )
        yield well("long work", f"{len(found)} formats, checks and growths are under way")
