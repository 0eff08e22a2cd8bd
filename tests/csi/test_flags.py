"""From flags to settings: each flag reaches the field that it is about, in that field's unit."""

from __future__ import annotations

import math
import pathlib
from typing import Any

import click
import pytest

from csi_exoblock.__main__ import controller, node
from csi_exoblock.flags import types
from csi_exoblock.flags.durations import CLOUD_TIMING, NODE_TIMING, SERVER_TIMING
from csi_exoblock.flags.settings import (
    api_settings,
    controller_settings,
    node_settings,
    server_settings,
    timing_of,
)
from csi_exoblock.timing import Timing

pytestmark = pytest.mark.fast

KEY = {"EXOSCALE_API_KEY": "EXOkey", "EXOSCALE_API_SECRET": "hidden"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("90s", 90.0), ("2m", 120.0), ("1m30s", 90.0), ("1.5h", 5400.0)],
)
def test_duration_is_read_as_seconds(text: str, seconds: float) -> None:
    assert types.duration(text) == seconds


@pytest.mark.parametrize("name", [*SERVER_TIMING, *CLOUD_TIMING])
def test_every_duration_of_the_controller_reaches_its_field(name: str) -> None:  # S5
    flag = {**SERVER_TIMING, **CLOUD_TIMING}[name].flag

    timing = timing_of(read(controller, flag, "7m", "--time-scale", "0.5"))

    assert getattr(timing, name) == 210.0


@pytest.mark.parametrize("name", NODE_TIMING)
def test_every_duration_of_the_node_reaches_its_field(name: str) -> None:  # S5
    timing = timing_of(read(node, NODE_TIMING[name].flag, "7m"))

    assert getattr(timing, name) == 420.0


def test_time_passes_at_its_own_speed_where_no_flag_says_otherwise() -> None:
    assert timing_of(read(controller)) == Timing()


@pytest.mark.parametrize(("flags", "most"), [((), math.inf), (("--api-max-qps", "2.5"), 2.5)])
def test_api_is_called_at_most_at_the_rate_of_the_flag(
    flags: tuple[str, ...], most: float
) -> None:  # S20
    settings = api_settings(read(controller, *flags), environment=KEY, user_agent="us")

    assert settings.max_qps == most


def test_key_of_the_file_wins(tmp_path: pathlib.Path) -> None:  # F1
    file = tmp_path / "credentials.json"
    file.write_text('{"api_key": "EXOfile", "api_secret": "other"}')
    given = read(controller, "--credentials-file", str(file))

    assert api_settings(given, environment=KEY, user_agent="us").credentials.key == "EXOfile"


def test_flags_of_the_controller_reach_their_fields() -> None:
    given = read(
        controller,
        *("--cluster-id", "blue", "--label-prefix", "mine/", "--label-max-length", "40"),
        *("--extra-labels", "team=db", "--deferred-expansion", "false"),
        *("--clone-by-snapshot", "false", "--capacity-from-quota", "true"),
        *("--min-volume-size-gib", "10", "--max-volume-size-gib", "20"),
    )

    settings = controller_settings(given)

    assert (settings.cluster_id, settings.label_prefix) == ("blue", "mine/")
    assert (settings.label_max_length, settings.extra_labels) == (40, {"team": "db"})
    assert (settings.size_limits.min_gib, settings.size_limits.max_gib) == (10, 20)
    assert not settings.deferred_expansion
    assert not settings.clone_by_snapshot
    assert settings.capacity_from_quota


def test_flags_of_the_node_reach_their_fields() -> None:
    uuid = "5e0f6d1c-93f4-4f0e-8d0b-0c8f6b5d2a10"
    given = read(
        node,
        *("--instance-id", uuid, "--zone", "ch-gva-2", "--kubelet-path", "/k"),
        *("--volume-attach-limit", "9", "--reserved-volume-attachments", "2"),
        *("--require-zeroed-device", "false", "--max-concurrent-format", "3"),
        *("--registration-path", "/r/reg.sock", "--device-dir", "/d"),
        *("--memory-limit", "1073741824"),
    )

    settings = node_settings(given)

    assert str(settings.identity) == f"ch-gva-2/{uuid}"
    assert (settings.attach_limit, settings.reserved_attachments) == (9, 2)
    assert (settings.max_concurrent_format, settings.require_zeroed_device) == (3, False)
    assert settings.memory_limit == 1024**3
    assert [str(settings.kubelet_path), str(settings.device_dir)] == ["/k", "/d"]
    assert str(settings.registration_path) == "/r/reg.sock"


def test_flags_of_every_service_reach_their_fields() -> None:
    given = read(
        node,
        *("--driver-name", "mine.example", "--endpoint", "unix:///run/x.sock"),
        *("--http-endpoint", "127.0.0.1:8080", "--metrics-path", "/m", "--grpc-workers", "5"),
    )

    settings = server_settings(given)

    assert (settings.driver_name, str(settings.socket_path)) == ("mine.example", "/run/x.sock")
    assert (settings.http_address, settings.metrics_path) == (("127.0.0.1", 8080), "/m")
    assert settings.grpc_workers == 5


def read(command: click.Command, *flags: str) -> dict[str, Any]:
    """Return what click makes of flags."""
    return command.make_context(command.name, list(flags)).params
