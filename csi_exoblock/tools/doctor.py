"""`csi-exoblock doctor`: what is wrong with an installation, and what to do about it (N11).

Read-only. A check is a name and a function that yields findings; what can't be asked is no fault.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from csi_exoblock.errors import DriverError, KubernetesDenied
from csi_exoblock.escaping import printable


class Verdict(StrEnum):
    """What a check found."""

    WELL = "well"
    WRONG = "wrong"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report.

    Attributes:
        check: What was looked at, in one or two words.
        says: What was seen.
        remedy: What to do, empty where nothing is wrong.
    """

    check: str
    verdict: Verdict
    says: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """Something that can be wrong.

    Attributes:
        look: Yields what it finds; may raise DriverError where it can't look.
        remedy: What to do if it can't look.
    """

    name: str
    look: Callable[[], Iterable[Finding]]
    remedy: str = "make it answer, then run this again"


def run(checks: Sequence[Check]) -> tuple[Finding, ...]:
    """Make all checks, one after the other."""
    return tuple(finding for check in checks for finding in _made(check))


def is_well(findings: Sequence[Finding]) -> bool:
    """Return whether nothing needs to be done."""
    return all(each.verdict is not Verdict.WRONG for each in findings)


def as_text(findings: Sequence[Finding], *, verbose: bool) -> str:
    """Return what is wrong with its remedies, and a last line that sums up.

    Args:
        verbose: Whether to show what is well too.
    """
    counts = {verdict: sum(each.verdict is verdict for each in findings) for verdict in Verdict}
    shown = (each for each in findings if verbose or each.verdict is not Verdict.WELL)
    total = (
        f"{counts[Verdict.WRONG]} wrong, {counts[Verdict.NOT_CHECKED]} not checked, "
        f"{counts[Verdict.WELL]} well"
    )
    return "\n".join([*map(_line, shown), total])


def as_json(findings: Sequence[Finding]) -> str:
    """Return the same for programs, with what is well."""
    return json.dumps({"findings": [asdict(each) for each in findings]}, indent=2)


def well(check: str, says: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(check=check, verdict=Verdict.WELL, says=says)


def wrong(check: str, says: str, remedy: str) -> Finding:
    """Return that something is wrong."""
    return Finding(check=check, verdict=Verdict.WRONG, says=says, remedy=remedy)


def not_checked(check: str, says: str, remedy: str = "") -> Finding:
    """Return that something could not be looked at."""
    return Finding(check=check, verdict=Verdict.NOT_CHECKED, says=says, remedy=remedy)


def _made(check: Check) -> Iterator[Finding]:
    try:
        yield from check.look()
    except KubernetesDenied as error:
        yield not_checked(check.name, str(error), "use a kubeconfig that may read it")
    except DriverError as error:
        yield wrong(check.name, str(error), check.remedy)


def _line(finding: Finding) -> str:
    remedy = f"; {finding.remedy}" if finding.remedy else ""
    return printable(f"{finding.verdict.upper()}  {finding.check}: {finding.says}{remedy}")
