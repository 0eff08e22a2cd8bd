"""S10: a node in a pod learns from Kubernetes who it is, and elsewhere if Kubernetes won't say."""

from __future__ import annotations

import pathlib
import time
import uuid
from collections.abc import Callable
from functools import partial

import grpc
import pytest

from csi_exoblock.pb import csi_pb2, csi_pb2_grpc
from tests.apiserver.conftest import INSTANCE, MINUTE_SECONDS, NODE, NODE_NAME, ZONE, StartNode
from tests.apiserver.server import ApiServer, Chunked, Drip, Hang, Huge, Raw, Status, Step
from tests.node import requests
from tests.node.requests import mount_capability
from tests.support.driver_process import DriverProcess
from tests.support.grpc_errors import refused
from tests.support.waiting import wait_until

ONLY = ("--metadata-sources", "kubernetes")
DENIED = "Kubernetes denies a right that the driver needs"
REGION = "topology.kubernetes.io/region"


def identity(node: DriverProcess) -> tuple[str, str]:
    """Return the node's id and its zone."""
    answer = csi_pb2_grpc.NodeStub(node.channel).NodeGetInfo(csi_pb2.NodeGetInfoRequest())
    (zone,) = answer.accessible_topology.segments.values()
    return answer.node_id, zone


def test_the_node_object_tells_instance_and_zone(
    server: ApiServer, start_node: StartNode
) -> None:  # S10
    node = start_node()

    assert identity(node) == (f"{ZONE}/{INSTANCE}", ZONE)
    assert {each.method for each in server.received} == {"GET"}
    assert server.received[0].headers["User-Agent"].startswith("csi-exoblock/")


def test_an_old_cloud_controller_wrote_the_zone_as_region(
    server: ApiServer, start_node: StartNode
) -> None:  # S10
    server.objects[NODE]["metadata"]["labels"] = {REGION: "de-fra-1"}

    assert identity(start_node(*ONLY)) == (f"de-fra-1/{INSTANCE}", "de-fra-1")


def test_the_zone_counts_before_the_region(server: ApiServer, start_node: StartNode) -> None:  # S10
    server.objects[NODE]["metadata"]["labels"][REGION] = "de-fra-1"

    assert identity(start_node(*ONLY)) == (f"{ZONE}/{INSTANCE}", ZONE)


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"spec": {"providerID": f"exoscale://{INSTANCE}"}},
        {"metadata": {"labels": {"topology.kubernetes.io/zone": ZONE}}, "spec": {}},
        {
            "metadata": {"labels": {"topology.kubernetes.io/zone": ZONE}},
            "spec": {"providerID": f"aws://{INSTANCE}"},
        },
        {
            "metadata": {"labels": {"topology.kubernetes.io/zone": "../x"}},
            "spec": {"providerID": f"exoscale://{INSTANCE}"},
        },
        {"metadata": {"labels": [ZONE]}, "spec": ["providerID"]},
    ],
)
def test_a_node_object_that_says_too_little_is_asked_until_it_does(
    server: ApiServer, start_node: StartNode, found: dict[str, object]
) -> None:  # S10: the cloud controller may come later than the driver
    whole = server.objects[NODE]
    server.objects[NODE] = found
    node = start_node(*ONLY, ready=False)
    wait_until(lambda: "source of the identity failed" in node.log.read_text())

    server.objects[NODE] = whole

    node.wait_until_ready()
    assert identity(node) == (f"{ZONE}/{INSTANCE}", ZONE)


def test_a_node_takes_no_volume_before_it_knows_its_zone(
    server: ApiServer, start_node: StartNode, tmp_path: pathlib.Path
) -> None:  # D2: a disk tells only the UUID, so a wrong zone in the id would go unnoticed
    whole = server.objects[NODE]
    server.objects[NODE] = {}
    node = start_node(*ONLY, ready=False)
    grpc.channel_ready_future(node.channel).result(timeout=60)
    stub, path = csi_pb2_grpc.NodeStub(node.channel), tmp_path / "kubelet"

    def calls(zone: str) -> list[Callable[[], object]]:
        volume_id = f"{zone}/{uuid.uuid4()}"
        stage = requests.stage(volume_id, path, mount_capability())
        publish = requests.publish(volume_id, path, path, mount_capability())
        expand = requests.expand(volume_id, path, path, mount_capability(), required=1)
        return [
            partial(stub.NodeStageVolume, stage),
            partial(stub.NodePublishVolume, publish),
            partial(stub.NodeExpandVolume, expand),
        ]

    for call in (*calls(ZONE), *calls("de-fra-1")):
        with refused(grpc.StatusCode.UNAVAILABLE, "doesn't know its zone yet"):
            call()
    server.objects[NODE] = whole
    node.wait_until_ready()

    for call in calls("de-fra-1"):
        with refused(grpc.StatusCode.NOT_FOUND, f"this node is in zone {ZONE}"):
            call()
    _, _, expand = calls(ZONE)
    with refused(grpc.StatusCode.UNAVAILABLE, "its disk"):
        expand()


