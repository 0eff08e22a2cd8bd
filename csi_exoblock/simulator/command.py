"""The command `simulator`."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID

import click

from csi_exoblock.simulator.faults.faults import Rule
from csi_exoblock.simulator.settings import LocalInstance, Settings
from csi_exoblock.simulator.state.codec import decode
from csi_exoblock.simulator.state.durations import Latencies
from csi_exoblock.simulator.state.modes import Modes, describe

DEMO_KEY: Final = "EXOsimulator"
DEMO_SECRET: Final = "simulator"  # noqa: S105 - it opens nothing but a simulated cloud

_Function = TypeVar("_Function", bound=Callable[..., Any])

_ZONE: Final = re.compile(r"[a-z0-9-]{1,63}")


def _option(name: str, **attributes: Any) -> Callable[[_Function], _Function]:
    """Declare an option with its environment variable, `CSI_EXOBLOCK_` and its name in capitals."""
    variable = "CSI_EXOBLOCK_" + name.removeprefix("--").replace("-", "_").upper()
    attributes.setdefault("envvar", variable)
    return click.option(name, show_default=True, show_envvar=True, **attributes)


def _print_modes(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        click.echo("\n".join(describe()))
        context.exit()


@click.command()
@_option("--listen", default="127.0.0.1:18080", help="Address of the API; port 0 picks one.")
@_option("--sim-zones", default="ch-gva-2,de-fra-1", help="Zones of the simulated cloud.")
@_option(
    "--latency",
    help="create=1s,attach=2s,... or one duration for all; request=20ms for each request."
    "  [default: 0.2s to 2s, by kind]",
)
@_option(
    "--vary",
    help="Let times vary: `on`, or spread=0.3,attach=0.5,stragglers=0.01,slow-every=10m,slow-for=1m"
    ",slow-times=5.  [default: each kind takes always as long]",
)
@_option(
    "--local-instance",
    multiple=True,
    help="Instance that is this host: ZONE/UUID, or a UUID in the first zone; repeatable."
    " `none` for no such instance.  [default: a random one in the first zone]",
)
@_option("--device-dir", default="/dev/disk/by-id", type=click.Path(path_type=Path),
         help="Where links to devices are put.")  # fmt: skip
@_option("--state-dir", type=click.Path(path_type=Path),
         help="Where disks and state are kept.  [default: a temporary directory]")  # fmt: skip
@_option("--persist", is_flag=True, help="Keep the cloud in --state-dir beyond the end.")
@_option("--seed", type=int, help="Makes ids, and chance in faults and times, repeatable.")
@_option("--faults", type=click.Path(path_type=Path), help="File with a JSON list of rules.")
@_option("--mode", multiple=True, help="QUESTION=ANSWER; repeatable.")
@click.option("--list-modes", is_flag=True, is_eager=True, expose_value=False,
              callback=_print_modes, help="Print questions and answers, and exit.")  # fmt: skip
@_option("--time-scale", type=float, default=1.0, help="Multiplies every latency and delay.")
@_option("--api-key", envvar="EXOSCALE_API_KEY", default=DEMO_KEY, help="The key to accept.")
@_option("--api-secret", envvar="EXOSCALE_API_SECRET", default=DEMO_SECRET, help="Its secret.")
def simulator(**flags: Any) -> None:
    """Simulate Exoscale's API over HTTP, for development and tests."""
    try:
        settings = _read_settings(**flags)
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
        _run(settings)
    except (ValueError, OSError) as error:
        raise _Failure(str(error)) from error


class _Failure(click.ClickException):
    """The flags are wrong; click prints the reason in one line."""

    exit_code = 2


def _run(settings: Settings) -> None:
    """Run the server; aiohttp, which it needs, is an optional dependency."""
    try:
        from csi_exoblock.simulator.http import server
    except ModuleNotFoundError as error:
        if error.name != "aiohttp":
            raise
        raise _Failure("needs aiohttp: pip install 'csi-exoblock[simulator]'") from error
    server.run(settings)


def _read_settings(
    *,
    listen: str,
    sim_zones: str,
    latency: str | None,
    vary: str | None,
    seed: int | None,
    local_instance: tuple[str, ...],
    faults: Path | None,
    mode: tuple[str, ...],
    time_scale: float,
    api_key: str,
    api_secret: str,
    state_dir: Path | None,
    persist: bool,
    **rest: Any,
) -> Settings:
    """Check the flags' values.

    Raises:
        ValueError: One of them is bad; the text says which.
        OSError: The file of the faults cannot be read.
    """
    if not (math.isfinite(time_scale) and time_scale > 0):
        raise ValueError(f"--time-scale {time_scale}: must be above 0")
    if persist and state_dir is None:
        raise ValueError("--persist needs --state-dir")
    host, port = _parse_address(listen)
    zones = _parse_zones(sim_zones)
    return Settings(
        host=host,
        port=port,
        zones=zones,
        latencies=_parse_latencies(latency, vary, time_scale, seed),
        seed=seed,
        local_instances=_parse_instances(local_instance, zones),
        rules=_read_rules(faults) if faults else (),
        modes=_parse_modes(mode),
        secrets={api_key: api_secret},
        time_scale=time_scale,
        state_dir=state_dir,
        persist=persist,
        **rest,
    )


def _parse_address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) < 65536):
        raise ValueError(f"--listen {text!r}: must be HOST:PORT")
    return host.strip("[]"), int(port)


def _parse_zones(text: str) -> tuple[str, ...]:
    zones = tuple(zone.strip() for zone in text.split(","))
    if len(set(zones)) < len(zones) or not all(map(_ZONE.fullmatch, zones)):
        raise ValueError(
            f"--sim-zones {text!r}: must be different zones, such as ch-gva-2,de-fra-1"
        )
    return zones


def _parse_latencies(
    text: str | None, vary: str | None, time_scale: float, seed: int | None
) -> Latencies:
    latencies = Latencies(time_scale, seed)
    try:
        if text is not None:
            latencies.set_from(text)
    except ValueError as error:
        raise ValueError(f"--latency {text!r}: {error}") from error
    try:
        if vary is not None:
            latencies.vary_from(vary)
    except ValueError as error:
        raise ValueError(f"--vary {vary!r}: {error}") from error
    return latencies


def _parse_instances(texts: tuple[str, ...], zones: tuple[str, ...]) -> tuple[LocalInstance, ...]:
    if not texts:
        return (LocalInstance(zone=zones[0], id=None),)
    if texts == ("none",):
        return ()
    return tuple(_parse_instance(text, zones) for text in texts)


def _parse_instance(text: str, zones: tuple[str, ...]) -> LocalInstance:
    zone, slash, id = text.rpartition("/")
    zone = zone if slash else zones[0]
    try:
        instance = LocalInstance(zone=zone, id=UUID(id))
    except ValueError as error:
        raise ValueError(f"--local-instance {text!r}: must be UUID, ZONE/UUID or none") from error
    if zone not in zones:
        raise ValueError(f"--local-instance {text!r}: {zone} is not one of --sim-zones")
    return instance


def _parse_modes(texts: tuple[str, ...]) -> Modes:
    modes = Modes()
    for text in texts:
        try:
            modes.set_from(text)
        except ValueError as error:
            raise ValueError(f"--mode {text}: {error}") from error
    return modes


def _read_rules(path: Path) -> tuple[Rule, ...]:
    try:
        rules = json.loads(path.read_text())
        if not isinstance(rules, list):
            raise ValueError("must be a JSON list of rules")
        return tuple(decode(Rule, rule) for rule in rules)
    except (OSError, ValueError) as error:
        raise ValueError(f"--faults {path}: {error}") from error
