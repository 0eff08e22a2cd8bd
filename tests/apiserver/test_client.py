"""What the room kubernetes asks, and what it makes of answers, without a driver around it."""

from __future__ import annotations

import dataclasses

import pytest

from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import KubernetesSettings
from csi_exoblock.errors import (
    DeadlineExceeded,
    KubernetesConflict,
    KubernetesDenied,
    KubernetesExpired,
    KubernetesUnavailable,
    NotFound,
)
from csi_exoblock.kubernetes.client import Kubernetes
from csi_exoblock.kubernetes.server import ApiServer as Client
from csi_exoblock.timing import Timing
from csi_exoblock.tools.read_once import ReadOnce
from tests.apiserver.conftest import NODE, NODE_NAME
from tests.apiserver.server import ApiServer, Drip, Huge, Raw, Status, Step
from tests.tools.objects import persistent_volume

VOLUMES = "/api/v1/persistentvolumes"
CONTENTS = "/apis/snapshot.storage.k8s.io/v1/volumesnapshotcontents"
PATIENCE_SECONDS = 60.0
# More than enough for a byte on a busy machine, and less than what drips takes in all.
LIMIT_SECONDS = 4.0


@pytest.fixture
def client(server: ApiServer) -> Client:
    settings = KubernetesSettings(
        host=server.host, port=server.port, service_account_path=server.account
    )
    return Client(settings, timing=Timing())


@pytest.fixture
def kubernetes(client: Client) -> Kubernetes:
    return Kubernetes(client)


@pytest.fixture
def kept(client: Client) -> Kubernetes:
    """The same as commands see it, which read everything once."""
    return Kubernetes(ReadOnce(client))


@pytest.mark.parametrize(
    "step", [Drip(), Drip(head=b"HTTP/1.1 200 OK\r\n", drop=b"X: y\r\n")], ids=["body", "head"]
)
def test_an_answer_that_drips_ends_at_the_deadline(
    server: ApiServer, kubernetes: Kubernetes, step: Drip
) -> None:  # F18: a byte now and then outlasts every limit between two bytes
    server.next(NODE, dataclasses.replace(step, pause_seconds=0.2, drops=90))

    with pytest.raises(KubernetesUnavailable, match=r"no answer in time|timed out"):
        kubernetes.get_node(NODE_NAME, Deadline(LIMIT_SECONDS))


def test_an_answer_without_end_is_read_up_to_a_size(
    server: ApiServer, kubernetes: Kubernetes
) -> None:  # F18
    server.next(NODE, Huge())

    with pytest.raises(KubernetesUnavailable, match="more than 16777216 bytes"):
        kubernetes.get_node(NODE_NAME, Deadline(PATIENCE_SECONDS))


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (Status(401), KubernetesDenied),
        (Status(403), KubernetesDenied),
        (Status(404), NotFound),
        (Status(409), KubernetesConflict),
        (Status(410), KubernetesExpired),
        (Status(422), KubernetesConflict),
        (Status(429), KubernetesUnavailable),
        (Status(500), KubernetesUnavailable),
        (Status(504), KubernetesUnavailable),
        (Raw(b"HTTP/1.1 404 Not Found\r\n\r\n404 page not found\n"), NotFound),
        (Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"), KubernetesUnavailable),
        (Raw(b"HTTP/1.1 200 OK\r\n\r\nnull"), KubernetesUnavailable),
    ],
    ids=lambda each: str(each)[:50],
)
def test_what_an_answer_means(
    server: ApiServer, kubernetes: Kubernetes, step: Step, kind: type[Exception]
) -> None:
    server.next(NODE, step)

    with pytest.raises(kind, match=f"Kubernetes, GET {NODE}"):
        kubernetes.get_node(NODE_NAME, Deadline(PATIENCE_SECONDS))


def test_an_object_larger_than_any_buffer_is_read(
    server: ApiServer, kubernetes: Kubernetes
) -> None:  # of a server that says that it will close the connection, as Kubernetes' does
    server.objects[NODE]["status"] = {"images": [{"names": ["x" * 100]}] * 5_000}

    assert kubernetes.get_node(NODE_NAME, Deadline(PATIENCE_SECONDS)).name == NODE_NAME


