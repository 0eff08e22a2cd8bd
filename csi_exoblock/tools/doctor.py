"""`csi-exoblock doctor`: finds the faults of an installation, each with a remedy (N11).

It changes nothing. A check that lacks a right is reported as not checked, which is no fault.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from csi_exoblock.errors import ApiDenied, DriverError, KubernetesDenied
from csi_exoblock.escaping import printable
from csi_exoblock.kubernetes.access import Right
from csi_exoblock.tools.tables import Draw, Row, plain


class Verdict(StrEnum):
    """The result of a check."""

    WELL = "well"
    WRONG = "wrong"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report.

    Attributes:
        check: The subject, in one or two words.
        says: The observation.
        remedy: What to do, empty if nothing is wrong.
    """

    check: str
    verdict: Verdict
    says: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A question to the installation.

    Attributes:
        findings: Yields them; raises DriverError or OSError if the question can't be answered.
        remedy: What to do in that case.
        if_denied: What to do if it is the API that refuses the key; else as always.
        needs: The rights in Kubernetes without which the question can't be asked.
    """

    name: str
    findings: Callable[[], Iterable[Finding]]
    remedy: str = "make it answer, then run this command again"
    if_denied: str = ""
    needs: tuple[Right, ...] = ()


def run(checks: Sequence[Check]) -> tuple[Finding, ...]:
    """Run all checks, one after the other.

    A check that fails as an earlier one did is not checked: the cause is told once.
    """
    failed: dict[str, str] = {}
    return tuple(finding for check in checks for finding in _findings_of(check, failed))


def is_well(findings: Sequence[Finding]) -> bool:
    """Return whether no finding needs action."""
    return all(each.verdict is not Verdict.WRONG for each in findings)


def as_text(
    findings: Sequence[Finding], *, verbose: bool, unseen: str = "", draw: Draw = plain
) -> str:
    """Return each finding, and a last line with the numbers.

    Args:
        verbose: Whether to show passed checks too.
        unseen: What to say in the last line of what no check sees.
        draw: How to draw the findings; `plain` stands for a line for each.
    """
    counts = {verdict: sum(each.verdict is verdict for each in findings) for verdict in Verdict}
    shown = (each for each in findings if verbose or each.verdict is not Verdict.WELL)
    total = (
        f"{counts[Verdict.WRONG]} wrong, {counts[Verdict.NOT_CHECKED]} not checked, "
        f"{counts[Verdict.WELL]} well{unseen and f'; {unseen}'}"
    )
    if draw is plain:
        return "\n".join([*map(_line, shown), total])
    rows = [
        Row(
            (each.verdict.upper(), each.check, each.says, each.remedy),
            each.verdict is Verdict.WRONG,
        )
        for each in shown
    ]
    return "\n".join([draw(("", "CHECK", "FOUND", "DO"), rows), total] if rows else [total])


def as_json(findings: Sequence[Finding]) -> str:
    """Return all findings as JSON, passed checks too."""
    return json.dumps(as_values(findings), indent=2)


def as_values(findings: Sequence[Finding]) -> object:
    """Return all findings as values of JSON."""
    return {"findings": [asdict(each) for each in findings]}


def well(check: str, says: str) -> Finding:
    """Return the finding of a passed check."""
    return Finding(check=check, verdict=Verdict.WELL, says=says)


def wrong(check: str, says: str, remedy: str) -> Finding:
    """Return the finding of a fault."""
    return Finding(check=check, verdict=Verdict.WRONG, says=says, remedy=remedy)


def not_checked(check: str, says: str, remedy: str = "") -> Finding:
    """Return the finding of a check that could not be made."""
    return Finding(check=check, verdict=Verdict.NOT_CHECKED, says=says, remedy=remedy)


def _findings_of(check: Check, failed: dict[str, str]) -> Iterator[Finding]:
    """Run a check, and remember its error with its name."""
    try:
        yield from check.findings()
    except KubernetesDenied as error:
        yield not_checked(check.name, str(error), "use a kubeconfig that may read it")
    except (DriverError, OSError) as error:  # of the host's files anything can be unreadable
        first = failed.setdefault(str(error), check.name)
        if first == check.name:
            remedy = check.if_denied if isinstance(error, ApiDenied) else ""
            yield wrong(check.name, str(error), remedy or check.remedy)
        else:
            yield not_checked(check.name, f"it fails as {first} does")


def _line(finding: Finding) -> str:
    remedy = f"; {finding.remedy}" if finding.remedy else ""
    return printable(f"{finding.verdict.upper()}  {finding.check}: {finding.says}{remedy}")
