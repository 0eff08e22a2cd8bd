"""Commands that an operator types, on a simulated cloud and a played cluster."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import IO, Any
from uuid import UUID

import pytest

from csi_exoblock.app.cloud import unwatched_cloud
from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import ApiSettings
from csi_exoblock.credentials import Credentials
from csi_exoblock.model import ZoneName
from csi_exoblock.timing import Timing
from tests.apiserver.server import ApiServer
from tests.support.forks import forks, is_for_python
from tests.support.simulator_process import SimulatorProcess
from tests.tools.installed import DAEMON_SETS, DEPLOYMENTS, install
from tests.tools.objects import DRIVER, csi_node, node, storage_class

UID = "0b7a4a4e-6f0e-4f0c-9c39-3fb0dd1d8a51"
CLUSTER = "/api/v1/namespaces/kube-system"
VOLUMES = "/api/v1/persistentvolumes"
CONTENTS = "/apis/snapshot.storage.k8s.io/v1/volumesnapshotcontents"
CLAIMS = "/api/v1/persistentvolumeclaims"
NODES = "/api/v1/nodes"
ATTACHMENTS = "/apis/storage.k8s.io/v1/volumeattachments"
CSI_NODES = "/apis/storage.k8s.io/v1/csinodes"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
CSI_DRIVER = f"/apis/storage.k8s.io/v1/csidrivers/{DRIVER}"
SNAPSHOTS = "/apis/snapshot.storage.k8s.io/v1"
SNAPSHOT_CLASSES = f"{SNAPSHOTS}/volumesnapshotclasses"
VOLUME_SNAPSHOTS = f"{SNAPSHOTS}/volumesnapshots"
LIMIT_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    output: str
    errors: str

    @property
    def json(self) -> Any:
        return json.loads(self.output)

    def faults(self) -> list[tuple[str, str]]:
        """Return check and text of what the doctor found wrong; each has a remedy."""
        found = [each for each in self.json["findings"] if each["verdict"] == "wrong"]
        assert all(each["remedy"] for each in found)
        assert self.code == int(bool(found)), self.errors
        return [(each["check"], each["says"]) for each in found]

    def skipped(self) -> list[tuple[str, str]]:
        """Return check and text of what the doctor could not check."""
        return [
            (each["check"], each["says"])
            for each in self.json["findings"]
            if each["verdict"] == "not checked"
        ]


Run = Callable[..., Ended]
AtDesk = Callable[..., Ended]


@pytest.fixture(scope="module")
def shared_cloud() -> Iterator[SimulatorProcess]:
    with SimulatorProcess.start("--latency", "0s", "--local-instance", "none") as running:
        yield running


@pytest.fixture
def cloud(shared_cloud: SimulatorProcess) -> SimulatorProcess:
    """An empty cloud."""
    shared_cloud.clear()
    shared_cloud.clear_faults()
    return shared_cloud


@pytest.fixture
def cluster(tmp_path: pathlib.Path) -> Iterator[ApiServer]:
    """A cluster with an id and without volumes."""
    (tmp_path / "cluster").mkdir()
    with ApiServer(tmp_path / "cluster") as running:
        running.objects[CLUSTER] = {"metadata": {"name": "kube-system", "uid": UID}}
        running.lists[VOLUMES] = []
        running.lists[CONTENTS] = []
        running.lists[CLAIMS] = []
        running.lists[ATTACHMENTS] = []
        running.lists[NODES] = []
        running.lists[CSI_NODES] = []
        running.lists[CLASSES] = [storage_class()]
        running.lists[DEPLOYMENTS] = []
        running.lists[DAEMON_SETS] = []
        yield running


@pytest.fixture
def run(cloud: SimulatorProcess, cluster: ApiServer) -> Run:
    """Run a command in a pod of the cluster."""

    def start(*arguments: str, **environment: str) -> Ended:
        return run_tool(*arguments, environment={
            "CSI_EXOBLOCK_API_ENDPOINT": cloud.api_endpoint,
            **cloud.environment,
            **cluster.environment,
            **environment,
        })  # fmt: skip

    return start


def run_tool(*arguments: str, environment: Mapping[str, str]) -> Ended:
    """Run a command with nothing but this in its environment, and PATH.

    It is a fork of a process that has imported everything, unless Python itself is to be told
    something.
    """
    if any(map(is_for_python, environment)):
        return _run_afresh(arguments, environment)
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        command = forks().start(
            arguments,
            environment={"PATH": os.environ["PATH"], **environment},
            stdout=output.fileno(),
            stderr=errors.fileno(),
        )
        try:
            code = command.wait(LIMIT_SECONDS)
        finally:
            command.kill()
        return Ended(code=code, output=_said(output), errors=_said(errors))


def _run_afresh(arguments: Sequence[str], environment: Mapping[str, str]) -> Ended:
    ended = subprocess.run(
        (sys.executable, "-m", "csi_exoblock", *arguments),
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    return Ended(code=ended.returncode, output=ended.stdout, errors=ended.stderr)


def _said(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def make_volume(
    cloud: SimulatorProcess, name: str, *, zone: str | None = None, **labels: str | None
) -> dict[str, Any]:
    """Make a detached volume as the driver labels it; `None` leaves a label out."""
    zone = zone or cloud.zones[0]
    before = {each["id"] for each in cloud.volumes()}
    cloud.add_volumes(zone, 1, prefix=name)
    (made,) = [each for each in cloud.volumes() if each["id"] not in before]
    usual: dict[str, str | None] = {"driver": DRIVER, "cluster-id": UID, "name": name}
    wanted = {**usual, **{key.replace("_", "-"): value for key, value in labels.items()}}
    cloud.relabel_volume(
        zone, made["id"], {f"exoblock/{key}": each for key, each in wanted.items() if each}
    )
    return {**made, "handle": f"{zone}/{made['id']}"}


def label_snapshot(cloud: SimulatorProcess, zone: str, id: str, **labels: str) -> None:
    """Write a snapshot's labels, as the driver would."""
    environment = cloud.environment
    api = ApiSettings(
        endpoint=cloud.api_endpoint,
        credentials=Credentials(
            key=environment["EXOSCALE_API_KEY"], secret=environment["EXOSCALE_API_SECRET"]
        ),
        user_agent="tests",
    )
    client = unwatched_cloud(api, timing=Timing())
    wanted = {"driver": DRIVER, "cluster-id": UID, **labels}
    client.zone(ZoneName(zone)).update_snapshot(
        UUID(id),
        labels={f"exoblock/{key.replace('_', '-')}": value for key, value in wanted.items()},
        deadline=Deadline(LIMIT_SECONDS),
    )


