"""Run the simulator: build it, serve until a signal comes, clean up."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from aiohttp import web

from csi_exoblock.simulator.api import Api
from csi_exoblock.simulator.auth import Credentials
from csi_exoblock.simulator.calls import CallLog
from csi_exoblock.simulator.cloud import Cloud
from csi_exoblock.simulator.control import Control
from csi_exoblock.simulator.disks import Disks, LoopDisks, NoDisks
from csi_exoblock.simulator.faults import Faults
from csi_exoblock.simulator.gateway import Gateway
from csi_exoblock.simulator.runner import Runner
from csi_exoblock.simulator.settings import Settings

log = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, and leave no device, link or temporary file behind.

    Raises:
        OSError: The address cannot be listened on, or the state directory cannot be used.
    """
    with ExitStack() as stack:
        disks = _open_disks(settings, stack)
        stack.callback(disks.close)
        asyncio.run(_serve(settings, disks))


def _open_disks(settings: Settings, stack: ExitStack) -> Disks:
    if not settings.local_instances:
        return NoDisks()
    if os.geteuid() != 0:
        log.warning("not root: volumes have no content and no devices")
        return NoDisks()
    state_dir = settings.state_dir
    if state_dir is None:
        temporary = tempfile.TemporaryDirectory(prefix="csi-exoblock-simulator-")
        state_dir = Path(stack.enter_context(temporary))
    return LoopDisks(state_dir, settings.device_dir)


async def _serve(settings: Settings, disks: Disks) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    cloud = _build_cloud(settings)
    runner = Runner(cloud, disks)
    web_runner = web.AppRunner(
        _build_app(settings, cloud, runner, disks), access_log=None, shutdown_timeout=0.0
    )
    await web_runner.setup()
    try:
        site = web.TCPSite(web_runner, settings.host, settings.port)
        await site.start()
        print(_announcement(web_runner, cloud), flush=True)
        await stop.wait()
    finally:
        await web_runner.cleanup()
        await runner.stop()


def _build_cloud(settings: Settings) -> Cloud:
    cloud = Cloud(
        zones=settings.zones,
        latencies=settings.latencies,
        modes=settings.modes,
        random=random.Random(settings.seed),  # noqa: S311 - ids, not secrets
        clock=time.time,
    )
    for local in settings.local_instances:
        cloud.add_instance(cloud.zone(local.zone), id=local.id, is_local=True)
    return cloud


def _build_app(settings: Settings, cloud: Cloud, runner: Runner, disks: Disks) -> web.Application:
    calls = CallLog()
    # A stream of its own: faults do not change the ids that a seed gives.
    faults = Faults(random.Random(settings.seed))  # noqa: S311 - chance, not secrets
    for rule in settings.rules:
        faults.add(rule)
    gateway = Gateway(
        cloud=cloud,
        credentials=Credentials(settings.secrets),
        faults=faults,
        calls=calls,
        time_scale=settings.time_scale,
    )
    api = Api(cloud=cloud, runner=runner, gateway=gateway, time_scale=settings.time_scale)
    control = Control(cloud=cloud, runner=runner, disks=disks, faults=faults, calls=calls)
    app = web.Application()
    app.add_routes([*control.routes(), *api.routes()])
    return app


def _announcement(web_runner: web.AppRunner, cloud: Cloud) -> str:
    """Say in one line, for programs too, where the cloud is and which instances are this host."""
    host, port = web_runner.addresses[0][:2]
    instances = ",".join(
        f"{zone.name}/{id}" for zone in cloud.zones.values() for id in zone.instances
    )
    return (
        f"simulator listening on http://{host}:{port}"
        f" zones {','.join(cloud.zones)} instances {instances or '-'}"
    )
