"""What became of each spec of the tests, held against the list of those that may be left out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

SUITE: Final = "External Storage"
"""What the names of the specs begin with that a driver's description makes."""

_SLOW = ("[Slow]", "[Serial]", "[Disruptive]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One spec, as ginkgo's report tells of it.

    Attributes:
        message: Why it failed, or why it skipped itself; empty of one that was left out.
    """

    name: str
    state: str
    seconds: float
    message: str

    @property
    def ended_well(self) -> bool:
        """Whether it has passed, or was never to run."""
        return self.state in {"passed", "skipped", "pending"}

    @property
    def is_quick(self) -> bool:
        """Whether Kubernetes counts it among those that every change is tested with."""
        return not any(tag in self.name for tag in _SLOW)

    @property
    def subject(self) -> str:
        """The family of specs that it belongs to, such as `volume-expand`."""
        return self.name.partition("] ")[2].partition("] ")[2].partition(" ")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Absences:
    """The specs that do not run, by reason.

    Attributes:
        left_out: What can't be run here; the runner does not begin it.
        own: What begins and then finds that it does not apply to this driver.
    """

    left_out: Mapping[str, Sequence[str]]
    own: Mapping[str, Sequence[str]]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the frozen list."""
        found: dict[str, dict[str, list[str]]] = json.loads(path.read_text())
        return cls(left_out=found["left out"], own=found["skip themselves"])

    def names_left_out(self) -> list[str]:
        """Return the names of all that are not begun."""
        return [name for names in self.left_out.values() for name in names]

    def names_own(self) -> list[str]:
        """Return the names of all that skip themselves."""
        return [name for names in self.own.values() for name in names]


def read_report(path: Path) -> tuple[Spec, ...]:
    """Read the storage specs from ginkgo's report in JSON, and whatever else failed."""
    found = (
        _parse(report) for suite in json.loads(path.read_text()) for report in suite["SpecReports"]
    )
    return tuple(spec for spec in found if spec.name.startswith(SUITE) or not spec.ended_well)


def merged(specs: Sequence[Spec], others: Sequence[Spec]) -> tuple[Spec, ...]:
    """Return what became of each spec in two runs that shared them out between them."""
    ran = {spec.name: spec for spec in others if spec.state != "skipped"}
    beside = set(ran) - {spec.name for spec in specs}
    return (*(ran.get(spec.name, spec) for spec in specs), *(ran[name] for name in sorted(beside)))


def breaches(specs: Sequence[Spec], absences: Absences) -> Iterator[str]:
    """Yield each way in which a run was not what it should have been, as a line to print."""
    left_out, own = set(absences.names_left_out()), set(absences.names_own())
    if not specs:
        yield "no spec was found at all"
    for spec in specs:
        wanted = "skipped" if spec.name in left_out | own else "passed"
        if spec.state != wanted:
            yield f"{spec.state}, not {wanted}: {spec.name}: {spec.message}"
        elif spec.name in own and not spec.message:
            yield f"never begun, though only expected to skip itself: {spec.name}"


def strangers(specs: Sequence[Spec], absences: Absences) -> Iterator[str]:
    """Yield each name on the list that no spec has, as a line to print."""
    names = {*absences.names_left_out(), *absences.names_own()}
    for name in sorted(names - {spec.name for spec in specs}):
        yield f"on the list, but there is no such spec: {name}"


def table(specs: Sequence[Spec]) -> Iterator[str]:
    """Yield lines that say for each family how many specs passed, and how long they took."""
    yield f"{'':24}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}"
    for subject in sorted({spec.subject for spec in specs}):
        yield _row(subject, [spec for spec in specs if spec.subject == subject])
    yield _row("all", specs)


def _row(title: str, specs: Sequence[Spec]) -> str:
    passed = sum(spec.state == "passed" for spec in specs)
    skipped = sum(spec.state == "skipped" for spec in specs)
    seconds = sum(spec.seconds for spec in specs)
    return f"{title:24}{passed:8}{len(specs) - passed - skipped:8}{skipped:9}{seconds:9.0f}"


def _parse(report: Mapping[str, Any]) -> Spec:
    texts = report["ContainerHierarchyTexts"] or [report["LeafNodeType"]]
    return Spec(
        name=" ".join([*texts, report["LeafNodeText"]]),
        state=report["State"],
        seconds=report["RunTime"] / 1e9,
        message=report.get("Failure", {}).get("Message", ""),
    )
