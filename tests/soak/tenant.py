"""A user of the cluster: claims with pods in a namespace, and what is done with them by chance."""

from __future__ import annotations

import itertools
import random
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.cluster import Cluster
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.snapshots import Snapshot
from tests.soak.canary import Canary
from tests.soak.journal import Journal
from tests.soak.workload import PATIENCE_SECONDS, Workload

MOST_WORKLOADS: Final = 4
MOST_SNAPSHOTS: Final = 2
MOST_GIB: Final = 4

FAILURES: Final = (AssertionError, subprocess.CalledProcessError, OSError)
"""What an action raises that did not come to its end."""

_CLASSES = ("exoblock", "exoblock-xfs")
_PAUSE_SECONDS = 8.0
# Not to keep the machine busy with questions.
_POLL_SECONDS = 0.5
# Until the run knows of an interrupt, which ends kubectl at the same time.
_INTERRUPT_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenSnapshot:
    """A snapshot, and what it holds."""

    snapshot: Snapshot
    canary: Canary
    storage_class: str
    size_gib: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Something that users do.

    Attributes:
        weight: How often it is chosen, against the others.
        is_possible: Whether a user can do it now.
        run: Does it, and returns what it was done with.
    """

    name: str
    weight: int
    is_possible: Callable[[Tenant], bool]
    run: Callable[[Tenant], str]


class Tenant:
    """A user, who does one thing after the other.

    Args:
        seed: Decides, with the number, what is done.
        nodes: The names of the nodes that pods run on.
    """

    def __init__(
        self, number: int, *, seed: int, cluster: Cluster, nodes: Sequence[str], journal: Journal
    ) -> None:
        self.cloud = Cloud()
        self.namespace = Namespace(cluster, f"soak-{number}", _POLL_SECONDS)
        self.chance = random.Random(f"{seed} tenant {number}")
        self.workloads: list[Workload] = []
        self.snapshots: list[TakenSnapshot] = []
        self._nodes = nodes
        self._journal = journal
        self._numbers = itertools.count(1)
        self._in_hand: Workload | None = None

    def live(self, actions: Sequence[Action], ending: threading.Event) -> None:
        """Do one action after the other until the end."""
        self.namespace.create()
        while not ending.is_set():
            self._act(actions, ending)
            ending.wait(self.chance.uniform(0, _PAUSE_SECONDS))

    def check_all(self) -> None:
        """Read every canary once more, and see that every claim got the size that it asks for."""
        for workload in [each for each in self.workloads if each.canary]:
            try:
                if workload.pod:
                    workload.pod.wait_running(PATIENCE_SECONDS)
                else:
                    workload.start(self.any_node())
                workload.check()
                workload.wait_settled()
            except FAILURES as error:
                self._journal.find(f"{self.namespace.name}: {workload.name} in the end: {error}")

    def new_workload(
        self, *, size_gib: int, storage_class: str, snapshot: str = "", clone_of: str = ""
    ) -> Workload:
        """Claim storage and start a pod that uses it."""
        claim = Claim.create(
            self.namespace,
            self.new_name("c"),
            size=f"{size_gib}Gi",
            storage_class=storage_class,
            snapshot=snapshot,
            clone_of=clone_of,
        )
        self._in_hand = Workload(claim=claim, storage_class=storage_class, size_gib=size_gib)
        self.workloads.append(self._in_hand)
        self._in_hand.start(self.any_node())
        return self._in_hand

    def any_workload(self) -> Workload:
        """Take one of the workloads that are well."""
        return self.take(self.usable())

    def take(self, workloads: Sequence[Workload]) -> Workload:
        """Take one of these workloads; if the action fails, it is left alone until the end."""
        self._in_hand = self.chance.choice(workloads)
        return self._in_hand

    def usable(self) -> list[Workload]:
        """Return the workloads that are well."""
        return [each for each in self.workloads if each.canary and not each.given_up]

    def new_canary(self, workload: Workload) -> Canary:
        """Think of a content that nothing else has."""
        return Canary(f"{self.namespace.name}-{workload.name}-{self.new_name('w')}")

    def new_name(self, letter: str) -> str:
        """Think of a name that nothing else in the namespace has."""
        return f"{letter}{next(self._numbers)}"

    def any_class(self) -> str:
        """Choose a StorageClass."""
        return self.chance.choice(_CLASSES)

    def any_node(self) -> str:
        """Choose a node for a pod."""
        return self.chance.choice(self._nodes)

    def _act(self, actions: Sequence[Action], ending: threading.Event) -> None:
        """Do an action; what it was done with is left alone if it fails."""
        begin, self._in_hand, name = self._journal.hours, None, "choice of an action"
        try:
            possible = [each for each in actions if each.is_possible(self)]
            (action,) = self.chance.choices(possible, [each.weight for each in possible])
            name = action.name
            about = action.run(self)
        except FAILURES as error:
            self._give_up(name, error, ending)
            return
        self._journal.did(self.namespace.name, name, about, begin)

    def _give_up(self, action: str, error: Exception, ending: threading.Event) -> None:
        workload = self._in_hand
        if workload:
            workload.given_up = True
        what = f"{self.namespace.name}: {action} {workload.name if workload else ''}: {error}"
        killed = isinstance(error, subprocess.CalledProcessError)
        if killed and ending.wait(_INTERRUPT_SECONDS):  # all is looked at once more in the end
            self._journal.note(f"interrupted: {what}")
        else:
            self._journal.find(what)
