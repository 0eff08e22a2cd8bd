"""Every break of the catalogue can be made: its code stands there once, and the result compiles."""

from __future__ import annotations

import ast
import re
from collections import Counter

import pytest

from tests.mutants.breaks import REPOSITORY, Break, all_breaks

pytestmark = pytest.mark.fast

BREAKS = all_breaks()


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
    for rule in re.findall(r"[DSCFN]\d+", broken.rules):
        assert re.search(rf"\b{rule}\b", known), f"{rule} is no requirement"


def test_names_are_unique() -> None:
    assert [
        name for name, times in Counter(each.name for each in BREAKS).items() if times > 1
    ] == []
