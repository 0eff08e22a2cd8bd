"""Times that vary: drawn by a seed, with stragglers and slow periods, and constant if not asked."""

from __future__ import annotations

import math
import random
import statistics

import pytest

from csi_exoblock.simulator.state.durations import REQUEST, RESIZE, Latencies
from csi_exoblock.simulator.state.resources import Kind
from tests.simulator.client import ZoneClient
from tests.support.simulator_process import SimulatorProcess

COUNT = 4000


def drawn(
    text: str, *, kind: str = Kind.ATTACH, seed: int = 1, seconds: float = 0.0
) -> list[float]:
    """Return many durations, of a cloud started so long ago, whose usual one is a second."""
    latencies = Latencies(seed=seed)
    latencies.set(kind, 1.0)
    latencies.vary_from(text)
    return [latencies.draw(kind, seconds) for _ in range(COUNT)]


@pytest.mark.fast
def test_times_are_constant_if_nothing_else_is_asked() -> None:
    latencies = Latencies(seed=1)

    assert {latencies.draw(Kind.ATTACH, number) for number in range(100)} == {2.0}
    assert latencies.draw(REQUEST, 0.0) == 0.0


@pytest.mark.fast
@pytest.mark.parametrize(
    ("text", "kind", "spread"),
    [
        ("on", Kind.ATTACH, 0.3),
        ("on", REQUEST, 0.3),
        ("spread=0.1", Kind.ATTACH, 0.1),
        ("spread=0.1,attach=0.5", Kind.ATTACH, 0.5),
        ("spread=0.1,attach=0.5", Kind.DETACH, 0.1),
        ("attach=0.5", Kind.DETACH, 0.0),
    ],
)
def test_times_are_spread_by_kind_around_the_usual_one(text: str, kind: str, spread: float) -> None:
    logarithms = [math.log(each) for each in drawn(text, kind=kind)]

    assert statistics.fmean(logarithms) == pytest.approx(0.0, abs=0.05)
    assert statistics.pstdev(logarithms) == pytest.approx(spread, rel=0.05)


@pytest.mark.fast
def test_stragglers_take_ten_times_as_long() -> None:
    times = drawn("stragglers=0.05")

    assert set(times) == {1.0, 10.0}
    assert times.count(10.0) / COUNT == pytest.approx(0.05, rel=0.2)


@pytest.mark.fast
@pytest.mark.parametrize(("seconds", "factor"), [(0, 1), (539, 1), (541, 7), (601, 1), (1199, 7)])
def test_slow_period_comes_again_and_again(seconds: float, factor: float) -> None:
    text = "slow-every=10m,slow-for=1m,slow-times=7"

    assert set(drawn(text, seconds=seconds)) == {factor}


@pytest.mark.fast
def test_seed_repeats_the_times_of_each_kind_whatever_else_is_drawn() -> None:
    latencies, chance = Latencies(seed=1), random.Random(2)
    latencies.set(Kind.ATTACH, 1.0)
    latencies.vary_from("spread=0.3,stragglers=0.1")
    mixed: list[float] = []
    while len(mixed) < COUNT:
        if chance.random() < 0.5:
            latencies.draw(REQUEST, 0.0)
        else:
            mixed.append(latencies.draw(Kind.ATTACH, 0.0))

    assert mixed == drawn("spread=0.3,stragglers=0.1")
    assert mixed != drawn("spread=0.3,stragglers=0.1", seed=2)


@pytest.mark.parametrize("seed", [1, 2])
def test_operations_take_what_was_drawn_and_a_seed_repeats_it(seed: int) -> None:
    scale, latencies = 0.0001, Latencies(0.0001, seed)
    latencies.set_from("1h")
    latencies.vary_from("on")
    planned = [latencies.draw(Kind.CREATE, 0.0) for _ in range(5)]

    flags = ("--local-instance", "none", "--latency", "1h", "--vary", "on", "--seed", str(seed))
    with SimulatorProcess.start(*flags, "--time-scale", str(scale)) as cloud:
        zone = ZoneClient(cloud, cloud.zones[0])
        for _ in planned:
            zone.create_volume()
        zone.close()
        took = [each["seconds"] for each in cloud.operations()]

    assert max(planned) > 1.1 * min(planned)
    late = [each - drawn for each, drawn in zip(took, planned, strict=True)]
    assert min(late) >= -0.001  # it is rounded
    assert max(late) < 60.0  # on a busy machine


def test_requests_can_take_time_too() -> None:
    flags = ("--local-instance", "none", "--latency", "0s")
    with SimulatorProcess.start(*flags) as cloud:
        zone = ZoneClient(cloud, cloud.zones[0])
        cloud.set_latency(REQUEST, 0.2)
        zone.get("quota")
        zone.close()

        assert (cloud.calls()[-1].seconds or 0.0) >= 0.2
        cloud.set_latency("all", 0.0)
        assert cloud.latency(REQUEST) == 0.2  # it is no operation


def test_variation_is_set_while_the_cloud_runs_until_it_is_cleared() -> None:
    with SimulatorProcess.start("--local-instance", "none", "--vary", "spread=0.2") as cloud:
        cloud.vary(spread=0.5, stragglers=0.1, resize=1.0)
        varied = cloud.variation()
        cloud.clear()

        assert (varied["spread"], varied["stragglers"]) == (0.5, 0.1)
        assert varied["spreads"] == {RESIZE: 1.0}
        assert cloud.variation()["spread"] == 0.2
