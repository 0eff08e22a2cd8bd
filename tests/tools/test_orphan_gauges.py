"""The controller counts what is left alone, if it is in a pod that may list it (C4, F7)."""

from __future__ import annotations

import json
import pathlib

from tests.apiserver.server import ApiServer
from tests.support.driver_process import DriverProcess
from tests.support.endpoint import Endpoint
from tests.support.simulator_process import SimulatorProcess
from tests.support.waiting import wait_until
from tests.tools.conftest import VOLUMES, make_volume
from tests.tools.objects import persistent_volume

LIST_VOLUMES = "list-block-storage-volumes"
COUNT = "csi_exoblock_orphans"
OLDEST = "csi_exoblock_orphan_oldest_seconds"


def start(
    cloud: SimulatorProcess, cluster: ApiServer, folder: pathlib.Path, endpoint: Endpoint
) -> DriverProcess:
    return DriverProcess.start(
        "controller",
        "--api-endpoint", cloud.api_endpoint,
        "--default-zone", cloud.zones[0],
        *endpoint.flags,
        folder=folder,
        environment={**cloud.environment, **cluster.environment},
    )  # fmt: skip


def test_each_kind_is_counted(
    cloud: SimulatorProcess, cluster: ApiServer, tmp_path: pathlib.Path
) -> None:  # C4
    used, endpoint = make_volume(cloud, "same"), Endpoint()
    make_volume(cloud, "same")
    make_volume(cloud, "left")
    cluster.lists[VOLUMES] = [persistent_volume("same", used["handle"])]

    with start(cloud, cluster, tmp_path, endpoint):
        kinds = ("twin", "volume", "snapshot")
        wait_until(lambda: all(endpoint.value(OLDEST, kind=each) is not None for each in kinds))

        assert endpoint.value(COUNT, kind="twin") == 1
        assert endpoint.value(COUNT, kind="volume") == 1
        assert endpoint.value(COUNT, kind="snapshot") == 0
        assert endpoint.value(OLDEST, kind="snapshot") == 0


def test_what_is_kept_on_purpose_raises_no_alarm(
    cloud: SimulatorProcess, cluster: ApiServer, tmp_path: pathlib.Path
) -> None:  # F7, N3
    make_volume(cloud, "kept", protect="yes")
    endpoint = Endpoint()
    zone, *_ = cloud.zones
    old = [{**each, "created-at": "2020-01-01T00:00:00Z"} for each in cloud.volumes()]
    body = json.dumps({"block-storage-volumes": old})
    cloud.add_fault(fault="garbage", operation=LIST_VOLUMES, zone=zone, body=body)

    with start(cloud, cluster, tmp_path, endpoint):
        wait_until(lambda: endpoint.value(OLDEST, kind="volume") is not None)

        assert endpoint.value(COUNT, kind="volume") == 1
        assert endpoint.value(OLDEST, kind="volume") == 0


def test_without_the_right_nothing_is_counted_and_all_else_works(
    cloud: SimulatorProcess, cluster: ApiServer, tmp_path: pathlib.Path
) -> None:  # S23
    cluster.denied.add(("GET", VOLUMES))
    endpoint = Endpoint()

    with start(cloud, cluster, tmp_path, endpoint):
        wait_until(lambda: cluster.count("GET", VOLUMES) > 0)

        assert endpoint.value(COUNT, kind="twin") is None
