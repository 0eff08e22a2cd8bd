"""The Makefile has every target that people and CI are told to make, and each one once."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

_ROOT = Path(__file__).parents[2]
_MAKEFILE = (_ROOT / "Makefile").read_text()


def test_no_target_is_defined_twice() -> None:
    defined = Counter(re.findall(r"^([a-z-]+):", _MAKEFILE, re.MULTILINE))

    assert [target for target, times in defined.items() if times > 1] == []


@pytest.mark.parametrize("page", ["README.md", ".ci/run"])
def test_every_target_that_a_page_names_is_defined(page: str) -> None:
    named = re.findall(r"^(?:`)?make ([a-z-]+)", (_ROOT / page).read_text(), re.MULTILINE)

    assert named
    assert set(named) <= set(re.findall(r"^([a-z-]+):", _MAKEFILE, re.MULTILINE))
