"""A series that grows is found, one that only trembles is not; each kind of figure is judged."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.soak.judgement import LEAST_SAMPLES, Rule, compare, judge, unexpected
from tests.soak.samples import Sample, State

pytestmark = pytest.mark.fast

RULE = Rule(what="memory", unit="MiB", quantile=0.5, room=6.0, per_hour=0.25)
LEVEL = Rule(what="threads", unit="", quantile=0.25, room=10.0)
MINUTE = 1 / 60
CONTROLLER = "controller csi-exoblock-controller-a, process 1"


def minutes(number: int, value: Callable[[float], float]) -> list[tuple[float, float]]:
    """Return a point for each minute, its value by the hour."""
    return [(each * MINUTE, value(each * MINUTE)) for each in range(number)]


def is_flat(rule: Rule, points: list[tuple[float, float]]) -> bool:
    verdict = compare(rule, points)
    assert verdict
    return verdict.is_flat


def sample(at: int, **changes: float) -> Sample:
    """Return what is seen in a minute of a run in which all is well, but for the changes."""
    has = {"rss_mib": 80.0, "threads": 30, "files": 40, "processes": 1, "unexpected": 0.0}
    state = {name: changes.get(name, usual) for name, usual in has.items()}
    return Sample(
        hours=at * MINUTE,
        states={
            CONTROLLER: State(
                rss_mib=state["rss_mib"],
                threads=int(state["threads"]),
                files=int(state["files"]),
                processes=int(state["processes"]),
                unexpected=state["unexpected"],
                background=0.0,
            )
        },
        mounts=100,
        volume_mounts=16 + int(changes.get("mounts", 0)),
        loop_devices=8 + int(changes.get("loop_devices", 0)),
        attached=8,
        leases=5 + int(changes.get("leases", 0)),
        lease_changes=0,
        actions=5 * at,
        calls={"list-block-storage-volumes": 40 + int(changes.get("calls", 0))},
        disturbed=0,
        events={},
    )


def test_a_leak_is_found_though_the_figure_trembles() -> None:
    chance = random.Random(1)

    leaking = minutes(240, lambda hour: 80 + 5 * hour + chance.uniform(-2, 2))

    assert not is_flat(RULE, leaking)


@pytest.mark.parametrize("seed", range(20))
def test_a_figure_that_only_trembles_is_flat(seed: int) -> None:
    chance = random.Random(seed)

    trembling = minutes(240, lambda hour: 80 + chance.uniform(-4, 4))

    assert is_flat(RULE, trembling)


def test_caches_that_fill_in_the_first_twenty_minutes_are_no_leak() -> None:
    filling = minutes(240, lambda hour: 60 + min(hour, 1 / 3) * 90)

    assert is_flat(RULE, filling)


def test_bursts_are_no_leak_if_the_level_comes_back() -> None:
    bursts = minutes(240, lambda hour: 130 if hour > 2 and int(hour * 60) % 3 == 0 else 30)

    assert is_flat(LEVEL, bursts)


def test_a_level_that_does_not_come_back_is_found() -> None:
    staying = minutes(240, lambda hour: 30 if hour < 2 else 45)

    assert not is_flat(LEVEL, staying)


def test_growth_that_is_allowed_an_hour_is_allowed_for_each_hour() -> None:
    assert is_flat(RULE, minutes(72 * 60, lambda hour: 80 + 0.3 * hour))
    assert not is_flat(RULE, minutes(72 * 60, lambda hour: 80 + 0.6 * hour))


def test_too_few_samples_are_not_judged() -> None:
    assert compare(RULE, minutes(LEAST_SAMPLES, lambda hour: 80)) is None
    assert compare(RULE, []) is None


def test_a_run_in_which_all_is_well_is_flat() -> None:
    verdicts = judge([sample(at) for at in range(120)])

    assert {each.what for each in verdicts} >= {"memory", "threads", "open files", "leases"}
    assert [str(each) for each in verdicts if not each.is_flat] == []


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("rss_mib", "memory"),
        ("threads", "threads"),
        ("files", "open files"),
        ("processes", "processes in its container"),
        ("mounts", "mounts beyond two for each attached volume"),
        ("loop_devices", "loop devices beyond attached volumes"),
        ("leases", "leases"),
        ("calls", "calls of the API for each action"),
    ],
)
def test_what_grows_is_named(what: str, found: str) -> None:
    usual = {"rss_mib": 80.0, "threads": 30.0, "files": 40.0, "processes": 1.0}

    verdicts = judge([sample(at, **{what: usual.get(what, 0.0) + at}) for at in range(120)])

    assert [each.what for each in verdicts if not each.is_flat] == [found]


def test_a_new_process_begins_at_its_own_level() -> None:
    """The second controller is larger than the one that was killed, and neither grows."""
    first = [sample(at) for at in range(60)]
    second = [
        replace(each, states={"controller another": each.states[CONTROLLER]})
        for each in (sample(at, rss_mib=120) for at in range(60, 120))
    ]

    memory = [each for each in judge([*first, *second]) if each.what == "memory"]

    assert len(memory) == 2
    assert all(each.is_flat for each in memory)


def test_an_exception_that_no_rule_foresaw_is_named() -> None:
    samples = [sample(at, unexpected=1.0 if at > 30 else 0.0) for at in range(60)]

    (found,) = unexpected(samples)

    assert CONTROLLER in found