def test_nothing_is_sent_when_the_time_is_over(server: ApiServer, kubernetes: Kubernetes) -> None:
    with pytest.raises(DeadlineExceeded):
        kubernetes.get_node(NODE_NAME, Deadline(0.0))

    assert server.received == []


def test_a_server_that_is_not_there_is_named(server: ApiServer, kubernetes: Kubernetes) -> None:
    (server.account / "token").unlink()

    with pytest.raises(KubernetesUnavailable, match="token"):
        kubernetes.get_node(NODE_NAME, Deadline(PATIENCE_SECONDS))


def test_a_name_is_part_of_a_path_whatever_is_in_it(
    server: ApiServer, kubernetes: Kubernetes
) -> None:
    with pytest.raises(NotFound):
        kubernetes.get_node("../namespaces/kube-system?x#y", Deadline(PATIENCE_SECONDS))

    assert server.received[0].path == "/api/v1/nodes/..%2Fnamespaces%2Fkube-system%3Fx%23y"


def test_persistent_volumes_are_listed(server: ApiServer, kubernetes: Kubernetes) -> None:  # C4
    server.lists[VOLUMES] = [
        {
            "metadata": {"name": "pvc-1"},
            "spec": {
                "csi": {"driver": "d", "volumeHandle": "ch-gva-2/1"},
                "claimRef": {"namespace": "default", "name": "data"},
            },
            "status": {"phase": "Bound"},
        },
        {"metadata": {"name": "by-hand"}, "spec": {"nfs": {"path": "/"}}},
    ]

    found = kubernetes.list_persistent_volumes(Deadline(PATIENCE_SECONDS))

    assert [
        (each.name, each.driver_name, each.handle, each.phase, each.claim) for each in found
    ] == [
        ("pvc-1", "d", "ch-gva-2/1", "Bound", ("default", "data")),
        ("by-hand", "", "", "", None),
    ]


def test_snapshot_contents_are_listed(server: ApiServer, kubernetes: Kubernetes) -> None:  # C4
    reference = {"namespace": "default", "name": "today"}
    server.lists[CONTENTS] = [
        {
            "metadata": {"name": "taken"},
            "spec": {
                "driver": "d",
                "volumeSnapshotRef": reference,
                "source": {"volumeHandle": "v"},
            },
            "status": {"snapshotHandle": "ch-gva-2/2"},
        },
        {
            "metadata": {"name": "given"},
            "spec": {
                "driver": "d",
                "volumeSnapshotRef": reference,
                "source": {"snapshotHandle": "ch-gva-2/3"},
            },
        },
    ]

    found = kubernetes.list_snapshot_contents(Deadline(PATIENCE_SECONDS))

    assert [(each.name, each.driver_name, each.handle, each.snapshot) for each in found] == [
        ("taken", "d", "ch-gva-2/2", ("default", "today")),
        ("given", "d", "ch-gva-2/3", ("default", "today")),
    ]


def test_a_cluster_without_snapshots_has_none(
    server: ApiServer, kubernetes: Kubernetes
) -> None:  # F6: as Kubernetes 1.37 answers where the kind is not known
    server.next(CONTENTS, Raw(b"HTTP/1.1 404 Not Found\r\n\r\n404 page not found\n"))

    assert kubernetes.list_snapshot_contents(Deadline(PATIENCE_SECONDS)) == []


def test_a_list_that_always_expires_is_given_up(server: ApiServer, kubernetes: Kubernetes) -> None:
    server.always(VOLUMES, Status(410))

    with pytest.raises(KubernetesExpired):
        kubernetes.list_persistent_volumes(Deadline(PATIENCE_SECONDS))

    assert server.count("GET", VOLUMES) == 3


def test_a_list_that_expires_is_read_afresh_though_answers_are_kept(
    server: ApiServer, kept: Kubernetes
) -> None:  # N11
    server.lists[VOLUMES] = [persistent_volume(str(n), f"a/{n}") for n in range(300)]
    server.expired = {"250"}  # where the second page begins

    found = kept.list_persistent_volumes(Deadline(PATIENCE_SECONDS))

    assert len(found) == 300
    asked = [each.query.get("continue") for each in server.received if each.path == VOLUMES]
    assert asked == [None, "250", None, "250"]
