"""S11: the start-up taint goes once kubelet knows the driver, and nothing else is touched.

A metric shows whether it does (F7).
"""

from __future__ import annotations

import copy
import pathlib
import tempfile
import time
from typing import Any

import pytest

from csi_exoblock.pb import csi_pb2, csi_pb2_grpc
from tests.apiserver.conftest import MINUTE_SECONDS, NODE, NODE_NAME, StartNode
from tests.apiserver.server import ApiServer, Hang, Object, Status, Step
from tests.support.endpoint import Endpoint
from tests.support.waiting import wait_until

DRIVER = "exoblock.csi.exoscale.com"
SHOWN = "csi_exoblock_registered"
CSI_NODE = f"/apis/storage.k8s.io/v1/csinodes/{NODE_NAME}"
OURS = {"key": f"{DRIVER}/agent-not-ready", "effect": "NoExecute"}
THEIRS = [
    {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute", "timeAdded": "2026-11-28T10:00"},
    {"key": "other.csi.example.com/agent-not-ready", "effect": "NoExecute"},
    {"key": "agent-not-ready", "value": DRIVER, "effect": "NoSchedule"},
]


def csi_node(*drivers: Object) -> Object:
    """Return a CSINode with these drivers."""
    return {"metadata": {"name": NODE_NAME}, "spec": {"drivers": list(drivers)}}


REGISTERED = csi_node({"name": DRIVER, "allocatable": {"count": 5}})


@pytest.fixture(autouse=True)
def tainted(server: ApiServer) -> None:
    server.objects[NODE]["spec"]["taints"] = [THEIRS[0], OURS, *THEIRS[1:]]


def taints(server: ApiServer) -> Any:
    return server.objects[NODE]["spec"]["taints"]


def test_no_other_taint_is_touched(server: ApiServer, start_node: StartNode) -> None:  # S11
    server.objects[CSI_NODE] = REGISTERED

    node = start_node("--time-scale", "2")  # a patch has twenty seconds, so there is one

    wait_until(lambda: taints(server) == THEIRS)
    wait_until(lambda: "start-up taint removed" in node.log.read_text())
    (patch,) = [each for each in server.received if each.method == "PATCH"]
    assert patch.headers["Content-Type"] == "application/json-patch+json"


def test_every_effect_of_the_taint_goes(server: ApiServer, start_node: StartNode) -> None:  # S11
    server.objects[NODE]["spec"]["taints"] = [OURS, {**OURS, "effect": "NoSchedule", "value": "x"}]
    server.objects[CSI_NODE] = REGISTERED

    start_node()

    wait_until(lambda: taints(server) == [])


@pytest.mark.parametrize(
    "found",
    [
        None,
        {},
        {"spec": {"drivers": None}},
        csi_node(),
        csi_node({"name": "other.csi.example.com", "allocatable": {"count": 5}}),
        csi_node({"name": DRIVER}),
        csi_node({"name": DRIVER, "allocatable": {}}),
        csi_node({"name": DRIVER, "allocatable": {"count": True}}),
    ],
    ids=lambda found: str(found)[-60:],
)
def test_the_taint_stays_until_csinode_lists_the_driver_and_its_limit(
    server: ApiServer, start_node: StartNode, found: Object | None
) -> None:  # S11
    if found is not None:
        server.objects[CSI_NODE] = found
    start_node()

    wait_until(lambda: server.count("GET", CSI_NODE) > 2)

    assert OURS in taints(server)
    server.objects[CSI_NODE] = REGISTERED
    wait_until(lambda: taints(server) == THEIRS)


@pytest.mark.parametrize("path", [NODE, CSI_NODE])
@pytest.mark.parametrize("step", [Status(500), Status(410), Hang()], ids=lambda step: str(step)[:8])
def test_a_failure_is_tried_again(
    server: ApiServer, start_node: StartNode, step: Step, path: str
) -> None:  # S11
    server.objects[CSI_NODE] = REGISTERED
    server.next(path, step, step)

    start_node()

    wait_until(lambda: taints(server) == THEIRS)


def test_a_taint_that_is_set_meanwhile_is_kept(
    server: ApiServer, start_node: StartNode
) -> None:  # S11: two who patch at the same time
    server.objects[CSI_NODE] = REGISTERED
    late = {"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}
    server.before_patch = lambda: taints(server).append(late)

    start_node("--time-scale", "2")  # a patch has twenty seconds, so each is sent once

    wait_until(lambda: OURS not in taints(server))
    assert taints(server) == [*THEIRS, late]
    assert server.count("PATCH", NODE) == 2


def test_a_refusal_is_an_error_once_a_minute_and_the_driver_works(
    server: ApiServer, start_node: StartNode
) -> None:  # S11
    server.objects[CSI_NODE] = REGISTERED
    server.denied = {("PATCH", NODE)}
    began = time.monotonic()
    node = start_node()

    wait_until(lambda: server.count("PATCH", NODE) > 3)
    wait_until(lambda: "denies" in node.log.read_text())

    lines = [line for line in node.log.read_text().splitlines() if "denies" in line]
    assert len(lines) <= 1 + (time.monotonic() - began) // MINUTE_SECONDS
    assert "error" in lines[0].lower()
    assert f"PATCH {NODE}" in lines[0]
    csi_pb2_grpc.NodeStub(node.channel).NodeGetInfo(csi_pb2.NodeGetInfoRequest())
    server.denied = set()
    wait_until(lambda: taints(server) == THEIRS)


def test_a_taint_that_comes_back_goes_again(
    server: ApiServer, start_node: StartNode
) -> None:  # S11: the Node was deleted, and kubelet has made it again
    server.objects[CSI_NODE] = REGISTERED
    start_node("--time-scale", "0.02")
    wait_until(lambda: taints(server) == THEIRS)

    server.objects[NODE] = copy.deepcopy(server.objects[NODE])
    taints(server).append(OURS)

    wait_until(lambda: taints(server) == THEIRS)


@pytest.mark.parametrize(
    ("flags", "environment"),
    [
        (("--taint-removal", "false"), {}),
        (("--metadata-sources", "kubernetes"), {"CSI_EXOBLOCK_TAINT_REMOVAL": "false"}),
    ],
)
def test_the_taint_may_be_left_to_others(
    server: ApiServer,
    start_node: StartNode,
    flags: tuple[str, ...],
    environment: dict[str, str],
) -> None:  # serviceAccount.disableMutation
    server.objects[CSI_NODE] = REGISTERED
    endpoint = Endpoint()

    node = start_node(*flags, *endpoint.flags, **environment)
    csi_pb2_grpc.NodeStub(node.channel).NodeGetInfo(csi_pb2.NodeGetInfoRequest())
    wait_until(lambda: endpoint.shows(SHOWN, 1))
    node.stop()

    assert {(each.method, each.path) for each in server.received} == {
        ("GET", NODE), ("GET", CSI_NODE)
    }  # fmt: skip
    assert OURS in taints(server)


@pytest.mark.parametrize("removal", ["true", "false"])
def test_metric_shows_whether_csinode_lists_the_driver(
    server: ApiServer, start_node: StartNode, removal: str
) -> None:  # F7, N3
    endpoint = Endpoint()
    start_node("--time-scale", "0.02", "--taint-removal", removal, *endpoint.flags)

    wait_until(lambda: endpoint.shows(SHOWN, 0))
    server.objects[CSI_NODE] = REGISTERED
    wait_until(lambda: endpoint.shows(SHOWN, 1))
    server.objects[CSI_NODE] = csi_node()  # kubelet has forgotten the driver
    wait_until(lambda: endpoint.shows(SHOWN, 0))


def test_csinode_of_an_earlier_node_of_the_name_does_not_count(
    server: ApiServer, start_node: StartNode
) -> None:  # S11: the Node was made again, and nobody has removed its predecessor's CSINode yet
    server.objects[NODE]["metadata"]["uid"] = "new"
    stale = copy.deepcopy(REGISTERED)
    stale["metadata"]["ownerReferences"] = [{"kind": "Node", "name": NODE_NAME, "uid": "old"}]
    server.objects[CSI_NODE] = stale
    start_node()

    wait_until(lambda: server.count("GET", CSI_NODE) > 2)
    assert OURS in taints(server)
    stale["metadata"]["ownerReferences"][0]["uid"] = "new"

    wait_until(lambda: taints(server) == THEIRS)


def test_driver_that_csinode_has_lost_is_registered_again(
    server: ApiServer, start_node: StartNode
) -> None:  # S27
    server.objects[CSI_NODE] = REGISTERED
    with tempfile.TemporaryDirectory(prefix="kubelet-") as folder:
        socket = pathlib.Path(folder, "reg.sock")
        start_node("--time-scale", "0.02", "--registration-path", str(socket))
        wait_until(socket.is_socket)
        wait_until(lambda: OURS not in taints(server))
        before = socket.stat().st_ino

        server.objects[CSI_NODE] = csi_node()

        wait_until(lambda: socket.is_socket() and socket.stat().st_ino != before)


def test_metric_is_not_shown_while_kubernetes_has_not_answered(
    server: ApiServer, start_node: StartNode
) -> None:  # F7
    server.denied = {("GET", CSI_NODE)}
    endpoint = Endpoint()
    start_node(*endpoint.flags)

    wait_until(lambda: server.count("GET", CSI_NODE) > 2)

    assert endpoint.value(SHOWN) is None
