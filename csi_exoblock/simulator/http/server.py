"""Run the simulator: build it, serve until a signal comes, clean up."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

from aiohttp import web

from csi_exoblock.simulator.disks.content import Disks, NoDisks
from csi_exoblock.simulator.disks.loop_disks import LoopDisks
from csi_exoblock.simulator.faults.faults import Faults
from csi_exoblock.simulator.http.api import Api
from csi_exoblock.simulator.http.auth import Credentials
from csi_exoblock.simulator.http.control import Control
from csi_exoblock.simulator.http.directions import directions
from csi_exoblock.simulator.http.gateway import Gateway
from csi_exoblock.simulator.http.inventory import Inventory
from csi_exoblock.simulator.settings import LocalInstance, Settings
from csi_exoblock.simulator.state.calls import CallLog
from csi_exoblock.simulator.state.cloud import Cloud
from csi_exoblock.simulator.state.persistence import StateFile
from csi_exoblock.simulator.time.runner import Runner
from csi_exoblock.simulator.time.throttle import Throttle

log = logging.getLogger(__name__)

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_STOPPING_SECONDS = 0.1  # delayed answers are cut off; to aiohttp 0 would mean to wait for ever


def run(settings: Settings) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP, then remove all devices, links and temporary files.

    Raises:
        OSError: The address cannot be listened on, or the state directory cannot be used.
        ValueError: The saved state cannot be read.
    """
    _at_first_signal(_interrupt)  # until the loop runs, so that early signals clean up too
    with ExitStack() as stack:
        state_dir = _open_state_dir(settings, stack)
        disks = _open_disks(settings, state_dir)
        stack.callback(disks.close)
        stack.callback(_ignore_signals)
        asyncio.run(_serve(settings, disks, StateFile(state_dir / "state.json")))


def _at_first_signal(act: Callable[[], object]) -> None:
    """Act on the first signal that ends the simulator; a second must not disturb the clean-up.

    The loop's own handlers would be taken away with the loop, before the clean-up.
    """

    def once(number: int, frame: FrameType | None) -> None:
        _ignore_signals()
        act()

    for number in _ENDING:
        under_nohup = number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN
        if not under_nohup:
            signal.signal(number, once)


def _ignore_signals() -> None:
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)


def _interrupt() -> None:
    raise KeyboardInterrupt


@contextmanager
def _signals_put_off() -> Iterator[None]:
    """Put signals off to the end of the block: an interruption would lose a device just made."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _open_state_dir(settings: Settings, stack: ExitStack) -> Path:
    """Make the state directory, and lock it against other simulators."""
    if settings.state_dir is None:
        temporary = tempfile.TemporaryDirectory(prefix="csi-exoblock-simulator-")
        return Path(stack.enter_context(temporary))
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    lock = stack.enter_context((settings.state_dir / "lock").open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OSError(f"--state-dir {settings.state_dir}: another simulator uses it") from error
    return settings.state_dir


def _open_disks(settings: Settings, state_dir: Path) -> Disks:
    if not settings.local_instances:
        return NoDisks("started without a local instance")
    if os.geteuid() != 0:
        return _without_devices("not root")
    disks = LoopDisks(state_dir, settings.device_dir, keep=settings.persist)
    try:
        with _signals_put_off():
            disks.require_devices()
    except OSError as error:
        return _without_devices(f"no loop devices ({' '.join(str(error).split())})")
    return disks


def _without_devices(why: str) -> Disks:
    log.warning("%s: volumes have no content and no devices", why)
    return NoDisks(why)


async def _serve(settings: Settings, disks: Disks, state_file: StateFile) -> None:
    stop = asyncio.Event()
    _at_first_signal(partial(asyncio.get_running_loop().call_soon_threadsafe, stop.set))
    cloud = _build_cloud(settings, state_file)
    calls = CallLog()
    runner = Runner(cloud, calls, disks)
    runner.resume()
    await runner.show_boot_disk()
    async with AsyncExitStack() as stack:
        if settings.persist:
            stack.callback(state_file.save, cloud)
            stack.callback(asyncio.create_task(state_file.keep_saving(cloud)).cancel)
        stack.push_async_callback(runner.stop)
        web_runner = web.AppRunner(
            _build_app(settings, cloud, calls, runner, disks),
            access_log=None,
            shutdown_timeout=_STOPPING_SECONDS,
        )
        stack.push_async_callback(web_runner.cleanup)
        await web_runner.setup()
        await web.TCPSite(web_runner, settings.host, settings.port).start()
        print(_announcement(web_runner, cloud), flush=True)
        await stop.wait()


def _build_cloud(settings: Settings, state_file: StateFile) -> Cloud:
    cloud = Cloud(
        zones=settings.zones,
        latencies=settings.latencies,
        modes=settings.modes,
        random=random.Random(settings.seed),  # noqa: S311 - ids, not secrets
        clock=time.time,
    )
    if settings.persist:
        state_file.load(cloud)
    for local in settings.local_instances:
        _add_local_instance(cloud, local)
    return cloud


def _add_local_instance(cloud: Cloud, local: LocalInstance) -> None:
    """Add an instance, unless the saved state has it."""
    zone = cloud.zone(local.zone)
    kept = (each.id for each in zone.instances.values() if each.is_local)
    if local.id not in zone.instances and not (local.id is None and any(kept)):
        cloud.add_instance(zone, id=local.id, is_local=True)


def _build_app(
    settings: Settings, cloud: Cloud, calls: CallLog, runner: Runner, disks: Disks
) -> web.Application:
    # A separate random stream, so that faults do not change the ids that a seed gives.
    faults = Faults(random.Random(settings.seed))  # noqa: S311 - chance, not secrets
    for rule in settings.rules:
        faults.add(rule)
    credentials, throttle = Credentials(settings.secrets), Throttle()
    gateway = Gateway(
        cloud=cloud,
        credentials=credentials,
        faults=faults,
        calls=calls,
        throttle=throttle,
        time_scale=settings.time_scale,
    )
    api = Api(cloud=cloud, runner=runner, gateway=gateway)
    control = Control(
        cloud=cloud,
        runner=runner,
        inventory=Inventory(cloud=cloud, runner=runner, disks=disks),
        faults=faults,
        calls=calls,
        credentials=credentials,
        throttle=throttle,
    )
    app = web.Application(middlewares=[directions(cloud)])
    app.add_routes([*control.routes(), *api.routes()])
    return app


def _announcement(web_runner: web.AppRunner, cloud: Cloud) -> str:
    """Return one line with the cloud's address and local instances, for people and programs."""
    host, port = web_runner.addresses[0][:2]
    host = f"[{host}]" if ":" in host else host
    instances = ",".join(
        f"{zone.name}/{id}" for zone in cloud.zones.values() for id in zone.instances
    )
    return (
        f"simulator listening on http://{host}:{port}"
        f" zones {','.join(cloud.zones)} instances {instances or '-'}"
    )
