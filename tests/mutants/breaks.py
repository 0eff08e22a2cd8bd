"""What a break is: one small edit of the driver, and the tests that must notice it."""

from __future__ import annotations

import importlib
import pathlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass

from tests.mutants import catalogue

REPOSITORY = pathlib.Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """A driver that is wrong in one place.

    Attributes:
        name: What the broken driver does, in a few words joined by dashes.
        file: The module, below csi_exoblock/.
        before: The code to replace; it stands in the module exactly once.
        after: The code to put there.
        rules: The ids of the requirements that the break violates.
        tests: What pytest is given: the tests of the module's own room that must fail.
        equivalent: Why no test can notice the break; empty where one must.
    """

    name: str
    file: str
    before: str
    after: str
    rules: str
    tests: tuple[str, ...]
    equivalent: str = ""

    @property
    def room(self) -> str:
        """The room that the module is in, or the module's own name in the base."""
        return self.file.partition("/")[0].removesuffix(".py")

    def applied_to(self, source: str) -> str:
        """Return the module's source with the break in it.

        Raises:
            LookupError: The code to replace is not there, or there more than once.
        """
        if (found := source.count(self.before)) != 1:
            raise LookupError(f"{self.name}: its code stands {found} times in {self.file}")
        return source.replace(self.before, self.after)


def all_breaks() -> list[Break]:
    """Return every break of the catalogue, room by room."""
    return [each for module in _modules() for each in module.BREAKS]


def _modules() -> Iterator[_Catalogue]:
    for found in sorted(each.name for each in pkgutil.iter_modules(catalogue.__path__)):
        yield importlib.import_module(f"{catalogue.__name__}.{found}")  # type: ignore[misc]  # a module is not typed as what it holds


class _Catalogue:
    BREAKS: tuple[Break, ...]