@pytest.mark.parametrize(
    "step",
    [
        Status(500),
        Status(503),
        Status(429),
        Status(410),
        Status(404),
        Status(301),
        Raw(b""),
        Raw(b"\0\1\2 no HTTP at all\r\n\r\n"),
        Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}"),
        Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"),
        Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n"),
        Raw(b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000),
        Hang(),
        Drip(),
        Drip(head=b"HTTP/1.1 200 OK\r\n", drop=b"X: y\r\n"),
        Huge(),
    ],
    ids=lambda step: str(step)[:60],
)
def test_an_answer_that_makes_no_sense_is_no_end(
    server: ApiServer, start_node: StartNode, step: Step
) -> None:  # S10, F18
    server.next(NODE, step)

    node = start_node(*ONLY)

    assert identity(node) == (f"{ZONE}/{INSTANCE}", ZONE)
    wait_until(lambda: "source of the identity failed" in node.log.read_text())


def test_an_answer_in_chunks_is_read(server: ApiServer, start_node: StartNode) -> None:
    server.always(NODE, Chunked(server.objects[NODE]))

    assert identity(start_node(*ONLY)) == (f"{ZONE}/{INSTANCE}", ZONE)


def test_a_server_that_hangs_holds_up_neither_probe_nor_the_next_source(
    server: ApiServer, start_node: StartNode
) -> None:  # S10: nothing of Kubernetes stops the driver
    server.always(NODE, Hang())
    node = start_node("--metadata-sources", "kubernetes,cdrom", ready=False)
    wait_until(lambda: '"source": "cdrom"' in node.log.read_text())

    probe = csi_pb2_grpc.IdentityStub(node.channel).Probe(csi_pb2.ProbeRequest(), timeout=30)

    assert not probe.ready.value


def test_flags_are_asked_before_kubernetes(server: ApiServer, start_node: StartNode) -> None:  # S10
    server.always(NODE, Hang())

    node = start_node("--instance-id", INSTANCE, "--zone", "at-vie-1")

    assert identity(node) == (f"at-vie-1/{INSTANCE}", "at-vie-1")


def test_the_token_is_read_again_when_kubelet_renews_it(
    server: ApiServer, start_node: StartNode
) -> None:
    server.tokens = {"second"}
    node = start_node(*ONLY, ready=False)
    wait_until(lambda: "Unauthorized" in node.log.read_text())

    server.write_token("second\n")

    node.wait_until_ready()


def test_the_authority_is_read_again_when_it_is_renewed(
    server: ApiServer, start_node: StartNode, tmp_path: pathlib.Path
) -> None:
    authority = server.account / "ca.crt"
    own = authority.read_text()
    authority.write_text((pathlib.Path(__file__).parents[1] / "tls" / "authority.pem").read_text())
    node = start_node(*ONLY, ready=False)
    wait_until(lambda: "CERTIFICATE_VERIFY_FAILED" in node.log.read_text())
    assert server.received == [], "nobody gets the token whom the authority does not vouch for"

    authority.write_text(own)

    node.wait_until_ready()


def test_a_refusal_is_said_once_a_minute(server: ApiServer, start_node: StartNode) -> None:
    server.denied = {("GET", NODE)}
    began = time.monotonic()
    node = start_node(*ONLY, ready=False)

    wait_until(lambda: server.count("GET", NODE) > 5)
    wait_until(lambda: DENIED in node.log.read_text())

    said = node.log.read_text().count(DENIED)
    assert said <= 1 + (time.monotonic() - began) // MINUTE_SECONDS
    server.denied = set()
    node.wait_until_ready()


def test_a_server_at_an_address_of_ipv6_is_asked(
    tmp_path: pathlib.Path, start_node: StartNode
) -> None:
    with ApiServer(tmp_path, "::1") as server:
        server.objects[NODE] = {
            "metadata": {"labels": {"topology.kubernetes.io/zone": ZONE}},
            "spec": {"providerID": f"exoscale://{INSTANCE}"},
        }

        node = start_node(*ONLY, **server.environment)

        assert identity(node) == (f"{ZONE}/{INSTANCE}", ZONE)
        assert server.received[0].headers["Host"] == f"[::1]:{server.port}"


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        ("KUBERNETES_SERVICE_HOST", "runs in no pod of Kubernetes"),
        ("KUBERNETES_SERVICE_PORT", "runs in no pod of Kubernetes"),
        ("KUBE_NODE_NAME", "does not say which Node this is"),
    ],
)
def test_outside_of_a_cluster_the_other_sources_are_asked(
    server: ApiServer, start_node: StartNode, missing: str, says: str
) -> None:  # S10
    node = start_node("--metadata-sources", "kubernetes,cdrom", ready=False, **{missing: ""})

    wait_until(lambda: '"source": "cdrom"' in node.log.read_text())

    assert says in node.log.read_text()
    assert server.received == []


def test_a_pod_without_a_service_account_asks_the_other_sources(
    server: ApiServer, start_node: StartNode
) -> None:  # S10: automountServiceAccountToken: false
    for file in server.account.iterdir():
        file.unlink()

    node = start_node("--metadata-sources", "kubernetes,cdrom", ready=False)

    wait_until(lambda: '"source": "cdrom"' in node.log.read_text())
    assert server.received == []


def test_the_name_of_the_node_is_a_flag_too(server: ApiServer, start_node: StartNode) -> None:
    assert identity(start_node(*ONLY, "--node-name", NODE_NAME, KUBE_NODE_NAME="")) == (
        f"{ZONE}/{INSTANCE}",
        ZONE,
    )
