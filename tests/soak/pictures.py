"""A run as a picture: what the driver's processes have, and what else was counted, over time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.bench.drawing import LEFT, QUIET, RIGHT, WIDTH, Drawing
from tests.soak.journal import Event
from tests.soak.judgement import processes
from tests.soak.samples import Sample, State

_CONTROLLER, _NODE, _ALL, _OTHER = "#2b6cb0", "#3f9b62", "#616e7c", "#e2903c"
_TOP, _PANEL, _GAP = 76, 96, 22
_ROW = 12

Points = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class _Panel:
    """Curves one over the other, in one measure.

    Attributes:
        curves: Colour and points, of hours and values, of each.
    """

    title: str
    unit: str
    curves: Sequence[tuple[str, Points]]


def picture(samples: Sequence[Sample], troubles: Sequence[Event], title: str) -> str:
    """Draw a run of at least one sample; the troubles are below."""
    panels = list(_panels(samples))
    kinds = sorted({each.what for each in troubles})
    bottom = _TOP + len(panels) * (_PANEL + _GAP) + _ROW * len(kinds)
    drawing = Drawing(
        length=max(samples[-1].hours, 0.01), unit="h", height=bottom + 40, title=title
    )
    legend = {
        "a controller": _CONTROLLER,
        "a node's plugin": _NODE,
        "the host": _ALL,
        "a trouble": _OTHER,
    }
    drawing.legend(52, legend)
    drawing.axis(_TOP, bottom)
    for number, panel in enumerate(panels):
        _draw(drawing, panel, _TOP + number * (_PANEL + _GAP))
    for number, kind in enumerate(kinds):
        y = bottom - _ROW * (len(kinds) - number)
        drawing.text(LEFT - 12, y + _ROW - 2, kind, size=11, anchor="end", colour=QUIET)
        for each in troubles:
            if each.what == kind:
                drawing.bar(each.begin, each.end, y + 2, _ROW - 4, _OTHER)
    return str(drawing)


def _panels(samples: Sequence[Sample]) -> Iterator[_Panel]:
    yield _Panel("memory", "MiB", _of_processes(samples, lambda state: state.rss_mib))
    yield _Panel("threads", "", _of_processes(samples, lambda state: state.threads))
    yield _Panel("open files", "", _of_processes(samples, lambda state: state.files))
    yield _Panel("attached volumes", "", [_curve(samples, lambda sample: sample.attached)])
    yield _Panel("mounts on the host", "", [_curve(samples, lambda sample: sample.mounts)])
    yield _Panel("calls of the API", "an hour", [(_ALL, list(_rates(samples)))])


def _of_processes(
    samples: Sequence[Sample], value: Callable[[State], float]
) -> list[tuple[str, Points]]:
    return [
        (
            _CONTROLLER if name.startswith("controller") else _NODE,
            [(sample.hours, value(sample.states[name])) for sample in seen],
        )
        for name, seen in processes(samples).items()
    ]


def _curve(samples: Sequence[Sample], value: Callable[[Sample], float]) -> tuple[str, Points]:
    return _ALL, [(sample.hours, value(sample)) for sample in samples]


def _rates(samples: Sequence[Sample]) -> Iterator[tuple[float, float]]:
    for before, sample in pairwise(samples):
        hours = max(sample.hours - before.hours, 1 / 3600)
        yield sample.hours, sum(sample.calls.values()) / hours


def _draw(drawing: Drawing, panel: _Panel, top: float) -> None:
    most = max((value for _, points in panel.curves for _, value in points), default=0.0) or 1.0
    bottom = top + _PANEL
    for y in (top, bottom):
        drawing.line(LEFT, y, WIDTH - RIGHT, y)
    drawing.text(LEFT - 12, (top + bottom) / 2, panel.title, anchor="end")
    drawing.text(WIDTH - RIGHT + 10, top + 10, f"{most:.0f} {panel.unit}".strip(), colour=QUIET)
    drawing.text(WIDTH - RIGHT + 10, bottom, "0", colour=QUIET)
    for colour, points in panel.curves:
        drawing.curve([(at, bottom - _PANEL * value / most) for at, value in points], colour)
