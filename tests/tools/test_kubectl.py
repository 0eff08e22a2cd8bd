"""Outside of a pod, one `kubectl proxy` answers all requests of a command (N11)."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import KubernetesDenied, KubernetesUnavailable, NotFound
from csi_exoblock.timing import Timing
from csi_exoblock.tools.kubectl import Kubectl
from tests.apiserver.server import TOKEN, ApiServer
from tests.support.waiting import wait_until
from tests.tools.conftest import CLUSTER, NODES, UID

SECONDS = 60
ENDS_SECONDS = 20


def limit() -> Deadline:
    """Return a deadline that a working request does not reach."""
    return Deadline(SECONDS)


@pytest.fixture(autouse=True)
def temporary(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pathlib.Path]:
    """The folder for temporary files, which must be empty at the end; pytest has its own then."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="k"))  # the path of a socket must be short
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    left = list(folder.iterdir())
    for process in running_with(str(folder)):
        os.kill(process, signal.SIGKILL)
    shutil.rmtree(folder)
    assert left == []


@pytest.fixture
def through(
    kubectl: pathlib.Path, temporary: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Kubectl]:
    """The source, with the played kubectl."""
    monkeypatch.setenv("PATH", f"{kubectl}:/usr/bin:/bin")
    source = Kubectl(kubeconfig=None, context="", timing=Timing())
    yield source
    source.close()


def test_kubectl_is_started_once(
    through: Kubectl, kubectl: pathlib.Path, cluster: ApiServer
) -> None:  # N11
    starts = kubectl / "starts"
    program = kubectl / "kubectl"
    program.rename(kubectl / "played")
    program.write_text(f'#!/bin/sh\necho "$@" >>{starts}\nexec {kubectl}/played "$@"\n')
    program.chmod(0o755)

    for _ in range(3):
        assert through.get(CLUSTER, limit())["metadata"]

    assert len(starts.read_text().splitlines()) == 1
    assert cluster.count("GET", CLUSTER) == 3


def test_nobody_else_gets_at_it(through: Kubectl, temporary: pathlib.Path) -> None:  # N11
    through.get(CLUSTER, limit())

    (folder,) = temporary.iterdir()

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_what_the_api_server_refuses_is_told_apart(
    through: Kubectl, cluster: ApiServer
) -> None:  # N11
    cluster.denied.add(("GET", NODES))

    with pytest.raises(KubernetesDenied, match="you may not"):
        through.get(NODES, limit())
    with pytest.raises(NotFound):
        through.get("/api/v1/nodes/none", limit())


def test_kubectl_that_does_not_start_says_why(
    through: Kubectl, kubectl: pathlib.Path
) -> None:  # N11
    (kubectl / "kubectl").write_text("#!/bin/sh\necho 'error: no such context' >&2\nexit 1\n")

    with pytest.raises(KubernetesUnavailable, match="error: no such context"):
        through.get(CLUSTER, limit())


def test_kubectl_that_never_serves_is_given_up(
    through: Kubectl, kubectl: pathlib.Path
) -> None:  # N11
    (kubectl / "kubectl").write_text("#!/bin/sh\nexec sleep 3600\n")

    with pytest.raises(KubernetesUnavailable, match="did not begin to serve"):
        through.get(CLUSTER, Deadline(0.5))


def test_kubectl_ends_with_a_command_that_is_killed(
    kubectl: pathlib.Path, temporary: pathlib.Path
) -> None:  # N11
    command = (
        "import time\n"
        "from csi_exoblock.tools.kubectl import Kubectl, Deadline, Timing\n"
        "source = Kubectl(kubeconfig=None, context='', timing=Timing())\n"
        f"source.get({CLUSTER!r}, Deadline(60))\n"
        "print(source._socket, flush=True)\n"
        "time.sleep(3600)\n"
    )
    with subprocess.Popen(
        (sys.executable, "-c", command),
        env={"PATH": f"{kubectl}:/usr/bin:/bin", "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        text=True,
    ) as killed:
        assert killed.stdout
        socket = pathlib.Path(killed.stdout.readline().strip())
        assert socket.exists()
        killed.send_signal(signal.SIGKILL)

    wait_until(lambda: not socket.parent.exists(), seconds=ENDS_SECONDS)
    wait_until(lambda: not running_with(str(socket)), seconds=ENDS_SECONDS)


def running_with(word: str) -> list[int]:
    """Return the processes that have a word in their command line."""
    found = []
    for each in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if word in each.read_bytes().decode(errors="replace"):
                found.append(int(each.parent.name))
    return found


def test_a_real_kubectl_logs_in_as_its_kubeconfig_says(
    cluster: ApiServer, tmp_path: pathlib.Path, temporary: pathlib.Path
) -> None:  # N11
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    login = tmp_path / "login"
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": TOKEN},
    }
    login.write_text(f"#!/bin/sh\necho >>{tmp_path}/logins\necho '{json.dumps(credential)}'\n")
    login.chmod(0o755)
    source = Kubectl(
        kubeconfig=kubeconfig(tmp_path, cluster, login), context="other", timing=Timing()
    )
    try:
        assert source.get(CLUSTER, limit())["metadata"] == {"name": "kube-system", "uid": UID}
        assert source.get(NODES, limit(), query={"limit": "7"})["items"] == []
        with pytest.raises(NotFound):
            source.get("/api/v1/nodes/none", limit())
    finally:
        source.close()

    assert len((tmp_path / "logins").read_text()) == 1


def kubeconfig(folder: pathlib.Path, cluster: ApiServer, login: pathlib.Path) -> pathlib.Path:
    """Write a kubeconfig with a context `other`, whose user logs in by a program."""
    authority = cluster.account / "ca.crt"
    server = {
        "server": f"https://{cluster.host}:{cluster.port}",
        "certificate-authority": f"{authority}",
    }
    command = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": str(login),
        "interactiveMode": "IfAvailable",
    }
    path = folder / "kubeconfig"
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "played", "cluster": server}],
                "users": [{"name": "somebody", "user": {"exec": command}}],
                "contexts": [
                    {"name": "other", "context": {"cluster": "played", "user": "somebody"}}
                ],
                "current-context": "none",
            }
        )
    )
    return path
