"""Outside of a pod, one `kubectl proxy` answers all requests of a command (N11)."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import pty
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import KubernetesDenied, KubernetesError, KubernetesUnavailable, NotFound
from csi_exoblock.timing import Timing
from csi_exoblock.tools.kubectl import Kubectl
from tests.apiserver.server import TOKEN, ApiServer
from tests.support.simulator_process import SimulatorProcess
from tests.support.waiting import wait_until
from tests.tools.conftest import CLUSTER, NODES, UID, make_volume, run_tool

SECONDS = 60
ENDS_SECONDS = 90


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
def plain(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Find kubectl itself first, not the one that asks the cluster which kubectl to be.

    Google's does so within a limit, and logs in once more if the cluster was slow.
    """
    found = shutil.which("kubectl")
    if found is None:
        pytest.skip("kubectl is not installed")
    program = pathlib.Path(found).resolve()
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "kubectl").symlink_to(max(program.parent.glob("kubectl.1.*"), default=program))
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")


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


@pytest.mark.usefixtures("plain")
def test_a_real_kubectl_logs_in_as_its_kubeconfig_says(
    cluster: ApiServer, tmp_path: pathlib.Path, temporary: pathlib.Path
) -> None:  # N11
    login = program(tmp_path / "login", f"echo >>{tmp_path}/logins\necho '{credential()}'\n")
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


@pytest.mark.usefixtures("plain")
def test_login_that_asks_something_is_seen_and_answered(
    cluster: ApiServer, tmp_path: pathlib.Path, temporary: pathlib.Path
) -> None:  # N11: without a limit that is shorter than people
    login = program(
        tmp_path / "login",
        "printf 'Enter the code: ' >&2\nread -r code </dev/stdin\n"
        f"test \"$code\" = ABCD || exit 1\nsleep 6\necho '{credential()}'\n",
    )
    config = kubeconfig(tmp_path, cluster, login, interactive="Always")
    command = (
        "import dataclasses, pathlib\n"
        "from csi_exoblock.tools.kubectl import Kubectl, Deadline, Timing\n"
        f"source = Kubectl(kubeconfig=pathlib.Path({str(config)!r}), context='other',\n"
        "                 timing=dataclasses.replace(Timing(), kubectl_timeout=5.0))\n"
        "source.log_in()\n"
        f"print(source.get({CLUSTER!r}, Deadline(60.0))['metadata'], flush=True)\n"
        "source.close()\n"
    )
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        ("setsid", "--ctty", "--wait", sys.executable, "-c", command),
        env={"PATH": os.environ["PATH"], "TMPDIR": str(temporary), "HOME": str(tmp_path)},
        stdin=theirs, stdout=theirs, stderr=theirs,
    ) as process:  # fmt: skip
        os.close(theirs)
        read_until(ours, b"Enter the code: ")
        os.write(ours, b"ABCD\n")
        read_until(ours, UID.encode())
    os.close(ours)

    assert process.returncode == 0


@pytest.mark.usefixtures("plain")
def test_login_that_fails_says_why_and_is_asked_for_once(
    cluster: ApiServer, tmp_path: pathlib.Path
) -> None:  # N11
    logins = tmp_path / "logins"
    refusal = "echo 'the refresh token has expired' >&2\nexit 1\n"
    login = program(tmp_path / "login", f"echo >>{logins}\n{refusal}")
    config = kubeconfig(tmp_path, cluster, login)
    source = Kubectl(kubeconfig=config, context="other", timing=Timing())
    asked = []
    try:
        for _ in range(2):
            with pytest.raises(KubernetesError) as failed:
                source.get(CLUSTER, limit())
            assert str(failed.value).count("the refresh token has expired") == 1
            asked.append(len(logins.read_text()))
    finally:
        source.close()
    assert asked[0] == asked[1]  # it is asked for with the first request alone


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("command", ["doctor", "status", "orphans", "import --from-driver=a.b.ch"])
@pytest.mark.parametrize(
    ("then", "fails"),
    [("exit 1", True), ("answer of-nobody", True), (f"answer {TOKEN}", False)],
    ids=["refused", "unknown", "accepted"],
)
def test_login_is_asked_for_once_whatever_comes_of_it(
    cluster: ApiServer,
    cloud: SimulatorProcess,
    tmp_path: pathlib.Path,
    command: str,
    then: str,
    fails: bool,
) -> None:  # N11, N20, C4, F9
    logins = tmp_path / "logins"
    script = f"echo >>{logins}\nanswer() {{ echo '{credential('$1')}'; }}\n{then}\n"
    login = program(tmp_path / "login", script.replace("$1", "'$1'"))
    flags = (f"--kubeconfig={kubeconfig(tmp_path, cluster, login)}", "--context=other")
    for_one_request = logins_of(logins, *flags, "get", "--raw", "/version")

    ended = run_tool(
        *command.split(),
        *flags,
        environment={
            **cloud.environment,
            "CSI_EXOBLOCK_API_ENDPOINT": cloud.api_endpoint,
            "HOME": str(tmp_path),  # where kubectl keeps a cache
        },
    )

    assert len(logins.read_text()) == for_one_request
    assert (ended.output + ended.errors).count("no login to the cluster: ") == fails
    if command == "doctor" and fails:
        assert "NOT CHECKED  CSIDriver: no login to the cluster\n" in ended.output
        assert "WRONG  login: no login to the cluster: " in ended.output
        assert ended.output.count("WRONG") == 1


