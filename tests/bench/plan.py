"""How much is measured: all of it in twenty minutes, or just enough to try the harness."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Operations that are waited for.

    Attributes:
        seconds, spread: The median of their times, and the standard deviation of its logarithm.
        learning, rounds: How often `at_once` volumes are created and deleted: to learn, to measure.
        most_late, most_polls: What is promised: percent of an operation's time, and polls of it.
    """

    seconds: float = 2.0
    spread: float
    at_once: int
    learning: int
    rounds: int
    most_late: float
    most_polls: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How often and with how much; the defaults are what `make bench` does.

    Attributes:
        time_scale: Of the drivers whose own time is measured.
        lifecycles: How many lives at each latency of the cloud's operations, in seconds.
        waits: In which clouds the waiting is measured.
        bursts: How many bursts at each latency.
        burst_size, storm_size: Creates at once; claims at once, through the sidecars' workers.
        crowd_size: Volumes that are all expanded at once, or of which all get a snapshot.
        zone_sizes: Volumes that the zone of a burst holds, growing.
        throttled: Claims at once for each limit of API calls a second.
        node_lives, node_lives_watched: Lives of a volume on the node, for each file system, that
            are timed, and that are measured more closely.
        node_crowd, node_crowd_rounds: Volumes at once on one node, and how often.
        node_volumes: After how many volumes the node's memory is read.
        churn_hours, churn_time_scale: How long churn lasts, in the driver's own time.
    """

    time_scale: float = 1.0
    lifecycles: tuple[tuple[float, int], ...] = ((0.05, 25), (0.3, 11), (2.0, 5))
    waits: tuple[Wait, ...] = (
        Wait(spread=0.0, at_once=1, learning=5, rounds=15, most_late=2.0, most_polls=1.3),
        Wait(spread=0.3, at_once=1, learning=5, rounds=40, most_late=10.0, most_polls=4.0),
        Wait(spread=0.3, at_once=100, learning=2, rounds=8, most_late=5.0, most_polls=0.3),
    )
    bursts: tuple[tuple[float, int], ...] = ((0.3, 5), (2.0, 5))
    burst_size: int = 100
    storm_size: int = 500
    crowd_size: int = 500
    zone_of_burst: int = 1000
    zone_sizes: tuple[int, ...] = (0, 1000, 10_000)
    zone_bursts: int = 5
    throttled: tuple[tuple[float, int], ...] = ((10.0, 100), (20.0, 500))
    starts: int = 7
    node_lives: int = 25
    node_lives_watched: int = 5
    node_crowd: int = 20
    node_crowd_rounds: int = 3
    node_volumes: tuple[int, int] = (100, 1000)
    churn_hours: float = 1.0
    churn_time_scale: float = 1 / 60
    churn_claims: int = 20

    @property
    def doubtful_seconds(self) -> float:
        """How long after its start a driver still doubts names that it has not seen (C1)."""
        return 11.0 * self.time_scale


WHOLE = Plan()

QUICK = Plan(
    time_scale=0.05,
    lifecycles=((0.3, 1),),
    waits=(
        Wait(
            seconds=0.3, spread=0.3, at_once=2, learning=0, rounds=1, most_late=1e3, most_polls=1e3
        ),
    ),
    bursts=((0.3, 1),),
    burst_size=5,
    storm_size=8,
    crowd_size=8,
    zone_of_burst=10,
    zone_sizes=(0, 20),
    zone_bursts=1,
    throttled=((200.0, 4),),
    starts=1,
    node_lives=1,
    node_lives_watched=1,
    node_crowd=2,
    node_crowd_rounds=1,
    node_volumes=(1, 2),
    churn_hours=0.02,
    churn_claims=2,
)
"""Figures of this plan say nothing about speed."""
