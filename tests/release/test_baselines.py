"""What an upgrade from an earlier release relies on is still there (F5).

A release leaves its chart's manifests in tests/chart/releases, where tests/chart compares them with
today's, and what its image holds in tests/release/baselines. `GOLDEN=write make release-rehearsal`
writes both for the version that comes next.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import csi_exoblock
from tests.chart.rendered import rendered
from tests.release.contents import Contents

_BASELINES = Path(__file__).parent / "baselines"
_MANIFESTS = Path(__file__).parents[1] / "chart" / "releases"
_VERSION = csi_exoblock.__version__
# Not compared: what only our own code asks for.
_OWN = ("python ", "0644 ")


def test_next_release_leaves_its_baselines(contents: Contents) -> None:  # F5
    _keep(_BASELINES / f"{_VERSION}.txt", contents.listing())
    _keep(_MANIFESTS / f"{_VERSION}.yaml", rendered())


@pytest.mark.parametrize("baseline", sorted(_BASELINES.glob("*.txt")), ids=lambda path: path.stem)
def test_image_starts_and_makes_file_systems_as_it_did_in(
    baseline: Path, contents: Contents
) -> None:  # F5, S17
    before = baseline.read_text().splitlines()
    relied_on = {line for line in before if not line.startswith(_OWN)}

    assert relied_on
    assert relied_on <= set(contents.listing().splitlines())


def _keep(baseline: Path, text: str) -> None:
    """Compare a baseline with what is released, or write it where that is asked for."""
    if os.environ.get("GOLDEN") == "write":
        baseline.write_text(text)
    assert baseline.read_text() == text, f"GOLDEN=write make release-rehearsal writes {baseline}"
