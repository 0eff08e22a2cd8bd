"""How long claims with pods take on a real Kubernetes, and who takes it: build/cluster-times.md."""

from __future__ import annotations

import itertools
import re
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.figures import table
from tests.install.installation import HelmInstallation
from tests.install.second_node import SecondNode
from tests.install.timeline import Timeline
from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.cloud import LATENCY_SECONDS
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.places import NODE_NAME
from tests.kubernetes.cluster.pods import Pod
from tests.kubernetes.flows import namespace_for

PAGE: Final = Path(__file__).parents[2] / "build" / "cluster-times.md"
MOST: Final = 50
# Pods that start together, and how often that is measured.
_ROUNDS = {1: 5, 10: 2, MOST: 1}
_PATIENCE_SECONDS = 600.0

# What happens from one moment to the next, and who does it.
_STARTS: Final[Mapping[str, tuple[str, str]]] = {
    "scheduler, provisioner: the volume is made": ("", "made"),
    "binding, scheduler: the pod gets its node": ("made", "scheduled"),
    "controller manager: the attach is asked for": ("scheduled", "asked"),
    "attacher: the volume is attached": ("asked", "attached"),
    "kubelet: mounts, container runs": ("attached", "running"),
}
_ENDS: Final[Mapping[str, tuple[str, str]]] = {
    "kubelet: container ends, unmounts": ("", "stopped"),
    "attacher: the volume is detached": ("stopped", "detached"),
    "provisioner: the volume is deleted": ("detached", "deleted"),
}
_MOVES: Final[Mapping[str, tuple[str, str]]] = {
    "kubelet: container ends, unmounts": ("", "stopped"),
    "kubelet: unstages; attacher: the volume is detached": ("stopped", "detached"),
    "attacher: the volume is attached to the other node": ("detached", "attached"),
    "the other kubelet: mounts, container runs": ("attached", "running"),
}
_MOVED = 5
_RPCS = (
    "CreateVolume", "ControllerPublishVolume", "NodeStageVolume", "NodePublishVolume",
    "NodeUnpublishVolume", "NodeUnstageVolume", "ControllerUnpublishVolume", "DeleteVolume",
)  # fmt: skip
_ROUND = itertools.count(1)
_ENDED = re.compile(r'call ended code="OK" seconds=([\d.]+).* rpc="(\w+)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Some pods that start together and end together.

    Attributes:
        starts, ends: Seconds until the last of them runs, and is gone.
        phases: The seconds that a pod spends in each, on average.
    """

    starts: float
    ends: float
    phases: Mapping[str, float]


def measure(installation: HelmInstallation) -> Iterator[str]:
    """Yield the page, line by line."""
    rows, phases = [], {}
    for number, rounds in _ROUNDS.items():
        plain = [_round(installation, number, claims=False) for _ in range(rounds)]
        ours = [_round(installation, number, claims=True) for _ in range(rounds)]
        rows.append(_row(number, ours, plain))
        phases[number] = {
            name: statistics.fmean(each.phases[name] for each in ours)
            for name in (*_STARTS, *_ENDS)
        }
    yield "# Claims and pods on a real Kubernetes"
    yield ""
    yield (
        f"Operations of the cloud take {LATENCY_SECONDS} s. Times are from the first request to "
        "Kubernetes until the last pod runs, or until pods, attachments and volumes are gone."
    )
    yield ""
    head = ("pods", "run", "with an emptyDir", "gone", "with an emptyDir")
    yield from table(head, rows)
    yield "Who takes the time, seconds of a pod on average:"
    yield ""
    yield from table(
        ("", *(f"{number} pod{'s' if number > 1 else ''}" for number in _ROUNDS)),
        (
            (name, *(f"{phases[number][name]:.2f}" for number in _ROUNDS))
            for name in (*_STARTS, *_ENDS)
        ),
    )
    calls = list(_calls(installation))  # a second node replaces the driver's pods
    yield from _moves(installation)
    yield "The driver's calls of the rounds above, from its log: seconds on average, the cloud's:"
    yield ""
    yield from table(("call", "seconds", "the cloud"), calls)


def _row(number: int, ours: Sequence[Round], plain: Sequence[Round]) -> tuple[str, ...]:
    return (
        str(number),
        *(
            f"{statistics.median(getattr(each, what) for each in rounds):.1f} s"
            for what in ("starts", "ends")
            for rounds in (ours, plain)
        ),
    )


def _round(installation: HelmInstallation, number: int, *, claims: bool) -> Round:
    """Let pods come and go, each with a claim of its own or with a folder of the node's."""
    name = f"test_times_{next(_ROUND)}"
    with (
        namespace_for(name, installation.cluster, installation.cloud) as at,
        Timeline.watching(at.name) as timeline,
    ):
        names = [f"pod-{ordinal}" for ordinal in range(number)]
        begin = time.monotonic()
        for name in names:
            if claims:
                Pod.create(at, name, mounts={"/data": Claim.create(at, name)})
            else:
                Pod.create(at, name, empty="/data")
        running = _all(at, timeline, "running", number)
        phases = _phases(timeline, _STARTS, begin) if claims else {}
        ending = time.monotonic()
        at.kubectl("delete", "pods,persistentvolumeclaims", "--all", "--wait=false")
        gone = _all(at, timeline, "deleted" if claims else "stopped", number)
        phases |= _phases(timeline, _ENDS, ending) if claims else {}
        return Round(starts=running - begin, ends=gone - ending, phases=phases)


def _moves(installation: HelmInstallation) -> Iterator[str]:
    """Yield how long a pod takes that moves to another node, with its volume and without one."""
    with SecondNode.running(installation) as second:
        plain = [_move(installation, second, with_claim=False) for _ in range(_MOVED)]
        ours = [_move(installation, second, with_claim=True) for _ in range(_MOVED)]
    moved, without = (
        statistics.median(sum(each.values()) for each in found) for found in (ours, plain)
    )
    yield (
        f"A pod that is deleted and runs again on another node does so after {moved:.1f} s, with "
        f"an emptyDir after {without:.1f} s; detach and attach take the cloud "
        f"{2 * LATENCY_SECONDS:.1f} s. Seconds on average:"
    )
    yield ""
    yield from table(
        ("", "seconds"),
        ((name, f"{statistics.fmean(each[name] for each in ours):.2f}") for name in _MOVES),
    )


def _move(
    installation: HelmInstallation, second: SecondNode, *, with_claim: bool
) -> Mapping[str, float]:
    """Delete a pod and make it again on another node, as the controller of a StatefulSet does."""
    with (
        namespace_for(f"test_moves_{next(_ROUND)}", installation.cluster, installation.cloud) as at,
        Timeline.watching(at.name) as timeline,
    ):
        claims = {"/data": Claim.create(at, "pod")} if with_claim else {}
        empty = "" if with_claim else "/data"
        Pod.create(at, "pod", mounts=claims, empty=empty, node=NODE_NAME)
        _all(at, timeline, "running", 1)
        begin = time.monotonic()
        at.kubectl("delete", "pod", "pod", "--wait=false")
        _all(at, timeline, "ending", 1)
        timeline.begin_again()
        _all(at, timeline, "stopped", 1)
        Pod.create(at, "pod", mounts=claims, empty=empty, node=second.name)
        running = _all(at, timeline, "running", 1)
        return _phases(timeline, _MOVES, begin) if with_claim else {"all": running - begin}


def _all(at: Namespace, timeline: Timeline, moment: str, number: int) -> float:
    """Return when the last pod reached a moment."""
    at.wait(lambda: len(timeline.times(moment)) == number, moment, seconds=_PATIENCE_SECONDS)
    return max(timeline.times(moment).values())


def _phases(
    timeline: Timeline, phases: Mapping[str, tuple[str, str]], begin: float
) -> dict[str, float]:
    return {
        name: statistics.fmean(
            end - (timeline.times(first)[pod] if first else begin)
            for pod, end in timeline.times(last).items()
        )
        for name, (first, last) in phases.items()
    }


def _calls(installation: HelmInstallation) -> Iterator[tuple[str, ...]]:
    seconds: dict[str, list[float]] = {}
    for component in ("controller", "node"):
        for pod in installation.pods(component):
            name = pod.text("metadata", "name")
            log = installation.system.kubectl("logs", name, "--container=csi-exoblock")
            for took, rpc in _ENDED.findall(log):
                seconds.setdefault(rpc, []).append(float(took))
    for rpc in _RPCS:
        cloud = f"{LATENCY_SECONDS:.2f}" if not rpc.startswith("Node") else ""
        yield rpc, f"{statistics.fmean(seconds.get(rpc, [0.0])):.3f}", cloud
