"""As many volumes as a node can have come and leave at the same time, as in a drain (S26)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.node.conftest import MakeDisk, Volume, mount_capability
from tests.node.disks import mounts_of
from tests.support.driver_process import DriverProcess
from tests.support.grpc_errors import outcome

pytestmark = pytest.mark.root

MANY = 20


def all_at_once(calls: Iterable[Callable[[], object]]) -> set[tuple[str, str]]:
    with ThreadPoolExecutor(MANY) as threads:
        return set(threads.map(outcome, calls))


def test_twenty_volumes_come_and_leave_at_once(
    make_disk: MakeDisk,
    make_volume: Callable[..., Volume],
    start_node: Callable[..., DriverProcess],
) -> None:
    driver = start_node("--time-scale", "20")  # they need their time on a busy machine
    volumes = [make_volume(make_disk(), driver) for _ in range(MANY)]

    assert all_at_once(each.stage for each in volumes) == {("OK", "")}
    publish = [lambda each=each: each.publish(capability=mount_capability()) for each in volumes]
    assert all_at_once(publish) == {("OK", "")}
    assert all_at_once(each.unpublish for each in volumes) == {("OK", "")}
    assert all_at_once(each.unstage for each in volumes) == {("OK", "")}

    assert not any(mounts_of(each.disk.path) for each in volumes)
