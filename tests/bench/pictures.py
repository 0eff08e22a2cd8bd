"""Two pictures, drawn as SVG: who waited for what in one life, and in one burst."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from tests.bench.traces import Span, Trace

_WIDTH = 960
_LEFT, _RIGHT = 190, 150
_INK, _QUIET, _GRID = "#1f2933", "#616e7c", "#d9e0e7"
_CLOUD, _CALL, _BEFORE, _AFTER = "#3f9b62", "#2b6cb0", "#a9bcd0", "#e2903c"

# An answer of a few milliseconds must still be seen.
_LEAST_WIDTH = 2.0


class _Drawing:
    """Shapes on a time axis that begins with 0 s."""

    def __init__(self, *, seconds: float, height: int, title: str) -> None:
        self._seconds = seconds
        self._height = height
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
            f'width="{_WIDTH}" height="{height}" font-family="sans-serif" font-size="13" '
            f'role="img" aria-label="{escape(title)}">',
            f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        ]
        self.text(16, 26, title, size=16, weight="bold")

    def x(self, seconds: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * seconds / self._seconds

    def bar(self, start: float, end: float, y: float, height: float, colour: str) -> None:
        x = self.x(start)
        width = max(_LEAST_WIDTH, self.x(end) - x)
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
            f'fill="{colour}"/>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, *, dashes: str = "none") -> None:
        colour = _INK if dashes != "none" else _GRID
        self._parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{colour}" stroke-dasharray="{dashes}"/>'
        )

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: int = 13,
        anchor: str = "start",
        colour: str = _INK,
        weight: str = "normal",
    ) -> None:
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
            f'fill="{colour}" font-weight="{weight}">{escape(words)}</text>'
        )

    def legend(self, y: float, entries: dict[str, str]) -> None:
        x = float(_LEFT)
        for words, colour in entries.items():
            self._parts.append(
                f'<rect x="{x}" y="{y - 10}" width="12" height="12" fill="{colour}"/>'
            )
            self.text(x + 18, y, words, colour=_QUIET)
            x += 18 + 7 * len(words) + 24

    def axis(self, top: float, bottom: float) -> None:
        for seconds in _ticks(self._seconds):
            self.line(self.x(seconds), top, self.x(seconds), bottom)
            label = f"{seconds:g} s"
            self.text(self.x(seconds), bottom + 18, label, anchor="middle", colour=_QUIET)

    def __str__(self) -> str:
        return "\n".join([*self._parts, "</svg>", ""])


def life(traces: tuple[Trace, ...], latency_seconds: float) -> str:
    """Draw the RPCs of one life under each other, each with its operation and its API calls.

    Each begins where the one before it ended: what the harness did between them is left out.
    """
    row, top = 46, 76
    bottom = top + row * len(traces)
    drawing = _Drawing(
        seconds=sum(each.seconds for each in traces),
        height=bottom + 40,
        title=f"One volume's life, operations of {latency_seconds:g} s: who waited for what",
    )
    drawing.legend(
        52,
        {
            "the cloud works": _CLOUD,
            "the cloud answers a request": _CALL,
            "driver, and the way there": _BEFORE,
        },
    )
    drawing.axis(top, bottom)
    start = 0.0
    for number, trace in enumerate(traces):
        y, shift = top + row * number + 8.0, start - trace.began
        drawing.text(_LEFT - 12, y + 17, trace.rpc.replace("Controller", ""), anchor="end")
        drawing.bar(start, start + trace.seconds, y, 16, _BEFORE)
        for each in trace.operations:
            drawing.bar(each.began + shift, each.ended + shift, y, 16, _CLOUD)
        for each in trace.requests:
            drawing.bar(each.began + shift, each.ended + shift, y + 19, 7, _CALL)
        words = f"{trace.seconds * 1000:.0f} ms, {len(trace.requests)} calls"
        drawing.text(_WIDTH - _RIGHT + 10, y + 17, words, colour=_QUIET)
        start += trace.seconds
    return str(drawing)


def burst(traces: tuple[Trace, ...], requests: tuple[Span, ...], latency_seconds: float) -> str:
    """Draw the calls of one burst as thin bars under each other, and below them the API calls."""
    began = traces[0].began
    lanes = _lanes(requests)
    row, top, lane = max(2.0, 420 / len(traces)), 76, 26
    middle = top + row * len(traces)
    bottom = middle + 24 + lane * len(lanes)
    drawing = _Drawing(
        seconds=max(each.seconds for each in traces),
        height=int(bottom) + 40,
        title=f"{len(traces)} creates at once, operations of {latency_seconds:g} s: "
        "who waited for what",
    )
    drawing.legend(
        52,
        {
            "before its operation began": _BEFORE,
            "the cloud works": _CLOUD,
            "until its answer": _AFTER,
            "a request to the API": _CALL,
        },
    )
    drawing.axis(top, bottom)
    drawing.text(_LEFT - 12, (top + middle) / 2, "each create", anchor="end")
    for number, trace in enumerate(traces):
        (operation,) = trace.operations
        marks = (0.0, operation.began - began, operation.ended - began, trace.seconds)
        for start, end, colour in zip(marks, marks[1:], (_BEFORE, _CLOUD, _AFTER), strict=False):
            if end > start:
                drawing.bar(start, end, top + row * number, row * 0.9, colour)
    drawing.line(drawing.x(latency_seconds), top, drawing.x(latency_seconds), middle, dashes="4 3")
    drawing.text(
        _WIDTH - _RIGHT + 10,
        top + 12,
        f"- - one operation: {latency_seconds:g} s",
        colour=_QUIET,
        size=11,
    )
    for number, (name, spans) in enumerate(lanes.items()):
        y = middle + 24 + lane * number
        drawing.text(_LEFT - 12, y + 13, _short(name), anchor="end")
        drawing.text(_WIDTH - _RIGHT + 10, y + 13, f"{len(spans)} calls", colour=_QUIET)
        for each in spans:
            drawing.bar(each.began - began, each.ended - began, y, 16, _CALL)
    return str(drawing)


def _lanes(requests: tuple[Span, ...]) -> dict[str, list[Span]]:
    lanes: dict[str, list[Span]] = {}
    for each in requests:
        lanes.setdefault(each.what, []).append(each)
    return lanes


def _short(operation: str) -> str:
    return operation.replace("block-storage-", "")


def _ticks(seconds: float) -> Iterator[float]:
    step = next(each for each in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60) if seconds / each < 9)
    for number in range(int(seconds / step) + 1):
        yield round(number * step, 2)