@pytest.fixture
def healthy(cloud: SimulatorProcess, cluster: ApiServer) -> ApiServer:
    """A cluster with one node and the driver, in order."""
    instance = cloud.add_instance(cloud.zones[0])
    cluster.objects[CSI_DRIVER] = {"spec": {"attachRequired": True, "fsGroupPolicy": "File"}}
    cluster.objects[SNAPSHOTS] = {"kind": "APIResourceList"}
    cluster.lists[SNAPSHOT_CLASSES] = [{"metadata": {"name": "exoblock"}, "driver": DRIVER}]
    cluster.lists[VOLUME_SNAPSHOTS] = []
    cluster.lists[NODES] = [node("n1", instance, cloud.zones[0])]
    cluster.lists[CSI_NODES] = [csi_node("n1", 5)]
    install(cluster)
    return cluster


@pytest.fixture
def at_desk(from_desk: Run) -> AtDesk:
    """Run the doctor with a kubectl and no pod."""
    return partial(from_desk, "doctor")


@pytest.fixture
def from_desk(cloud: SimulatorProcess, cluster: ApiServer, kubectl: pathlib.Path) -> Run:
    """Run a command with a kubectl and no pod."""

    def start(*arguments: str, **environment: str) -> Ended:
        return run_tool(*arguments, environment={
            **cloud.environment,
            "EXOSCALE_API_ENDPOINT": cloud.api_endpoint,
            "PATH": f"{kubectl}:{os.environ['PATH']}",
            **environment,
        })  # fmt: skip

    return start


@pytest.fixture
def kubectl(tmp_path: pathlib.Path, cluster: ApiServer) -> pathlib.Path:
    """A folder with a `kubectl` whose proxy asks the played API server, as one who may do all."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "kubectl"
    program.write_text(
        f"#!{sys.executable} -I\n"
        "import http.client, http.server, socketserver, ssl, sys\n"
        f"context = ssl.create_default_context(cafile={str(cluster.account / 'ca.crt')!r})\n"
        "assert sys.argv[-2] == 'proxy', sys.argv\n"
        "connection, idle = http.client.HTTPSConnection, []\n"
        "class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):\n"
        "    daemon_threads = True\n"
        "class Handler(http.server.BaseHTTPRequestHandler):\n"
        "    def pass_on(self):\n"
        "        body = self.rfile.read(int(self.headers.get('Content-Length') or 0))\n"
        f"        server = idle.pop() if idle else connection({cluster.host!r}, {cluster.port},\n"
        "                                                    context=context)\n"
        "        server.request(self.command, self.path, body, {'Authorization': 'Bearer first'})\n"
        "        answer = server.getresponse()\n"
        "        content = answer.read()\n"
        "        idle.append(server)\n"
        "        self.send_response(answer.status)\n"
        "        self.end_headers()\n"
        "        self.wfile.write(content)\n"
        "    do_GET = do_POST = pass_on\n"
        "    def log_message(self, *_): pass\n"
        "path = sys.argv[-1].removeprefix('--unix-socket=')\n"
        "server = Server(path, Handler)\n"
        "print('Starting to serve on', path, flush=True)\n"
        "server.serve_forever()\n"
    )
    program.chmod(0o755)
    return folder
