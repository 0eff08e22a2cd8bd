"""The page of soaks: a section for each run, with its figures and its picture."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figures import table
from tests.bench.report import Conditions
from tests.soak.journal import Event
from tests.soak.judgement import Verdict, halves
from tests.soak.pictures import picture
from tests.soak.samples import Sample

_HEAD = """# Soaks

Made by `make soak`: the chart on two real nodes, claims that come, move, grow, are copied and go,
and everything that can go wrong meanwhile. What comes after the warm-up is halved, and each figure
of the second half compared with that of the first: how, is in `tests/soak/judgement.py`.
"""
_EVENTS_SHOWN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run that is over.

    Attributes:
        wanted_hours: What it was to take; `hours` is less if it was interrupted.
        findings: What is not as it must be; none if all is well.
    """

    conditions: Conditions
    seed: int
    wanted_hours: float
    hours: float
    samples: Sequence[Sample]
    actions: Counter[str]
    troubles: Sequence[Event]
    verdicts: Sequence[Verdict]
    findings: Sequence[str]

    @property
    def title(self) -> str:
        """What its section is called."""
        outcome = "not as it must be" if self.findings else "all is well"
        return f"{self.conditions.date}, {self.hours:.1f} h, seed {self.seed}: {outcome}"


def append(run: Run, page: Path) -> None:
    """Add a section to the page, and its picture beside it."""
    _write(run, page, f"{page.stem}-{time.strftime('%Y%m%d-%H%M%S')}-{run.seed}.svg")


def replace(run: Run, page: Path) -> None:
    """Make a page of one section and its picture, in the place of an earlier one."""
    page.unlink(missing_ok=True)
    _write(run, page, f"{page.stem}.svg")


def _write(run: Run, page: Path, name: str) -> None:
    page.parent.mkdir(parents=True, exist_ok=True)
    if run.samples:
        page.with_name(name).write_text(picture(run.samples, run.troubles, f"Soak, {run.title}"))
    before = page.read_text() if page.exists() else _HEAD
    page.write_text(before + "\n" + "\n".join(section(run, name)).rstrip() + "\n")


def section(run: Run, drawn: str) -> Iterator[str]:
    """Write the section of a run.

    Args:
        drawn: The file name of its picture.
    """
    seen = run.conditions
    yield f"## {run.title}"
    yield ""
    yield (
        f"Commit {seen.commit}, {seen.machine}, Linux {seen.kernel}, load before {seen.load}. "
        f"{run.hours:.2f} of {run.wanted_hours:g} h, {len(run.samples)} samples. Again: "
        f"`make soak HOURS={run.wanted_hours:g} SEED={run.seed}`; the order of threads differs."
    )
    yield ""
    if run.findings:
        yield from (f"- {each}" for each in run.findings)
        yield ""
    if run.samples:
        yield f"![What was seen over time]({drawn})"
        yield ""
    yield from _verdicts(run.verdicts)
    yield from _counts("done by users", run.actions, run.hours)
    troubles = Counter(each.what for each in run.troubles)
    yield from _counts("went wrong on purpose", troubles, run.hours)
    yield from _calls(run.samples)
    yield from _events(run.samples)


def _verdicts(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Yield the verdicts; of processes of a kind, the one that rose most stands for all."""
    if not verdicts:
        yield "The run was too short to judge whether anything is flat."
        yield ""
        return
    kinds: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in verdicts:
        kinds.setdefault((verdict.whose.partition(" ")[0], verdict.what), []).append(verdict)
    yield from table(
        ("", "early", "late", "may rise by", ""),
        (_row(whose, judged) for (whose, _), judged in kinds.items()),
    )


def _row(whose: str, judged: Sequence[Verdict]) -> tuple[str, ...]:
    worst = max(judged, key=lambda each: each.beyond)
    of_all = f", the worst of {len(judged)}" if len(judged) > 1 else ""
    return (
        f"{whose}: {worst.what}{of_all}" if whose else worst.what,
        f"{worst.early:.1f} {worst.unit}".strip(),
        f"{worst.late:.1f} {worst.unit}".strip(),
        f"{worst.allowed:.1f}",
        "flat" if worst.is_flat else "**not flat**",
    )


def _counts(head: str, counts: Counter[str], hours: float) -> Iterator[str]:
    rows = [(what, count, f"{count / hours:.0f}") for what, count in counts.most_common()]
    yield from table((head, "times", "an hour"), rows) if rows else ()


def _calls(samples: Sequence[Sample]) -> Iterator[str]:
    """Yield the calls an hour of each operation, in both halves, and those that were disturbed."""
    early, late = halves(samples)
    if not early or early[-1].hours <= 0 or late[-1].hours <= early[-1].hours:
        return
    hours = (early[-1].hours, late[-1].hours - early[-1].hours)
    calls = [sum((Counter(each.calls) for each in half), Counter()) for half in (early, late)]
    disturbed = [sum(each.disturbed for each in half) for half in (early, late)]
    operations = sorted({*calls[0], *calls[1]})
    rows = [(name, calls[0][name], calls[1][name]) for name in operations]
    rows.append(("refused or dropped", disturbed[0], disturbed[1]))
    yield from table(
        ("calls of the API an hour", "first half", "second half"),
        ((name, f"{a / hours[0]:.0f}", f"{b / hours[1]:.0f}") for name, a, b in rows),
    )


def _events(samples: Sequence[Sample]) -> Iterator[str]:
    halved = [sum((Counter(each.events) for each in half), Counter()) for half in halves(samples)]
    most = (halved[0] + halved[1]).most_common(_EVENTS_SHOWN)
    rows = [(what, halved[0][what], halved[1][what]) for what, _ in most]
    yield from table(("events of Kubernetes", "first half", "second half"), rows) if rows else ()
    if samples:
        changes = samples[-1].lease_changes - samples[0].lease_changes
        yield f"{samples[-1].leases} leases, which changed hands {changes} times."
        yield ""
