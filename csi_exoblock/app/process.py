"""Build the parts of a process, start them, and stop them gracefully."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, disable_created_metrics

from csi_exoblock import __version__
from csi_exoblock._build import COMMIT
from csi_exoblock.app.ending import Ending
from csi_exoblock.app.memory import collect_seldom
from csi_exoblock.app.part import Part, background
from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import (
    ApiSettings,
    ControllerSettings,
    KubernetesSettings,
    NodeSettings,
    ServerSettings,
)
from csi_exoblock.csi.identity import Identity
from csi_exoblock.csi.interceptor import Interceptor
from csi_exoblock.csi.liveness import SelfProbe
from csi_exoblock.csi.room import Room
from csi_exoblock.csi.server import Server
from csi_exoblock.lines import LineWriter
from csi_exoblock.metrics import Metrics
from csi_exoblock.probes import Liveness, Probes
from csi_exoblock.web import WebServer

if TYPE_CHECKING:
    from csi_exoblock.csi.controller import Controller
    from csi_exoblock.csi.node import Node

log = logging.getLogger(__name__)


def run(
    settings: ServerSettings,
    *,
    api: ApiSettings | None,
    controller: ControllerSettings | None,
    node: NodeSettings | None,
    cluster: KubernetesSettings | None,
    lines: LineWriter,
) -> int:
    """Serve until SIGTERM or SIGINT, then let running calls finish; return the exit code.

    Args:
        api: The cloud; goes with `controller`.
        controller: Settings of the controller service, `None` to leave it out.
        node: Settings of the node service, `None` to leave it out.
        cluster: The cluster in whose pod this process runs, `None` outside of one.
        lines: The writer of the log.

    Raises:
        OSError: The socket can't be made, or the port is taken.
        HostError: The host has no threads left.
    """
    ending = Ending()
    disable_created_metrics()  # type: ignore[no-untyped-call] # of every histogram and counter: nobody asks when it began
    metrics = Metrics(CollectorRegistry())
    metrics.build_info.labels(__version__, COMMIT).set(1)
    lines.count_drops(metrics.log_lines_dropped.inc)
    control: Part[Controller] | None = None
    host: Part[Node] | None = None
    # Imported only when needed: the cloud's client would cost the node's process memory.
    if api and controller:
        from csi_exoblock.app.controller import build_controller

        control = build_controller(settings, api, controller, cluster, metrics)
    if node:
        from csi_exoblock.app.node import build_node

        host = build_node(settings, node, cluster, metrics)
    parts: list[Part[Controller] | Part[Node]] = [part for part in (control, host) if part]

    def trouble() -> str:
        return "; ".join(filter(None, (part.trouble() for part in parts)))

    interceptor = Interceptor(
        driver_name=settings.driver_name,
        metrics=metrics,
        workers=settings.grpc_workers,
        timing=settings.timing,
    )
    server = Server(
        socket_path=settings.socket_path,
        workers=settings.grpc_workers,
        interceptor=interceptor,
        identity=Identity(driver_name=settings.driver_name, ready=lambda: not trouble()),
        controller=control.service if control else None,
        node=host.service if host else None,
        timing=settings.timing,
    )
    server.start(on_death=ending.fail)
    if settings.http_address:
        _show(settings, settings.http_address, trouble, metrics, interceptor.room)
    for part in parts:
        part.start()
    log.info("serving", extra={"socket": str(settings.socket_path), "version": __version__})
    if control:
        collect_seldom()
    was_asked = ending.wait()
    log.info("stopping")
    deadline = Deadline(settings.timing.shutdown_timeout)
    server.stop(deadline.remaining())
    for part in parts:
        part.stop(deadline)
    log.info("stopped")
    return 0 if was_asked else 1


def _show(
    settings: ServerSettings,
    address: tuple[str, int],
    trouble: Callable[[], str],
    metrics: Metrics,
    room: Room,
) -> None:
    """Serve probes and metrics until the process ends, also while running calls finish."""
    timing = settings.timing
    probe = SelfProbe(
        socket_path=settings.socket_path,
        timeout_seconds=timing.livez_timeout,
        is_stuck=room.is_stuck,
    )
    liveness = Liveness(probe=probe, timing=timing)
    probes = Probes(
        liveness=liveness, trouble=trouble, metrics=metrics, metrics_path=settings.metrics_path
    )
    server = WebServer(
        address=address,
        answer=probes.answer,
        identity=settings.http_identity,
        timing=timing,
    )
    server.start()
    background(
        "livez", liveness.ask, timing=timing, metrics=metrics, first_seconds=timing.livez_interval
    ).start()
