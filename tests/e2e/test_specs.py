"""A run of Kubernetes' tests counts only if each spec passed that is not on the list."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.specs import Absences, Spec, breaches, merged, read_report, strangers, table

pytestmark = pytest.mark.fast

FAMILY = "External Storage [Driver: exoblock.csi.exoscale.com]"
PATTERN = "[Testpattern: Dynamic PV (ext4)]"
LISTED = Absences(
    left_out={"it wants a second node": [f"{FAMILY} {PATTERN} volumes moves [Serial]"]},
    own={"the cloud can't": [f"{FAMILY} {PATTERN} volume-expand online"]},
)


def report(*leaves: str, state: str = "passed", message: str = "") -> list[dict[str, Any]]:
    return [
        {
            "ContainerHierarchyTexts": [FAMILY, f"{PATTERN} {leaf.partition(' ')[0]}"],
            "LeafNodeText": leaf.partition(" ")[2],
            "State": state,
            "RunTime": 2_500_000_000,
            "Failure": {"Message": message},
        }
        for leaf in leaves
    ]


def specs(tmp_path: Path, *reports: list[dict[str, Any]]) -> tuple[Spec, ...]:
    path = tmp_path / "report.json"
    found = [each for reports_of_a_state in reports for each in reports_of_a_state]
    path.write_text(json.dumps([{"SpecReports": [*found, _of_another_suite()]}]))
    return read_report(path)


def _of_another_suite() -> dict[str, Any]:
    return {
        "ContainerHierarchyTexts": ["[sig-network] DNS"],
        "LeafNodeText": "",
        "State": "skipped",
        "RunTime": 0,
    }


AS_LISTED = (
    report("volumes moves [Serial]", state="skipped"),
    report("volume-expand online", state="skipped", message="it can not"),
)


def told(found: tuple[Spec, ...]) -> list[str]:
    return [line.partition(":")[0] for line in breaches(found, LISTED)]


def test_run_in_which_all_others_passed_is_good(tmp_path: Path) -> None:
    assert told(specs(tmp_path, report("volumes store data"), *AS_LISTED)) == []


@pytest.mark.parametrize("state", ["failed", "skipped", "pending", "panicked", "timedout"])
def test_spec_that_is_not_listed_must_have_passed(tmp_path: Path, state: str) -> None:
    found = specs(tmp_path, report("volumes store data", state=state), *AS_LISTED)

    assert told(found) == [f"{state}, not passed"]


def test_spec_that_is_listed_must_not_have_run(tmp_path: Path) -> None:
    ran = report("volumes moves [Serial]", "volume-expand online")

    assert told(specs(tmp_path, ran)) == ["passed, not skipped"] * 2


def test_spec_that_should_skip_itself_must_have_begun(tmp_path: Path) -> None:
    found = specs(
        tmp_path, report("volumes moves [Serial]", "volume-expand online", state="skipped")
    )

    assert told(found) == ["never begun, though only expected to skip itself"]


def test_list_names_no_spec_that_does_not_exist(tmp_path: Path) -> None:
    assert list(strangers(specs(tmp_path, *AS_LISTED), LISTED)) == []

    (line,) = strangers(specs(tmp_path, AS_LISTED[0]), LISTED)
    assert line.endswith("volume-expand online")


def test_spec_counts_from_the_run_that_it_was_in(tmp_path: Path) -> None:
    here = specs(tmp_path, report("topology fits"), report("topology conflicts", state="skipped"))
    there = specs(tmp_path, report("topology fits", state="skipped"), report("topology conflicts"))

    assert [spec.state for spec in merged(here, there)] == ["passed", "passed"]
    assert [spec.state for spec in merged(here, here)] == ["passed", "skipped"]


def test_slow_and_serial_specs_are_not_quick(tmp_path: Path) -> None:
    found = specs(tmp_path, report("volumes store data", "volumes crawls [Slow]", "x [Serial]"))

    assert [spec.is_quick for spec in found] == [True, False, False]


def test_failure_of_the_suite_itself_counts(tmp_path: Path) -> None:
    suite = {
        "ContainerHierarchyTexts": None,
        "LeafNodeType": "SynchronizedAfterSuite",
        "LeafNodeText": "",
        "State": "failed",
        "RunTime": 0,
    }

    found = specs(tmp_path, report("volumes store data"), [suite], *AS_LISTED)

    assert told(found) == ["failed, not passed"]
    assert told(merged(specs(tmp_path, *AS_LISTED), found)) == ["failed, not passed"]


def test_empty_report_is_no_success() -> None:
    assert "no spec was found at all" in told(())


def test_table_counts_each_family(tmp_path: Path) -> None:
    found = specs(tmp_path, report("volumes store data", "volumes exec"), *AS_LISTED)

    rows = [line.split() for line in table(found)]

    assert rows[1:] == [
        ["volume-expand", "0", "0", "1", "2"],
        ["volumes", "2", "0", "1", "8"],
        ["all", "2", "0", "2", "10"],
    ]
