"""What the tests share: one release, made once, and what its image holds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.release.contents import Contents
from tests.release.rehearsal import OUT, Rehearsal

_TEST_SECONDS = 1800  # the first test waits for the programs and for the image to be built


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests the time that building takes."""
    for item in items:
        item.add_marker(pytest.mark.timeout(_TEST_SECONDS))


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """A release that was built, published and signed."""
    rehearsal = Rehearsal(tmp_path_factory.mktemp("release"))
    try:
        rehearsal.start()
        rehearsal.release()
        yield rehearsal
    finally:
        rehearsal.stop()


@pytest.fixture(scope="session")
def contents(release: Rehearsal) -> Contents:
    """What the image holds."""
    return Contents(OUT / "image")
