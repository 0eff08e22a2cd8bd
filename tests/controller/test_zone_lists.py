"""How fresh a create's knowledge of other zones is (C3, S12)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import pytest

from csi_exoblock.concurrency import Deadline
from csi_exoblock.controller.labels import Labels
from csi_exoblock.controller.recent_creations import RecentCreations
from csi_exoblock.controller.zone_lists import ZoneLists
from csi_exoblock.errors import ApiUnavailable, DeadlineExceeded, HostError
from csi_exoblock.exoscale import wire
from csi_exoblock.exoscale.listed import Listed
from csi_exoblock.model import Volume, ZoneName
from csi_exoblock.timing import Timing
from tests.support.waiting import wait_until

pytestmark = pytest.mark.fast

ZONE = ZoneName("ch-gva-2")
PATIENCE_SECONDS = 90.0


def test_a_create_that_runs_out_of_time_proves_nothing_about_a_zone() -> None:
    # C3: the next one would believe an older list, or none
    asked: list[ZoneName] = []

    def hang(zone: ZoneName, deadline: Deadline) -> Listed[Volume]:
        asked.append(zone)
        if len(asked) == 1:
            deadline.wait(PATIENCE_SECONDS)
        return no_volumes(zone)

    lists = lists_of(hang)
    with pytest.raises(DeadlineExceeded):
        lists.refresh([ZONE], Deadline(0.01))

    lists.refresh([ZONE], Deadline(PATIENCE_SECONDS))

    assert len(asked) == 2


def test_a_zone_that_can_not_be_read_is_not_asked_again_at_once() -> None:  # S12, S20
    asked: list[ZoneName] = []

    def refuse(zone: ZoneName, _: Deadline) -> Listed[Volume]:
        asked.append(zone)
        raise ApiUnavailable("the zone is down")

    lists = lists_of(refuse)
    for _ in range(3):
        lists.refresh([ZONE], Deadline(PATIENCE_SECONDS))

    assert len(asked) == 1


def test_creates_that_all_want_every_zone_share_its_lists_and_their_threads() -> None:
    # S21: a hundred creates just after a start, in eight zones, would take 800 threads
    go_on = threading.Event()
    asked: list[ZoneName] = []

    def read_slowly(zone: ZoneName, _: Deadline) -> Listed[Volume]:
        asked.append(zone)
        go_on.wait(PATIENCE_SECONDS)
        return no_volumes(zone)

    lists = lists_of(read_slowly)
    zones = [ZoneName(f"zone-{number}") for number in range(3)]
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(lists.list_zones, zones, Deadline(PATIENCE_SECONDS))
        wait_until(lambda: len(asked) == len(zones))
        others = [
            pool.submit(lists.list_zones, zones, Deadline(PATIENCE_SECONDS)) for _ in range(19)
        ]
        wait_until(lambda: all(each.running() for each in others))
        go_on.set()

        assert [len(each.result()) for each in (first, *others)] == [len(zones)] * 20

    assert len(asked) < 20  # each of them waits for a list that begins after it


def test_no_thread_for_the_lists_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:  # S16
    lists = lists_of(lambda zone, _: no_volumes(zone))
    full = Mock(side_effect=RuntimeError("can't start new thread"))
    monkeypatch.setattr(ThreadPoolExecutor, "submit", full)

    with pytest.raises(HostError, match="no thread"):
        lists.list_zones([ZONE, ZoneName("de-fra-1")], Deadline(PATIENCE_SECONDS))


def test_a_create_waits_for_the_list_that_another_create_reads() -> None:
    # C3: it would believe the list before that one, or none
    reading, go_on = threading.Event(), threading.Event()
    asked: list[ZoneName] = []

    def read_slowly(zone: ZoneName, _: Deadline) -> Listed[Volume]:
        asked.append(zone)
        reading.set()
        go_on.wait(PATIENCE_SECONDS)
        return no_volumes(zone)

    lists = lists_of(read_slowly)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lists.refresh, [ZONE], Deadline(PATIENCE_SECONDS))
        reading.wait(PATIENCE_SECONDS)
        with pytest.raises(DeadlineExceeded):
            lists.refresh([ZONE], Deadline(0.01))
        second = pool.submit(lists.refresh, [ZONE], Deadline(PATIENCE_SECONDS))
        go_on.set()
        first.result()
        second.result()

    assert len(asked) == 1


def lists_of(list_all: Callable[[ZoneName, Deadline], Listed[Volume]]) -> ZoneLists[Volume]:
    timing = Timing()
    recent = RecentCreations(timing=timing)
    labels = Mock(Labels, name_label="exoblock/name")
    return ZoneLists(list_all, recent=recent, labels=labels, timing=timing)


def no_volumes(zone: ZoneName) -> Listed[Volume]:
    return wire.volumes(zone, {"block-storage-volumes": []})
