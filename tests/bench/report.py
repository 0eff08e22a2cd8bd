"""The report of a run: one JSON file, one page of Markdown, and pictures."""

from __future__ import annotations

import json
import os
import pathlib
import platform
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from tests.bench.figures import Goal, table
from tests.bench.misses import missed

_DRAWN = frozenset({"typical", "shown"})


class Section(Protocol):
    """What one section found: a dataclass of plain values."""

    def goals(self) -> Iterator[Goal]:
        """Hold the figures against what was promised."""

    def markdown(self) -> Iterator[str]:
        """Describe what was found."""

    def pictures(self) -> Mapping[str, str]:
        """Draw what is worth a picture, by file name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """On what, when and of what a run was made.

    Attributes:
        load: The load average of a minute before the run: the busier, the less the figures say.
    """

    date: str
    commit: str
    machine: str
    kernel: str
    python: str
    load: float

    @classmethod
    def now(cls) -> Conditions:
        """Read them."""
        return cls(
            date=time.strftime("%Y-%m-%d"),
            commit=_commit(),
            machine=f"{_processor()}, {os.cpu_count()} cores, {_memory_gib():.0f} GiB",
            kernel=platform.release(),
            python=platform.python_version(),
            load=round(os.getloadavg()[0], 1),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that a run found.

    Attributes:
        skipped: Why this machine can't measure some sections, by their names.
        failed: Why others could not be measured.
    """

    conditions: Conditions
    sections: Mapping[str, Section]
    skipped: Mapping[str, str]
    failed: Mapping[str, str]
    seconds: float

    def goals(self) -> list[Goal]:
        """Return everything that was promised of what was measured."""
        return [goal for section in self.sections.values() for goal in section.goals()]

    def write(self, folder: pathlib.Path) -> None:
        """Write `benchmarks.json`, `benchmarks.md` and the pictures."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "benchmarks.json").write_text(json.dumps(self.as_json(), indent=1) + "\n")
        (folder / "benchmarks.md").write_text("\n".join(self.markdown()) + "\n")
        for section in self.sections.values():
            for name, picture in section.pictures().items():
                (folder / name).write_text(picture)

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {
            "conditions": asdict(self.conditions),
            "seconds": round(self.seconds),
            "goals": [asdict(goal) for goal in self.goals()],
            "skipped": dict(self.skipped),
            "failed": dict(self.failed),
            "sections": {
                name: _plain(asdict(section))  # type: ignore[call-overload]  # each is a dataclass
                for name, section in self.sections.items()
            },
        }

    def markdown(self) -> Iterator[str]:
        """Write the page."""
        seen = self.conditions
        yield "# Benchmarks"
        yield ""
        yield (
            "Made by `make bench`: the real driver, started as a process, against the simulated "
            "cloud, on this machine alone. Other machines differ, so it is the ratios that count."
        )
        yield ""
        yield (
            f"{seen.date}, commit {seen.commit}, {seen.machine}, Linux {seen.kernel}, "
            f"Python {seen.python}; {self.seconds / 60:.0f} minutes, load before {seen.load}."
        )
        yield ""
        missing = {**self.skipped, **self.failed}
        yield from (f"Not measured: {name}, for {why}.\n" for name, why in missing.items())
        yield "## What was promised"
        yield ""
        yield from table(
            ("what", "must", "is", ""),
            (
                (goal.what, goal.must, goal.found, "met" if goal.met else "**missed**")
                for goal in self.goals()
            ),
        )
        for goal, reason in missed(self.goals()):
            yield f"Missed: {goal.what}: {reason or 'nobody knows why'}."
            yield ""
        for section in self.sections.values():
            yield from section.markdown()


def _plain(value: Any) -> Any:
    """Return figures without decimals that mean nothing, and without what the pictures show."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items() if key not in _DRAWN}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return round(value, 6) if isinstance(value, float) else value


def _commit() -> str:
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude=*"],
            cwd=pathlib.Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()


def _processor() -> str:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