@pytest.mark.usefixtures("plain")
def test_what_needs_only_the_cloud_asks_for_no_login(
    cluster: ApiServer, cloud: SimulatorProcess, tmp_path: pathlib.Path
) -> None:  # N11, F9: somebody is at the terminal, who could be asked
    logins = tmp_path / "logins"
    login = program(tmp_path / "login", f"echo >>{logins}\nexit 1\n")
    handle = make_volume(cloud, "data")["handle"]
    flags = (f"--kubeconfig={kubeconfig(tmp_path, cluster, login)}", "--context=other")
    command = (sys.executable, "-m", "csi_exoblock", "import", str(handle), *flags)
    for_the_namespace = logins_of(logins, *flags, "config", "view")

    ours, theirs = pty.openpty()
    with subprocess.Popen(
        ("setsid", "--ctty", "--wait", *command),
        env={
            **cloud.environment,
            "CSI_EXOBLOCK_API_ENDPOINT": cloud.api_endpoint,
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
        },
        stdin=theirs, stdout=theirs, stderr=theirs,
    ):  # fmt: skip
        os.close(theirs)
        read_until(ours, f'"volumeHandle": "{handle}"'.encode())
    os.close(ours)

    assert len(logins.read_text()) == for_the_namespace


def logins_of(logins: pathlib.Path, *arguments: str) -> int:
    """Return how often kubectl itself logs in for one request: once more after a 401."""
    logins.write_text("")
    subprocess.run(("kubectl", *arguments), capture_output=True, check=False)
    count = len(logins.read_text())
    logins.write_text("")
    return count


def read_until(terminal: int, wanted: bytes) -> bytes:
    """Read what a terminal shows until it has shown something."""
    deadline, shown = Deadline(SECONDS), b""
    while wanted not in shown:
        assert select.select([terminal], [], [], deadline.check())[0]
        try:
            shown += os.read(terminal, 1000)
        except OSError:  # the program has ended
            raise AssertionError(shown.decode(errors="replace")) from None
    return shown


def program(path: pathlib.Path, script: str) -> pathlib.Path:
    """Write a program of the shell."""
    path.write_text(f"#!/bin/sh\n{script}")
    path.chmod(0o755)
    return path


def credential(token: str = TOKEN) -> str:
    """Return what a login prints after a success."""
    return json.dumps(
        {
            "apiVersion": "client.authentication.k8s.io/v1",
            "kind": "ExecCredential",
            "status": {"token": token},
        }
    )


def kubeconfig(
    folder: pathlib.Path,
    cluster: ApiServer,
    login: pathlib.Path,
    *,
    interactive: str = "IfAvailable",
) -> pathlib.Path:
    """Write a kubeconfig with a context `other`, whose user logs in by a program."""
    authority = cluster.account / "ca.crt"
    server = {
        "server": f"https://{cluster.host}:{cluster.port}",
        "certificate-authority": f"{authority}",
    }
    command = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": str(login),
        "interactiveMode": interactive,
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
