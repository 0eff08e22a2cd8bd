"""The labels of volumes and snapshots, which say what each is and whose it is (D11, C4)."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Self
from uuid import UUID

from csi_exoblock.config import ControllerSettings
from csi_exoblock.controller.specs import SnapshotSpec, VolumeChanges, VolumeSpec
from csi_exoblock.errors import WrongState
from csi_exoblock.model import Snapshot, Volume

_FOREIGN = re.compile(r"[^A-Za-z0-9./-]")
_HASH_LENGTH = 12
_CLONE = "clone-"
_MARK_BYTES = 6
_MARKED = re.compile(r"(.+)_[0-9a-f]{12}", re.ASCII)  # no label's value has an underscore
_MADE_FOR = ("pvc", "namespace", "snapshot", "snapshot-namespace", "clone-of")


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingSize:
    """The size to which a volume is to grow before it is attached the next time.

    Attributes:
        since: When it was last requested, in seconds of Unix time, by the cloud's clock.
    """

    size_gib: int
    since: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read the label's value, `<GiB>-<unix time>`; anything else is no growth."""
        size_gib, dash, since = text.partition("-")
        if not (dash and size_gib.isdecimal() and since.isdecimal()):
            return None
        return cls(size_gib=int(size_gib), since=int(since))

    def __str__(self) -> str:
        return f"{self.size_gib}-{self.since}"

    def is_younger_than(self, seconds: float, now: float) -> bool:
        """Return whether the time is less than that many seconds from now, before or after it."""
        return abs(now - self.since) < seconds

    def is_from_the_future(self, now: float) -> bool:
        """Return whether the time is later than now, so that it proves nothing."""
        return self.since > now


def new_mark() -> str:
    """Return a text that nobody else can have put into a name before."""
    return secrets.token_hex(_MARK_BYTES)


def marked(name: str, mark: str) -> str:
    """Return a name with a mark."""
    return f"{name}_{mark}"


def unmarked(name: str) -> str:
    """Return a name without its mark, if it has one."""
    match = _MARKED.fullmatch(name)
    return match[1] if match else name


