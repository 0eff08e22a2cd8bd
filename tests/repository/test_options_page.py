"""The page of options says what the flags are today."""

from __future__ import annotations

import pytest

from tests.repository.options_page import PAGE, WHEN, options, page

pytestmark = pytest.mark.fast


def test_page_is_what_the_flags_say() -> None:
    assert PAGE.read_text() == page(), "run `make docs` and commit docs/options.md"


def test_every_flag_says_when_to_change_it() -> None:
    flags = {flag.opts[0] for section in options().values() for flag in section}

    assert flags - set(WHEN) == set(), "add them to WHEN in tests/repository/options_page.py"
    assert set(WHEN) - flags == set()
