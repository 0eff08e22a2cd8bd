"""Every break of the catalogue can be made: its code stands there once, and the result compiles."""

from __future__ import annotations

import ast
import re
from collections import Counter

import pytest

from tests.mutants.breaks import REPOSITORY, Break, all_breaks

pytestmark = pytest.mark.fast

BREAKS = all_breaks()

# Rules of D, S and C that the driver's code can't violate, and why not.
WITHOUT_A_BREAK: dict[str, str] = {}

_RULE = re.compile(r"[DSCFN]\d+")


@pytest.mark.parametrize("broken", BREAKS, ids=lambda each: each.name)
def test_break_can_be_made(broken: Break) -> None:
    source = (REPOSITORY / "csi_exoblock" / broken.file).read_text()

    made = broken.applied_to(source)

    assert ast.dump(ast.parse(made)) != ast.dump(ast.parse(source))


@pytest.mark.parametrize("broken", BREAKS, ids=lambda each: each.name)
def test_break_names_tests_and_rules_that_exist(broken: Break) -> None:
    known = (REPOSITORY / "docs" / "requirements.md").read_text()

    assert broken.tests
    for test in broken.tests:
        path, _, name = test.partition("::")
        text = (REPOSITORY / path).read_text() if path.endswith(".py") else ""
        assert (REPOSITORY / path).exists()
        assert f"def {name.partition('[')[0]}(" in text or not name
    for rule in _RULE.findall(broken.rules):
        assert re.search(rf"\b{rule}\b", known), f"{rule} is no requirement"


def test_names_are_unique() -> None:
    assert [
        name for name, times in Counter(each.name for each in BREAKS).items() if times > 1
    ] == []


def test_every_rule_about_data_workloads_and_cost_has_a_break() -> None:
    """Data loss, stuck workloads, cost: a rule that no break violates may have no test at all."""
    known = (REPOSITORY / "docs" / "requirements.md").read_text()
    rules = set(re.findall(r"^### ([DSC]\d+) ", known, re.MULTILINE))
    broken = {rule for each in BREAKS if not each.equivalent for rule in _RULE.findall(each.rules)}

    assert rules - broken == set(WITHOUT_A_BREAK)
