"""Two pictures, drawn as SVG: who waited for what in one life, and in one burst."""

from __future__ import annotations

from tests.bench.drawing import LEFT, QUIET, RIGHT, WIDTH, Drawing
from tests.bench.traces import Span, Trace

_CLOUD, _CALL, _BEFORE, _AFTER = "#3f9b62", "#2b6cb0", "#a9bcd0", "#e2903c"


def life(traces: tuple[Trace, ...], latency_seconds: float) -> str:
    """Draw the RPCs of one life under each other, each with its operation and its API calls.

    Each begins where the one before it ended: what the harness did between them is left out.
    """
    row, top = 46, 76
    bottom = top + row * len(traces)
    drawing = Drawing(
        length=sum(each.seconds for each in traces),
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
        drawing.text(LEFT - 12, y + 17, trace.rpc.replace("Controller", ""), anchor="end")
        drawing.bar(start, start + trace.seconds, y, 16, _BEFORE)
        for each in trace.operations:
            drawing.bar(each.began + shift, each.ended + shift, y, 16, _CLOUD)
        for each in trace.requests:
            drawing.bar(each.began + shift, each.ended + shift, y + 19, 7, _CALL)
        words = f"{trace.seconds * 1000:.0f} ms, {len(trace.requests)} calls"
        drawing.text(WIDTH - RIGHT + 10, y + 17, words, colour=QUIET)
        start += trace.seconds
    return str(drawing)


def burst(traces: tuple[Trace, ...], requests: tuple[Span, ...], latency_seconds: float) -> str:
    """Draw the calls of one burst as thin bars under each other, and below them the API calls."""
    began = traces[0].began
    lanes = _lanes(requests)
    row, top, lane = max(2.0, 420 / len(traces)), 76, 26
    middle = top + row * len(traces)
    bottom = middle + 24 + lane * len(lanes)
    drawing = Drawing(
        length=max(each.seconds for each in traces),
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
    drawing.text(LEFT - 12, (top + middle) / 2, "each create", anchor="end")
    for number, trace in enumerate(traces):
        (operation,) = trace.operations
        marks = (0.0, operation.began - began, operation.ended - began, trace.seconds)
        for start, end, colour in zip(marks, marks[1:], (_BEFORE, _CLOUD, _AFTER), strict=False):
            if end > start:
                drawing.bar(start, end, top + row * number, row * 0.9, colour)
    drawing.line(drawing.x(latency_seconds), top, drawing.x(latency_seconds), middle, dashes="4 3")
    drawing.text(
        WIDTH - RIGHT + 10,
        top + 12,
        f"- - one operation: {latency_seconds:g} s",
        colour=QUIET,
        size=11,
    )
    for number, (name, spans) in enumerate(lanes.items()):
        y = middle + 24 + lane * number
        drawing.text(LEFT - 12, y + 13, _short(name), anchor="end")
        drawing.text(WIDTH - RIGHT + 10, y + 13, f"{len(spans)} calls", colour=QUIET)
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
