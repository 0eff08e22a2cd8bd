"""The four sidecars that stand beside the driver in a controller pod, as the chart starts them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.kubernetes.cluster.daemons import Daemon
from tests.kubernetes.cluster.places import KUBECONFIG

NAMESPACE = "kube-system"
"""Where the sidecars keep their leases."""

PROVISIONER: Final = "csi-provisioner"

# What the chart sets; the reasons are in its values.
_ARGUMENTS = {
    PROVISIONER: (
        "--strict-topology",
        "--extra-create-metadata",
        "--default-fstype=ext4",
        "--timeout=180s",
        "--kube-api-qps=50",
        "--kube-api-burst=100",
    ),
    "csi-attacher": (
        "--timeout=180s",
        "--reconcile-sync=5m",
        "--retry-interval-max=1m",
        "--worker-threads=50",
        "--kube-api-qps=50",
        "--kube-api-burst=100",
    ),
    "csi-resizer": (
        "--handle-volume-inuse-error=false",
        "--resize-timeout=180s",
        "--modify-timeout=60s",
        "--extra-modify-metadata",
    ),
    "csi-snapshotter": (
        "--extra-create-metadata",
        "--timeout=120s",
        "--feature-gates=CSIVolumeGroupSnapshot=false",
    ),
}


def sidecars(programs: Path, socket: Path, replica: str) -> dict[str, Daemon]:
    """Describe the sidecars of one replica by their names.

    Args:
        socket: Where that replica's driver listens.
        replica: The name of its pod, by which it is told apart in a lease.
    """
    return {
        name: Daemon(
            name=f"{name}-{replica}",
            command=[
                *_under_host_name(replica),
                str(programs / name),
                f"--kubeconfig={KUBECONFIG}",
                f"--csi-address={socket}",
                "--leader-election",
                f"--leader-election-namespace={NAMESPACE}",
                *arguments,
            ],
            environment={"NAMESPACE": NAMESPACE},
        )
        for name, arguments in _ARGUMENTS.items()
    }


def with_capacity(provisioner: Daemon) -> Daemon:
    """Describe a provisioner that tells the scheduler how much each zone has room for.

    What it tells belongs to nobody, because there is no pod that it could go with.
    """
    return provisioner.with_arguments(
        "--enable-capacity", "--capacity-ownerref-level=-1", "--capacity-poll-interval=2s"
    )


def snapshot_controller(programs: Path) -> Daemon:
    """Describe the cluster-wide controller of VolumeSnapshots, which clusters bring themselves."""
    command = [str(programs / "snapshot-controller"), f"--kubeconfig={KUBECONFIG}"]
    return Daemon(name="snapshot-controller", command=command)


def _under_host_name(name: str) -> tuple[str, ...]:
    """Give a process a host name of its own: candidates for a lease take it as their identity."""
    return ("unshare", "--uts", "sh", "-c", f'hostname {name} && exec "$@"', "sh")