class Labels:
    """Builds the label maps of what this driver creates, and reads the labels of what it finds.

    Args:
        cluster: Returns this cluster's id, `None` if there is none. Raises KubernetesUnavailable
            while it isn't known, and so does every method here that needs it.
    """

    def __init__(self, settings: ControllerSettings, *, cluster: Callable[[], str | None]) -> None:
        self._cluster_id = cluster
        self._prefix = settings.label_prefix
        self._max_length = settings.label_max_length
        self._extra = settings.extra_labels
        self._driver = self._value(settings.driver_name)
        self._inherited = frozenset(map(self._value, settings.inherited_cluster_ids))

    @property
    def name_label(self) -> str:
        """The label whose value is the name in the CSI request."""
        return self._prefix + "name"

    def of_volume(self, spec: VolumeSpec) -> dict[str, str]:
        """Return the whole label map of a new volume."""
        return self._make(spec, spec.source.uuid if spec.source else None)

    def of_snapshot(self, spec: SnapshotSpec) -> dict[str, str]:
        """Return the whole label map of a new snapshot."""
        return self._make(spec, spec.volume_id.uuid)

    def names_of(self, thing: Volume | Snapshot) -> frozenset[str]:
        """Return the names under which a create finds the volume or snapshot again (N10).

        The label holds the name of the create, even after people have renamed it in the cloud. The
        name in the cloud counts only if the label is missing.
        """
        return frozenset({thing.labels.get(self.name_label) or thing.name})

    def names_for(self, spec: VolumeSpec | SnapshotSpec) -> frozenset[str]:
        """Return the names that the result of an earlier create of the spec can have."""
        return frozenset({spec.name, spec.visible_name, self._identity(spec.name)})

    def clone_name(self, spec: VolumeSpec) -> str:
        """Return the name of the temporary snapshot from which a volume is cloned (N6)."""
        return self._value(_CLONE + self._identity(spec.name))

    def clone_names_of(self, volume: Volume) -> frozenset[str]:
        """Return the names that the temporary snapshot of a cloned volume can have."""
        return frozenset({self._value(_CLONE + each) for each in self.names_of(volume)})

    def clone_of(self, labels: Mapping[str, str]) -> str | None:
        """Return the UUID of a temporary snapshot's source; `None` for other snapshots."""
        return labels.get(self._prefix + "clone-of") or None

    def fitting(self, changes: VolumeChanges) -> VolumeChanges:
        """Return the changes with values that the API accepts as labels."""
        return replace(changes, labels=self._values(changes.labels))

    def source_of(self, labels: Mapping[str, str]) -> str | None:
        """Return the UUID in the label `source`, `None` without one."""
        return labels.get(self._prefix + "source") or None

    def made_for(self, labels: Mapping[str, str]) -> str:
        """Return in words what a volume or snapshot was made for; empty if no label says."""
        found = {key: labels.get(self._prefix + key, "") for key in _MADE_FOR}
        if found["pvc"]:
            return f"claim {found['namespace']}/{found['pvc']}"
        if found["snapshot"]:
            return f"snapshot {found['snapshot-namespace']}/{found['snapshot']}"
        return f"clone of {found['clone-of']}" if found["clone-of"] else ""

    def snapshot_of(self, labels: Mapping[str, str]) -> str:
        """Return the name of the VolumeSnapshot that a snapshot was made for, empty if unknown."""
        return labels.get(self._prefix + "snapshot", "")

    def was_made_blank(self, volume: Volume) -> bool:
        """Return whether this driver created the volume, and not as a copy."""
        return bool(volume.labels.get(self.name_label)) and not self.source_of(volume.labels)

    def is_protected(self, thing: Volume | Snapshot) -> bool:
        """Return whether the label `protect`, in upper or lower case, forbids a delete (D12)."""
        protect = f"{self._prefix}protect".lower()
        return any(value and key.lower() == protect for key, value in thing.labels.items())

    def require_own(self, thing: Volume | Snapshot) -> None:
        """Raise WrongState unless the volume or snapshot may be changed from this cluster (D12).

        It may be if it has no cluster's label: then it was created by hand, or before the driver
        knew a cluster's id. Another cluster's may not: the right to write PersistentVolumes here
        must not reach data there.
        """
        if cluster := self.other_cluster_of(thing):
            raise WrongState(
                f"{thing.id.noun()} {thing.id} belongs to cluster {cluster[:100]}, so nothing is "
                f"changed or deleted from here; where it is this cluster's now, remove its label "
                f"{self._prefix}cluster-id, or start the controller with "
                f"--inherited-cluster-ids={cluster[:100]}"
            )

    def other_cluster_of(self, thing: Volume | Snapshot) -> str | None:
        """Return the cluster whose the volume or snapshot is, `None` if it is not another's."""
        cluster = thing.labels.get(self._prefix + "cluster-id")
        return cluster if cluster and cluster not in self._clusters() else None

    def are_absent(self, labels: Mapping[str, str]) -> bool:
        """Return whether no label is the driver's; an empty value counts as absent."""
        return not any(value for key, value in labels.items() if key.startswith(self._prefix))

    def are_ours(self, labels: Mapping[str, str]) -> bool:
        """Return whether the labels say that this driver created it, for this cluster (D11).

        A rebuilt cluster inherits what its predecessors created (`--inherited-cluster-ids`).
        """
        cluster = labels.get(self._prefix + "cluster-id") or None
        if cluster or self._cluster():
            return cluster in self._clusters()
        return labels.get(self._prefix + "driver") == self._driver

    def pending_size(self, labels: Mapping[str, str]) -> PendingSize | None:
        """Return the pending growth that a label notes, `None` without one (N1)."""
        return PendingSize.parse(labels.get(self._prefix + "pending-size", ""))

    def with_pending_size(self, pending: PendingSize) -> VolumeChanges:
        """Return the change that notes a growth, and replaces any older note."""
        return VolumeChanges(labels={self._prefix + "pending-size": str(pending)})

    def without_pending_size(self) -> VolumeChanges:
        """Return the change that removes the note of a growth."""
        return VolumeChanges(removed=frozenset({self._prefix + "pending-size"}))

    def _make(self, spec: VolumeSpec | SnapshotSpec, source: UUID | None) -> dict[str, str]:
        ours = {
            **self._values(spec.about),
            "driver": self._driver,
            "name": self._identity(spec.name),
        }
        if cluster := self._cluster():
            ours["cluster-id"] = cluster
        if source:
            ours["source"] = str(source)
        return {
            **self._extra,
            **self._values(spec.labels),
            **{self._prefix + key: value for key, value in ours.items()},
        }

    def _cluster(self) -> str | None:
        cluster = self._cluster_id()
        return self._value(cluster) if cluster else None

    def _clusters(self) -> frozenset[str]:
        cluster = self._cluster()
        return self._inherited | {cluster} if cluster else self._inherited

    def _identity(self, name: str) -> str:
        """Return the value of the label `name`, which is different for every name."""
        value = self._value(name)
        return value if value == name else self._shortened(value, name)

    def _values(self, labels: Mapping[str, str]) -> dict[str, str]:
        return {key: self._value(value) for key, value in labels.items()}

    def _value(self, text: str) -> str:
        value = _FOREIGN.sub("-", text)
        return value if len(value) <= self._max_length else self._shortened(value, text)

    def _shortened(self, value: str, text: str) -> str:
        digest = hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]
        return f"{value[: self._max_length - _HASH_LENGTH - 1]}-{digest}"
