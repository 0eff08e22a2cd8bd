"""The pictures of docs/ are those that `make docs` draws."""

from __future__ import annotations

import pytest

from tests.repository.pictures import DOCS, PICTURES, svg

pytestmark = pytest.mark.fast


@pytest.mark.parametrize("name", PICTURES)
def test_picture_is_current(name: str) -> None:
    assert (DOCS / name).read_text() == svg(PICTURES[name])


@pytest.mark.parametrize("name", PICTURES)
def test_picture_is_on_a_page(name: str) -> None:
    assert f"]({name})" in (DOCS / name).with_suffix(".md").read_text()
