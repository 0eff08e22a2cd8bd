"""S22: before its plugin is stopped, a node that is drained waits until its volumes have left."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.apiserver.conftest import NODE, NODE_NAME, StartNode
from tests.apiserver.server import TOKEN, ApiServer, Drip, Hang, Object, Status, Step
from tests.support.children import die_with_parent
from tests.support.waiting import wait_until

DRIVER = "exoblock.csi.exoscale.com"
ATTACHMENTS = "/apis/storage.k8s.io/v1/volumeattachments"
DAEMON_SET = "/apis/apps/v1/namespaces/kube-system/daemonsets/exoblock-node"
PATIENCE_SECONDS = 90.0
# The plugin looks for its socket every half second here.
CHECKS_SECONDS = 1.5

CORDONED = {"spec": {"unschedulable": True}}
LEAVING = [
    CORDONED,
    {"metadata": {"deletionTimestamp": "2026-11-28T10:00:00Z"}},
    {"spec": {"taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]}},
    {"spec": {"taints": [{"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}]}},
    {"spec": {"taints": [{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]}},
    {
        "status": {
            "conditions": [
                {"type": "MemoryPressure", "status": "False"},
                {
                    "type": "Ready",
                    "status": "False",
                    "reason": "KubeletNotReady",
                    "message": "node is shutting down",
                },
            ]
        }
    },
]
STAYING = [
    {},
    {"spec": {"unschedulable": False, "taints": [{"key": f"{DRIVER}/agent-not-ready"}]}},
    {"status": {"conditions": [{"type": "Ready", "status": "Unknown", "message": "no word"}]}},
    {"status": {"conditions": [{"type": "Ready", "status": "True", "message": "ready"}]}},
]


class Run:
    """A run of the hook."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.said = ""

    def is_over(self) -> bool:
        return self._process.poll() is not None

    def end(self) -> int:
        """Wait for its end and return its exit code."""
        _, self.said = self._process.communicate(timeout=PATIENCE_SECONDS)
        return self._process.returncode


