"""Each run adds a section with what a reader needs to judge and repeat it, and its picture."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.bench.report import Conditions
from tests.soak import page as page_of_soaks
from tests.soak.journal import Event
from tests.soak.judgement import judge
from tests.soak.page import Run, append, section
from tests.soak.test_judgement import sample

pytestmark = pytest.mark.fast

CONDITIONS = Conditions(
    date="2026-11-30", commit="abc1234", machine="two cores", kernel="6.1", python="3.11", load=0.3
)


def run(**changes: float) -> Run:
    samples = [sample(at, **changes) for at in range(60)]
    return Run(
        conditions=CONDITIONS,
        seed=7,
        wanted_hours=4,
        hours=1,
        samples=samples,
        actions=Counter(move=90, claim=30),
        troubles=(Event(what="API away", begin=0.2, end=0.21),),
        verdicts=judge(samples),
        findings=(),
    )


def test_section_says_how_to_run_it_once_more_and_that_all_is_well() -> None:
    text = "\n".join(section(run(), "picture.svg"))

    assert "## 2026-11-30, 1.0 h, seed 7: all is well" in text
    assert "Commit abc1234, two cores" in text
    assert "`make soak HOURS=4 SEED=7`" in text
    assert "| move | 90 | 90 |" in text
    assert "| API away | 1 | 1 |" in text
    assert "| list-block-storage-volumes |" in text
    assert "](picture.svg)" in text


def test_section_names_what_is_not_as_it_must_be() -> None:
    lost = replace(run(), findings=("canary c3 is lost",))

    text = "\n".join(section(lost, "picture.svg"))

    assert "seed 7: not as it must be" in text
    assert "- canary c3 is lost" in text


def test_figure_that_is_not_flat_is_marked() -> None:
    samples = [sample(at, rss_mib=80.0 + at) for at in range(60)]

    text = "\n".join(section(replace(run(), verdicts=judge(samples)), "picture.svg"))

    assert text.count("**not flat**") == 1


def test_runs_are_added_under_one_head(tmp_path: Path) -> None:
    page = tmp_path / "build" / "soak.md"

    append(run(), page)
    append(replace(run(), seed=8), page)

    text = page.read_text()
    assert text.count("# Soaks\n") == 1
    assert text.index("seed 7:") < text.index("seed 8:")


def test_what_was_seen_so_far_takes_the_place_of_what_was_before(tmp_path: Path) -> None:
    page = tmp_path / "build" / "so-far.md"

    page_of_soaks.replace(run(), page)
    page_of_soaks.replace(replace(run(), seed=8), page)

    assert "seed 7:" not in page.read_text()
    assert "seed 8:" in page.read_text()
    assert [each.name for each in page.parent.glob("*.svg")] == ["so-far.svg"]


def test_picture_is_drawn_beside_the_page(tmp_path: Path) -> None:
    page = tmp_path / "soak.md"

    append(run(), page)

    (drawn,) = tmp_path.glob("*.svg")
    assert f"]({drawn.name})" in page.read_text()
    words = [each.text for each in ElementTree.fromstring(drawn.read_text()).iter() if each.text]  # noqa: S314 - we drew it
    assert {"memory", "threads", "API away", "calls of the API"} <= set(words)


def test_run_without_a_sample_has_a_section_too(tmp_path: Path) -> None:
    page = tmp_path / "soak.md"

    append(replace(run(), samples=(), verdicts=(), findings=("a thread ended",)), page)

    assert "too short to judge" in page.read_text()
    assert list(tmp_path.glob("*.svg")) == []
