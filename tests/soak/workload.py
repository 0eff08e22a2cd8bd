"""A claim, the pod that uses it, and what its volume must hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.cloud import Cloud, CloudVolume
from tests.kubernetes.cluster.pods import Pod
from tests.soak.canary import FOLDER, Canary, run_in

PATIENCE_SECONDS: Final = 600.0
"""How long anything may take: sidecars try again after up to 5 minutes, once troubles are over."""

# Of a volume's size, less what a file system needs for itself.
_LEAST_SHARE = 0.85


@dataclass(slots=True, kw_only=True)
class Workload:
    """What a user has: a claim and a pod.

    Attributes:
        size_gib: What the claim asks for.
        canary: What the volume holds, `None` until something was written.
        pod: `None` while there is none.
        given_up: Whether an action on it failed, so that it is left alone until the end.
    """

    claim: Claim
    storage_class: str
    size_gib: int
    canary: Canary | None = None
    pod: Pod | None = None
    given_up: bool = False
    _starts: int = field(default=0, init=False)
    _uuid: UUID | None = field(default=None, init=False)

    @property
    def name(self) -> str:
        """The claim's name."""
        return self.claim.name

    @property
    def is_settled(self) -> bool:
        """Whether the claim has the size that it asks for."""
        return self.claim.capacity == f"{self.size_gib}Gi"

    def start(self, node: str) -> None:
        """Start a pod on a node and return when it runs and has the whole volume."""
        self._starts += 1
        name = f"{self.name}-{self._starts}"
        mounts = {FOLDER: self.claim}
        self.pod = Pod.create(self.claim.namespace, name, mounts=mounts, node=node)
        self.pod.wait_running(PATIENCE_SECONDS)
        has_mib = int(run_in(self.pod, f"df -m {FOLDER} | tail -n 1").split()[1])
        least_mib = _LEAST_SHARE * 1024 * self.size_gib
        assert has_mib > least_mib, f"{name} has {has_mib} MiB of {self.size_gib} GiB"

    def stop(self) -> None:
        """Delete the pod, if there is one, and return when it is gone."""
        if self.pod:
            self.pod.delete(PATIENCE_SECONDS)
            self.pod = None

    def write(self, canary: Canary) -> None:
        """Write a canary to the volume."""
        assert self.pod, f"{self.name} has no pod"
        self.canary = None  # neither the old nor the new one, should this fail
        canary.write(self.pod)
        self.canary = canary

    def check(self) -> None:
        """Raise CanaryLostError unless the volume holds what it must."""
        if self.canary and self.pod:
            self.canary.check(self.pod)

    def wait_detached(self, cloud: Cloud) -> None:
        """Return when no instance has the volume."""
        self._wait(lambda: not self.volume(cloud).instance, f"{self.name} is detached")

    def wait_size(self, cloud: Cloud) -> None:
        """Return when the cloud's volume has the size that the claim asks for."""
        promise = f"{self.name} has {self.size_gib} GiB in the cloud"
        self._wait(lambda: self.volume(cloud).size_gib == self.size_gib, promise)

    def wait_growth_noted(self, cloud: Cloud) -> None:
        """Return when the volume, which is in use, is to grow before its next attach."""
        size = str(self.size_gib)
        promise = f"{self.name} is to grow to {size} GiB"
        self._wait(lambda: self.volume(cloud).pending_gib == size, promise)

    def wait_settled(self) -> None:
        """Return when the claim has the size that it asks for."""
        self.claim.wait_capacity(f"{self.size_gib}Gi", PATIENCE_SECONDS)

    def volume(self, cloud: Cloud) -> CloudVolume:
        """Return the cloud's volume."""
        self._uuid = self._uuid or self.claim.wait_bound(PATIENCE_SECONDS).uuid
        found = cloud.volume(self._uuid)
        assert found, f"the cloud has no volume of {self.name}"
        return found

    def _wait(self, question: Callable[[], bool], promise: str) -> None:
        self.claim.namespace.wait(question, promise, seconds=PATIENCE_SECONDS)