@contextmanager
def running(server: ApiServer, *flags: str, **environment: str) -> Iterator[Run]:
    """Begin the hook; it ends with the block.

    It waits as long for the server as in a cluster: twenty seconds, ten for each request.
    """
    process = subprocess.Popen(
        (sys.executable, "-m", "csi_exoblock", "pre-stop", *flags),
        env={
            "PATH": os.environ["PATH"],
            "KUBE_NODE_NAME": NODE_NAME,
            **server.environment,
            **environment,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent,
    )
    try:
        yield Run(process)
    finally:
        process.kill()
        process.communicate()


def attachment(name: str, *, node: str = NODE_NAME, driver: str = DRIVER) -> Object:
    return {
        "metadata": {"name": f"csi-{name}"},
        "spec": {
            "attacher": driver,
            "nodeName": node,
            "source": {"persistentVolumeName": f"pvc-{name}"},
        },
        "status": {"attached": True},
    }


@pytest.fixture(autouse=True)
def attached(server: ApiServer) -> list[Object]:
    """Two volumes of the driver on this node, and what is others'."""
    server.lists[ATTACHMENTS] = [
        attachment("one"),
        attachment("elsewhere", node="there"),
        attachment("theirs", driver="other.csi.example.com"),
        attachment("two"),
    ]
    return server.lists[ATTACHMENTS]


def become(server: ApiServer, change: dict[str, Any]) -> None:
    """Change the node's object."""
    node = server.objects[NODE]
    for part, fields in change.items():
        node[part] = {**node.get(part, {}), **fields}


@pytest.mark.parametrize("change", LEAVING, ids=lambda change: str(change)[:70])
def test_a_node_that_leaves_waits_for_its_own_volumes_alone(
    server: ApiServer, attached: list[Object], change: dict[str, Any]
) -> None:  # S22
    become(server, change)
    with running(server) as hook:
        wait_until(lambda: server.count("GET", ATTACHMENTS) > 1)
        assert not hook.is_over()

        del attached[3]
        asked = server.count("GET", ATTACHMENTS)
        wait_until(lambda: server.count("GET", ATTACHMENTS) > asked + 1)
        assert not hook.is_over()
        del attached[0]

        assert hook.end() == 0
        assert "2 volumes are attached: pvc-one, pvc-two" in hook.said
        assert "no volume is attached" in hook.said


@pytest.mark.parametrize("change", STAYING, ids=lambda change: str(change)[:70])
def test_a_node_that_stays_waits_for_nothing(
    server: ApiServer, change: dict[str, Any]
) -> None:  # S22: an upgrade of the plugin
    become(server, change)

    with running(server) as hook:
        assert hook.end() == 0

    assert [each.path for each in server.received] == [NODE]
    assert "stays: nothing to wait for" in hook.said


def test_a_node_that_is_gone_already_counts_as_leaving(server: ApiServer) -> None:  # S22
    del server.objects[NODE]

    with running(server) as hook:
        wait_until(lambda: server.count("GET", ATTACHMENTS) > 1)
        server.lists[ATTACHMENTS] = []
        assert hook.end() == 0


def test_an_attachment_that_never_goes_is_named_at_the_end(server: ApiServer) -> None:  # S22
    become(server, CORDONED)

    with running(server, "--pre-stop-timeout", "8s") as hook:
        assert hook.end() == 1

    last = hook.said.splitlines()[-1]
    assert last.startswith(f"csi-exoblock: node {NODE_NAME}: the time is over, but 2 volumes")
    assert "pvc-one, pvc-two" in last


def test_an_attachment_is_named_at_the_end_though_kubernetes_fell_silent(
    server: ApiServer,
) -> None:  # S22
    become(server, CORDONED)

    with running(server, "--pre-stop-timeout", "15s") as hook:
        wait_until(lambda: server.count("GET", ATTACHMENTS) > 1)
        server.always(NODE, Status(503))
        assert hook.end() == 1

    assert "the time is over, but 2 volumes" in hook.said.splitlines()[-1]


def test_a_node_that_is_no_longer_cordoned_stays(server: ApiServer) -> None:  # S22
    become(server, CORDONED)
    with running(server) as hook:
        wait_until(lambda: server.count("GET", ATTACHMENTS) > 1)

        become(server, {"spec": {"unschedulable": False}})

        assert hook.end() == 0
        assert "is no longer leaving" in hook.said


@pytest.mark.parametrize(
    "step", [Status(503), Status(429), Hang(), Drip()], ids=lambda step: str(step)[:20]
)
def test_an_api_server_that_is_away_does_not_hold_up_the_end_for_long(
    server: ApiServer, step: Step
) -> None:  # S22
    server.always(NODE, step)

    with running(server, "--time-scale", "0.05", "--pre-stop-timeout", "24h") as hook:
        assert hook.end() == 1

    assert "no answer in time" in hook.said.splitlines()[-1]


@pytest.mark.parametrize("path", [NODE, ATTACHMENTS])
def test_a_failure_on_the_way_is_no_end(server: ApiServer, path: str) -> None:  # S22
    become(server, CORDONED)
    server.next(path, Status(500), Hang())
    with running(server, "--pre-stop-timeout", "1h") as hook:
        wait_until(lambda: server.count("GET", ATTACHMENTS) > 2)
        assert not hook.is_over()

        server.lists[ATTACHMENTS] = []

        assert hook.end() == 0


@pytest.mark.parametrize("path", [NODE, ATTACHMENTS])
def test_missing_rights_end_it_at_once(server: ApiServer, path: str) -> None:  # S22, S23
    become(server, CORDONED)
    server.denied = {("GET", path)}

    with running(server, "--pre-stop-timeout", "24h") as hook:
        assert hook.end() == 1

    assert f"GET {path}" in hook.said
    assert server.count("GET", path) == 1


@pytest.mark.parametrize("missing", ["KUBERNETES_SERVICE_HOST", "KUBE_NODE_NAME"])
def test_outside_of_a_cluster_there_is_nothing_to_wait_for(
    server: ApiServer, missing: str
) -> None:  # S22
    with running(server, **{missing: ""}) as hook:
        assert hook.end() == 0

    assert server.received == []


def with_daemon_set(socket: pathlib.Path) -> tuple[str, ...]:
    return ("--daemon-set", "kube-system/exoblock-node", "--registration-path", str(socket))


@pytest.fixture
def socket() -> Iterator[pathlib.Path]:
    """Where kubelet finds the plugin; pytest's own path may be too long for the name of one."""
    with tempfile.TemporaryDirectory(prefix="kubelet-") as folder:
        yield pathlib.Path(folder) / "driver-reg.sock"


@pytest.mark.parametrize("sign", ["gone", "being deleted", "403", "401"])
def test_a_plugin_that_is_uninstalled_leaves_no_socket_until_it_is_installed_again(
    server: ApiServer, start_node: StartNode, socket: pathlib.Path, sign: str
) -> None:  # S22: CSINode would go on listing the driver
    server.objects[DAEMON_SET] = {"metadata": {"name": "exoblock-node"}}
    plugin = start_node("--registration-path", str(socket))
    wait_until(socket.is_socket)
    if sign == "gone":
        del server.objects[DAEMON_SET]
    elif sign == "being deleted":
        server.objects[DAEMON_SET]["metadata"]["deletionTimestamp"] = "2026-11-28T10:00:00Z"
    elif sign == "403":
        server.denied = {("GET", DAEMON_SET), ("GET", NODE), ("GET", ATTACHMENTS)}
    else:
        server.tokens = set()

    with running(server, *with_daemon_set(socket)) as hook:
        assert hook.end() == 0

    assert "kubelet removes the driver" in hook.said
    threading.Event().wait(CHECKS_SECONDS)
    assert not socket.exists()
    plugin.stop()
    assert not socket.exists()
    server.tokens, server.denied = {TOKEN}, set()
    start_node("--registration-path", str(socket))
    wait_until(socket.is_socket)


@pytest.mark.parametrize("step", [None, Status(503)], ids=["there", "503"])
def test_a_plugin_that_is_replaced_keeps_its_socket(
    server: ApiServer, socket: pathlib.Path, step: Step | None
) -> None:  # S15, S22: nor does an API server that is away uninstall anything
    socket.touch()
    server.objects[DAEMON_SET] = {"metadata": {"name": "exoblock-node"}}
    server.always(DAEMON_SET, step)

    with running(server, *with_daemon_set(socket)) as hook:
        assert hook.end() == 0

    assert socket.exists()
    assert "stays: nothing to wait for" in hook.said


def test_it_imports_nothing_that_takes_long(server: ApiServer) -> None:  # S22: under a second
    with running(server, PYTHONPROFILEIMPORTTIME="1") as hook:
        assert hook.end() == 0

    imported = set(re.findall(r"\| +(\w+)\S*$", hook.said, re.MULTILINE))
    assert "csi_exoblock" in imported
    assert (
        imported & {"grpc", "google", "requests", "urllib3", "prometheus_client", "rich"} == set()
    )


def test_attachments_are_listed_page_by_page(server: ApiServer) -> None:  # S22: never watched
    become(server, CORDONED)
    server.lists[ATTACHMENTS] = [
        *(attachment(str(number), node="there") for number in range(600)),
        attachment("last"),
    ]
    with running(server) as hook:
        wait_until(lambda: server.count("GET", ATTACHMENTS) > 3)
        assert not hook.is_over()
        server.lists[ATTACHMENTS].pop()
        assert hook.end() == 0

    assert "1 volumes are attached: pvc-last" in hook.said
    asked = [each.query for each in server.received if each.path == ATTACHMENTS][:3]
    assert [each.get("continue") for each in asked] == [None, "250", "500"]


def test_a_list_that_expires_between_two_pages_begins_again(server: ApiServer) -> None:  # S22
    become(server, CORDONED)
    server.lists[ATTACHMENTS] = [attachment(str(number), node="there") for number in range(300)]
    server.expired = {"250"}

    with running(server) as hook:
        assert hook.end() == 0

    asked = [each.query.get("continue") for each in server.received if each.path == ATTACHMENTS]
    assert asked == [None, "250", None, "250"]
