"""Write the pictures of docs/ that show who calls whom: `python -m tests.repository.pictures`.

A picture is a list of actors and of steps between them, from top to bottom, drawn as plain SVG.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

DOCS = pathlib.Path(__file__).parents[2] / "docs"

_COLUMN, _ROW, _TOP, _SIDE = 170, 34, 64, 90


@dataclass(frozen=True, slots=True)
class Step:
    """An arrow from one actor to another; from one to itself, a note on what it does.

    Attributes:
        strong: Whether it is what the reader must do, or must not miss.
    """

    sender: str
    receiver: str
    text: str
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """Who calls whom.

    Attributes:
        steps: A plain text is a heading over what follows.
    """

    title: str
    actors: Sequence[str]
    steps: Sequence[Step | str]


def _claim() -> Picture:
    user, kubernetes, controller, cloud, kubelet, node = (
        "you", "Kubernetes", "controller", "cloud", "kubelet", "node plugin",
    )  # fmt: skip
    return Picture(
        "The life of a claim, from kubectl to the disk",
        (user, kubernetes, controller, cloud, kubelet, node),
        (
            "A pod wants its claim",
            Step(user, kubernetes, "apply claim and pod"),
            Step(kubernetes, kubernetes, "choose a node"),
            Step(kubernetes, controller, "CreateVolume"),
            Step(controller, cloud, "list, then create"),
            Step(kubernetes, controller, "ControllerPublish"),
            Step(controller, cloud, "attach to instance"),
            Step(kubelet, node, "NodeStage"),
            Step(node, node, "find the disk by its serial"),
            Step(node, node, "blank: format; else check"),
            Step(node, node, "mount"),
            Step(kubelet, node, "NodePublish"),
            Step(kubelet, kubernetes, "pod Running"),
            "The claim is made larger",
            Step(user, kubernetes, "raise the request"),
            Step(kubernetes, controller, "ControllerExpand"),
            Step(controller, cloud, "in use: note it"),
            "The pod is deleted",
            Step(user, kubernetes, "delete the pod"),
            Step(kubelet, node, "NodeUnpublish"),
            Step(kubelet, node, "NodeUnstage"),
            Step(node, node, "write back, unmount, prove"),
            Step(kubernetes, controller, "ControllerUnpublish"),
            Step(controller, cloud, "detach"),
            Step(controller, cloud, "grow before next attach"),
            "The claim is deleted",
            Step(user, kubernetes, "delete the claim"),
            Step(kubernetes, controller, "DeleteVolume"),
            Step(controller, cloud, "delete if detached"),
        ),
    )


def _node_loss() -> Picture:
    user, kubernetes, controller, cloud, old, new = (
        "you", "Kubernetes", "controller", "cloud", "dead node", "other node",
    )  # fmt: skip
    return Picture(
        "What happens when a node dies",
        (user, kubernetes, controller, cloud, old, new),
        (
            "The node falls silent; it may still write",
            Step(old, old, "no heartbeat"),
            Step(kubernetes, kubernetes, "Node NotReady (40 s)"),
            Step(kubernetes, kubernetes, "pod Terminating (5 min)"),
            Step(kubernetes, kubernetes, "volume stays where it is"),
            "You make sure that it is off",
            Step(user, cloud, "stop or destroy the instance", strong=True),
            Step(user, kubernetes, "taint: out-of-service", strong=True),
            "Now the volume is free",
            Step(kubernetes, controller, "ControllerUnpublish"),
            Step(controller, cloud, "detach"),
            Step(kubernetes, controller, "ControllerPublish"),
            Step(controller, cloud, "attach to the other instance"),
            Step(kubernetes, new, "NodeStage, NodePublish"),
            Step(new, new, "check the file system, mount"),
            Step(new, new, "pod Running"),
            "The node comes back",
            Step(user, kubernetes, "remove the taint", strong=True),
            Step(old, old, "clean up dead mounts"),
        ),
    )


PICTURES: Mapping[str, Picture] = {"claim.svg": _claim(), "node-loss.svg": _node_loss()}


def svg(picture: Picture) -> str:
    """Return a picture as SVG, readable on light and on dark pages."""
    width = 2 * _SIDE + _COLUMN * (len(picture.actors) - 1)
    height = _TOP + _ROW * (len(picture.steps) + 1)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
            'font-family="sans-serif" font-size="12">',
            f"<title>{escape(picture.title)}</title>",
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
            '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
            'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#334155"/></marker>'
            "</defs>",
            *_columns(picture, height),
            *(
                line
                for row, step in enumerate(picture.steps)
                for line in _drawn(picture, step, _TOP + _ROW * (row + 1), width)
            ),
            "</svg>",
            "",
        ]
    )


def _columns(picture: Picture, height: int) -> Iterator[str]:
    for actor in picture.actors:
        x = _x(picture, actor)
        yield (
            f'<line x1="{x}" y1="{_TOP - 16}" x2="{x}" y2="{height - 10}" stroke="#cbd5e1" '
            'stroke-dasharray="3 3"/>'
        )
        yield (
            f'<rect x="{x - 62}" y="16" width="124" height="30" rx="5" fill="#e2e8f0" '
            'stroke="#64748b"/>'
        )
        yield f'<text x="{x}" y="36" text-anchor="middle" font-weight="bold">{escape(actor)}</text>'


def _drawn(picture: Picture, step: Step | str, y: int, width: int) -> Iterator[str]:
    if isinstance(step, str):
        yield f'<rect x="8" y="{y - 18}" width="{width - 16}" height="22" fill="#f1f5f9"/>'
        yield f'<text x="16" y="{y - 3}" font-weight="bold" fill="#0f172a">{escape(step)}</text>'
        return
    begin, end = _x(picture, step.sender), _x(picture, step.receiver)
    ink = "#b91c1c" if step.strong else "#334155"
    weight = ' font-weight="bold"' if step.strong else ""
    if begin == end:
        yield f'<circle cx="{begin}" cy="{y - 4}" r="4" fill="{ink}"/>'
        anchor, x = ("end", begin - 10) if begin > width / 2 else ("start", begin + 10)
    else:
        yield (
            f'<line x1="{begin}" y1="{y}" x2="{end}" y2="{y}" stroke="{ink}" stroke-width="1.5" '
            'marker-end="url(#head)"/>'
        )
        anchor, x = "middle", (begin + end) // 2
    yield (
        f'<text x="{x}" y="{y if begin == end else y - 5}" text-anchor="{anchor}" fill="{ink}"'
        f'{weight} paint-order="stroke" stroke="#ffffff" stroke-width="3">'
        f"{escape(step.text)}</text>"
    )


def _x(picture: Picture, actor: str) -> int:
    return _SIDE + _COLUMN * picture.actors.index(actor)


if __name__ == "__main__":
    for name, each in PICTURES.items():
        (DOCS / name).write_text(svg(each))
