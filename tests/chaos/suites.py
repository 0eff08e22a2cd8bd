"""The two suites of schedules: of the controller's and of the node's.

Each runs seeds one after the other, on a stage of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from tests.chaos.grid import Cells, Grid

PROVING_SEEDS = 200
"""The number of seeds within which the harness must find every broken driver."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A schedule's outcome, as small as it gets when all went well.

    Attributes:
        story: What happened, if some invariant did not hold or somebody wants to know.
        cells: What befell whom, and how often.
    """

    seed: int
    breaches: tuple[str, ...]
    story: str
    seconds: float
    cells: Cells
    counts: Counter[str]


class RunSeeds(Protocol):
    """Runs schedules one after the other."""

    def __call__(
        self, seeds: Sequence[int], mutant: str = "", *, patient: bool = True, told: bool = False
    ) -> Iterator[Result]:
        """Yield the result of each seed.

        Args:
            mutant: What is broken in the driver.
            patient: Whether a machine under load gets all the time that it may take.
            told: Whether each result has its story and what the driver logged.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Schedules of one kind.

    Attributes:
        mutants: What can be broken in the driver.
        grids: What is to happen in many schedules.
    """

    run_seeds: RunSeeds
    mutants: tuple[str, ...]
    grids: tuple[Grid, ...]


def suite_of(name: str) -> Suite:
    """Return one of the suites by its name; what it needs is imported only then."""
    if name == "controller":
        from tests.chaos.batch import SUITE as CONTROLLER

        return CONTROLLER
    from tests.chaos.node.batch import SUITE as NODE

    return NODE


NAMES = ("controller", "node")


def results_of(name: str, seeds: Sequence[int]) -> list[Result]:
    """Run schedules in a process of their own."""
    return list(suite_of(name).run_seeds(seeds))


def first_finding(name: str, mutant: str) -> Result | None:
    """Return the first schedule in which a broken driver is seen, None if none does."""
    results = suite_of(name).run_seeds(range(PROVING_SEEDS), mutant)
    return next((each for each in results if each.breaches), None)


def scenes_of(name: str) -> tuple[str, ...]:
    """Return the names of the calls in which a driver of this suite is killed."""
    if name == "controller":
        from tests.chaos.scenes import SCENES as CONTROLLER

        return tuple(CONTROLLER)
    from tests.chaos.node.killing import SCENES as NODE

    return tuple(NODE)


def broken_in(name: str, scene: str) -> Sequence[str]:
    """Kill the driver at each step of a scene, and return what is then not as without a kill."""
    if name == "controller":
        from tests.chaos.killing import findings_of as in_controller

        return in_controller(scene).broken
    from tests.chaos.node.killing import findings_of as in_node

    return in_node(scene)[1]
