"""Counters, gauges and histograms, and the text in which Prometheus reads them (F7).

Our own, for every node of every cluster pays for it: the client library of Prometheus, with the
HTTP server, the mail parser and the URL opener that it imports, takes 4.4 MiB and a quarter of the
time that the driver needs to start. Source of the form: Prometheus, text-based format 0.0.4.
"""

from __future__ import annotations

import bisect
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Child = TypeVar("Child", bound="Value | Distribution")
_Sample = tuple[str, dict[str, str], float]


class Registry:
    """Every metric of a process."""

    def __init__(self) -> None:
        self._families: list[Callable[[], Iterator[str]]] = []
        self._updates: list[Callable[[], None]] = []

    def add(self, lines: Callable[[], Iterator[str]]) -> None:
        """Show from now on what yields these lines."""
        self._families.append(lines)

    def update_by(self, update: Callable[[], None]) -> None:
        """Have something done before anything is read; it must not take long."""
        self._updates.append(update)

    def text(self) -> str:
        """Return what there is to read now."""
        for update in self._updates:
            update()
        return "".join(line for lines in self._families for line in lines())


class Value:
    """A number, counted or set."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._value = 0.0
        self._read: Callable[[], float] | None = None

    def inc(self, amount: float = 1.0) -> None:
        """Add to it."""
        with self._lock:
            self._value += amount

    def set(self, value: float) -> None:
        """Replace it."""
        self._value = value

    def set_function(self, read: Callable[[], float]) -> None:
        """Have it read whenever somebody looks; that must not take long."""
        self._read = read

    @contextmanager
    def track_inprogress(self) -> Iterator[None]:
        """Count the block as long as it runs."""
        self.inc()
        try:
            yield
        finally:
            self.inc(-1.0)

    def samples(self) -> Iterator[_Sample]:
        """Yield what it is now."""
        yield "", {}, self._read() if self._read else self._value


class Distribution:
    """How many observations were at most so large.

    Args:
        bounds: Upper bounds of the buckets, ascending; what exceeds them all is counted as well.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._lock = threading.Lock()
        self._bounds = (*bounds, math.inf)
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0

    def observe(self, amount: float) -> None:
        """Count an observation."""
        with self._lock:
            self._counts[bisect.bisect_left(self._bounds, amount)] += 1
            self._sum += amount

    def samples(self) -> Iterator[_Sample]:
        """Yield the buckets, each with all those below it, then sum and count."""
        with self._lock:
            counts, total = tuple(self._counts), self._sum
        seen = 0
        for bound, count in zip(self._bounds, counts, strict=True):
            seen += count
            yield "_bucket", {"le": _number(bound)}, seen
        yield "_sum", {}, total
        yield "_count", {}, seen


class _Family(Generic[Child]):
    """A metric: one child for each combination of label values that occurred."""

    def __init__(
        self,
        name: str,
        text: str,
        labels: Sequence[str],
        *,
        kind: str,
        make: Callable[[], Child],
        registry: Registry,
    ) -> None:
        self.name = name
        self.label_names = tuple(labels)
        self.kind = kind
        self._text = text
        self._make = make
        self._lock = threading.Lock()
        self._children: dict[tuple[str, ...], Child] = {}
        registry.add(self.lines)

    def labels(self, *values: str) -> Child:
        """Return the child with these values of the labels."""
        if len(values) != len(self.label_names):
            raise ValueError(f"{self.name} has the labels {self.label_names}, not {values}")
        with self._lock:
            if values not in self._children:
                self._children[values] = self._make()
            return self._children[values]

    def lines(self) -> Iterator[str]:
        """Yield what Prometheus reads; nothing before the first child."""
        with self._lock:
            children = list(self._children.items())
        if not children:
            return
        yield f"# HELP {self.name} {_escaped(self._text)}\n"
        yield f"# TYPE {self.name} {self.kind}\n"
        for values, child in children:
            given = dict(zip(self.label_names, values, strict=True))
            for suffix, more, value in child.samples():
                yield f"{self.name}{suffix}{_labels({**given, **more})} {_number(value)}\n"


class Counter(_Family[Value]):
    """Only ever grows; its name ends in `_total`."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str] = (), *, registry: Registry
    ) -> None:
        if not name.endswith("_total"):
            raise ValueError(f"{name} must end in _total")
        super().__init__(name, text, labels, kind="counter", make=Value, registry=registry)


class Gauge(_Family[Value]):
    """Goes up and down."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str] = (), *, registry: Registry
    ) -> None:
        super().__init__(name, text, labels, kind="gauge", make=Value, registry=registry)


class Histogram(_Family[Distribution]):
    """Counts observations by their size."""

    def __init__(
        self,
        name: str,
        text: str,
        labels: Sequence[str] = (),
        *,
        buckets: Sequence[float],
        registry: Registry,
    ) -> None:
        def make() -> Distribution:
            return Distribution(buckets)

        super().__init__(name, text, labels, kind="histogram", make=make, registry=registry)


def _labels(values: dict[str, str]) -> str:
    if not values:
        return ""
    pairs = (f'{name}="{_escaped(value, quote=True)}"' for name, value in values.items())
    return "{" + ",".join(pairs) + "}"


def _escaped(text: str, *, quote: bool = False) -> str:
    plain = text.replace("\\", r"\\").replace("\n", r"\n")
    return plain.replace('"', r"\"") if quote else plain


def _number(value: float) -> str:
    return "+Inf" if value == math.inf else repr(float(value))
