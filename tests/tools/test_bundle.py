"""`doctor --bundle` writes an archive that one can send away (F12)."""

from __future__ import annotations

import base64
import io
import json
import os
import pathlib
import stat
import subprocess
import sys
import tarfile
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csi_exoblock.tools.bundle_archive import write_new
from csi_exoblock.tools.bundle_redaction import REDACTED, Redaction
from tests.apiserver.server import REVIEWS, ApiServer
from tests.support.simulator_process import API_SECRET, SimulatorProcess
from tests.tools.conftest import VOLUMES, AtDesk, Run, make_volume
from tests.tools.installed import DAEMON_SETS, DEPLOYMENTS, NAMESPACE, PODS, containers
from tests.tools.objects import DRIVER, persistent_volume

EVENTS = "/api/v1/events"
OUR_EVENTS = f"/api/v1/namespaces/{NAMESPACE}/events"
CONTROLLER, NODE = "csi-exoblock-controller-1", "csi-exoblock-node-1"
CSI_DRIVERS = "/apis/storage.k8s.io/v1/csidrivers"

PASSWORD = "pa55/w0rd+of#proxy"
PASSPHRASE = "open sesame, said she"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl"
PEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIB\n-----END EC PRIVATE KEY-----"
OLD_KEY = "EXO0123456789abcdef01234567"
TENANT = "the-tenants-own-label"


def log_of(pod: str) -> str:
    return f"{PODS}/{pod}/log"


@pytest.fixture
def evidence(healthy: ApiServer) -> ApiServer:
    """An installation with logs, events and metrics."""
    healthy.objects["/version"] = {"gitVersion": "v1.34.2"}
    healthy.lists[EVENTS], healthy.lists[OUR_EVENTS] = [], []
    healthy.lists[CSI_DRIVERS] = [{"metadata": {"name": DRIVER}}, {"metadata": {"name": "other"}}]
    for pod in (CONTROLLER, f"{CONTROLLER[:-1]}2", NODE):
        healthy.texts[log_of(pod)] = f"2026-11-29T00:00:00Z a line of {pod}\n"
        healthy.texts[f"{PODS}/{pod}:8080/proxy/metrics"] = "csi_exoblock_build_info 1.0\n"
    return healthy


@pytest.fixture
def place(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "bundle.tar.gz"


def unpacked(packed: bytes) -> dict[str, str]:
    """Return the files of an archive by their names."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        for entry in tar:
            file = tar.extractfile(entry)
            assert file
            found[entry.name.removeprefix("csi-exoblock/")] = file.read().decode()
    return found


def test_archive_has_what_support_asks_for(
    evidence: ApiServer, cloud: SimulatorProcess, at_desk: AtDesk, place: pathlib.Path
) -> None:  # F12
    made = make_volume(cloud, "pv")
    evidence.lists[VOLUMES] = [persistent_volume("pv", made["handle"], claim="data")]
    evidence.lists[EVENTS] = [event("FailedMount", "shop", "data-0"), event("BackOff", "shop", "x")]

    (node,) = evidence.lists[DAEMON_SETS]
    containers(node)[0]["args"].remove("--http-endpoint=:8080")

    ended = at_desk(f"--bundle={place}")

    assert ended.code == 0, ended.output + ended.errors
    assert ended.output.startswith("0 wrong")
    found = unpacked(place.read_bytes())
    assert "a line of" in found[f"logs/{CONTROLLER}/csi-exoblock.log"]
    assert f"logs/{NODE}/csi-exoblock.log" in found
    assert found[f"metrics/{CONTROLLER}.txt"].startswith("csi_exoblock_build_info")
    assert "WELL  role:" in found["doctor.txt"]
    assert made["handle"] in found["status.txt"]
    assert "CSI 1." in json.loads(found["versions.json"])["command"]
    assert json.loads(found["kubernetes/version.json"]) == {"gitVersion": "v1.34.2"}
    assert [each["reason"] for each in json.loads(found["kubernetes/events.json"])] == [
        "FailedMount"
    ]
    assert [
        each["metadata"]["name"] for each in json.loads(found["kubernetes/csidrivers.json"])
    ] == [DRIVER]
    assert len(json.loads(found["kubernetes/pods.json"])) == 3
    assert f"not collected: metrics/{NODE}.txt: the driver runs without --http-endpoint" in (
        found["contents.txt"].splitlines()
    )
    assert all(f" {name}" in found["contents.txt"] for name in found.keys() - {"contents.txt"})


def event(reason: str, namespace: str, about: str, message: str = "") -> dict[str, Any]:
    """Return a warning."""
    return {
        "metadata": {
            "uid": f"{reason}-{about}",
            "labels": {"team": TENANT, "app.kubernetes.io/name": TENANT},
            "annotations": {"note": TENANT},
        },
        "type": "Warning",
        "reason": reason,
        "message": message,
        "involvedObject": {"namespace": namespace, "name": about},
    }


def test_no_secret_is_in_the_archive(
    evidence: ApiServer, cloud: SimulatorProcess, at_desk: AtDesk, place: pathlib.Path
) -> None:  # F12
    key = cloud.environment["EXOSCALE_API_KEY"]
    secret = API_SECRET
    encoded = base64.b64encode(secret.encode()).decode()
    proxy = f"http://admin:{quote(PASSWORD, safe='')}@{cloud.api_endpoint.split('/')[2]}"
    evidence.texts[log_of(CONTROLLER)] = "\n".join(
        (
            f"key {key} and secret {secret}, or {OLD_KEY}",
            f"EXOSCALE_API_SECRET={encoded} via {proxy}",
            json.dumps({"msg": "a", "encryptionPassphrase": PASSPHRASE, "volume": "left-alone"}),
            json.dumps(
                {"inner": json.dumps({"api_secret": "somebody's, quoted"}), "b": "left-alone"}
            ),
            f"Authorization: Bearer {JWT}",
            f"Proxy-Authorization: Basic {base64.b64encode(PASSWORD.encode()).decode()}",
            f"the proxy's password is {PASSWORD}",
        )
    )
    (driver,) = (containers(each)[0] for each in evidence.lists[DEPLOYMENTS])
    driver["env"] = [
        {"name": "EXOSCALE_API_SECRET", "value": "written-into-the-manifest"},
        {"name": "HTTPS_PROXY", "value": proxy},
        {"name": "ANYTHING", "value": "of-the-tenant"},
    ]
    driver["args"].append("--some-password=word1")
    evidence.lists[DEPLOYMENTS][0]["metadata"]["annotations"] = {"last-applied": TENANT}
    evidence.lists[EVENTS] = [event("FailedMount", "shop", "data-0", f"{DRIVER} says {PEM}")]

    at_desk(f"--bundle={place}", HTTPS_PROXY=proxy, NO_PROXY="127.0.0.1")

    found = unpacked(place.read_bytes())
    everything = "\n".join(found.values())
    secrets = (
        key, secret, encoded, OLD_KEY, PASSWORD, quote(PASSWORD, safe=""), PASSPHRASE, JWT,
        "MHcCAQ",
        "somebody's", "written-into", "of-the-tenant", "word1", TENANT,
        base64.b64encode(PASSWORD.encode()).decode(),
    )  # fmt: skip
    assert [each for each in secrets if each in everything] == []
    assert "says [redacted]" in everything
    assert found[f"logs/{CONTROLLER}/csi-exoblock.log"].count("left-alone") == 2
    assert REDACTED in everything


@pytest.mark.parametrize("proxy", ["http://admin:a/b'c\"d\\e@proxy:3128", "admin:a/b@c@proxy:3128"])
def test_controllers_proxy_shows_no_password(
    evidence: ApiServer, at_desk: AtDesk, place: pathlib.Path, proxy: str
) -> None:  # F12: at the desk it is no known secret
    (driver,) = (containers(each)[0] for each in evidence.lists[DEPLOYMENTS])
    driver["env"] = [{"name": "HTTPS_PROXY", "value": proxy}]

    at_desk(f"--bundle={place}")

    (deployment,) = json.loads(unpacked(place.read_bytes())["kubernetes/deployments.json"])
    assert containers(deployment)[0]["env"] == [{"name": "HTTPS_PROXY", "value": "proxy:3128"}]


def test_labels_that_users_chose_are_left_out(
    evidence: ApiServer, at_desk: AtDesk, place: pathlib.Path
) -> None:  # F12: commonLabels, podLabels
    for kind in (DEPLOYMENTS, PODS):
        evidence.lists[kind][0]["metadata"]["labels"]["team"] = TENANT

    at_desk(f"--bundle={place}")

    found = unpacked(place.read_bytes())
    assert [name for name, text in found.items() if TENANT in text] == []
    (deployment,) = json.loads(found["kubernetes/deployments.json"])
    assert deployment["metadata"]["labels"]["app.kubernetes.io/name"] == "csi-exoblock"


def test_of_other_drivers_events_only_the_reason_is_kept(
    evidence: ApiServer, cloud: SimulatorProcess, at_desk: AtDesk, place: pathlib.Path
) -> None:  # F12
    made = make_volume(cloud, "pv")
    evidence.lists[VOLUMES] = [persistent_volume("pv", made["handle"], claim="data")]
    kept = {
        "data-0": 'MountVolume.MountDevice failed for volume "pv" : rpc error',
        "data-1": f"driver name {DRIVER} not found in the list of registered CSI drivers",
        f"{NODE}": 'MountVolume.SetUp failed for volume "token" : no such ConfigMap',
    }
    dropped = {
        "files-0": 'MountVolume.SetUp failed for volume "share": -t cifs -o vers=3,key4=hunter2',
        "files-1": "somebody's own words about pv, hunter2",
    }
    scheduling = event("FailedScheduling", "shop", "data-2", "0/3 nodes are available")
    evidence.lists[EVENTS] = [
        *(event("FailedMount", "shop", pod, said) for pod, said in (kept | dropped).items()),
        scheduling,
    ]

    at_desk(f"--bundle={place}")

    found = json.loads(unpacked(place.read_bytes())["kubernetes/events.json"])
    assert {each["involvedObject"]["name"]: each.get("message") for each in found} == {
        **kept,
        **dict.fromkeys(dropped),
        "data-2": "0/3 nodes are available",
    }
    assert {each["reason"] for each in found} == {"FailedMount", "FailedScheduling"}


def test_token_of_the_pod_is_not_in_the_archive(
    evidence: ApiServer, run: Run, place: pathlib.Path
) -> None:  # F12
    token = "opaque-and-unlike-any-other"
    evidence.tokens.add(token)
    evidence.write_token(token)
    evidence.texts[log_of(CONTROLLER)] = f"somebody logged {token}\n"

    run("doctor", f"--bundle={place}")

    found = unpacked(place.read_bytes())
    assert found[f"logs/{CONTROLLER}/csi-exoblock.log"] == "somebody logged [redacted]\n"


def test_a_pod_without_rights_collects_the_rest_and_asks_for_nothing_more(
    evidence: ApiServer, run: Run, place: pathlib.Path
) -> None:  # F12, S23
    withheld = {("get", "pods/log"), ("list", "events"), ("get", "pods/proxy"), ("list", "nodes")}
    evidence.withheld |= {("", verb, resource) for verb, resource in withheld}

    ended = run("doctor", f"--bundle={place}")

    assert ended.code == 0, ended.output + ended.errors
    found = unpacked(place.read_bytes())
    gaps = [each for each in found["contents.txt"].splitlines() if each.startswith("not ")]
    assert gaps == [
        f"not collected: {what}: this service account may not {right}"
        for what, right in [
            ("status", "list nodes"),
            ("logs", "get pods/log"),
            ("metrics", "get pods/proxy"),
            ("events", "list events"),
            ("nodes", "list nodes"),
        ]
    ]
    assert "kubernetes/deployments.json" in found
    asked = {each.path for each in evidence.received if not each.path.startswith(REVIEWS)}
    assert not {each for each in asked if "event" in each or "/log" in each or "proxy" in each}


def test_what_a_kubeconfig_may_not_read_is_a_line(
    evidence: ApiServer, at_desk: AtDesk, place: pathlib.Path
) -> None:  # F12
    evidence.denied.add(("GET", log_of(NODE)))
    del evidence.objects["/version"]

    at_desk(f"--bundle={place}")

    contents = unpacked(place.read_bytes())["contents.txt"]
    assert f"not collected: logs/{NODE}/csi-exoblock.log: kubectl, {log_of(NODE)}: you may not" in (
        contents
    )
    assert "not collected: version of Kubernetes: " in contents
    assert f" logs/{CONTROLLER}/csi-exoblock.log" in contents


def test_of_a_long_log_the_last_lines_are_kept(
    evidence: ApiServer, at_desk: AtDesk, place: pathlib.Path
) -> None:  # F12
    line = f"a line {'.' * 1000}\n"
    evidence.texts[log_of(CONTROLLER)] = line * 4000 + f"the key was {OLD_KEY}\n"

    at_desk(f"--bundle={place}")

    log = unpacked(place.read_bytes())[f"logs/{CONTROLLER}/csi-exoblock.log"]
    assert len(log) <= 2 * 1024 * 1024
    assert log.endswith("the key was [redacted]\n")
    assert log.startswith("a line")


def test_log_before_a_restart_is_collected_too(
    evidence: ApiServer, at_desk: AtDesk, place: pathlib.Path
) -> None:  # F12
    evidence.lists[PODS][0]["status"]["containerStatuses"][0]["restartCount"] = 2

    at_desk(f"--bundle={place}")

    assert f"logs/{CONTROLLER}/csi-exoblock.before.log" in unpacked(place.read_bytes())
    logs = [each.query for each in evidence.received if each.path == log_of(CONTROLLER)]
    assert sum(each.get("previous") == "true" for each in logs) == 1
    assert all(each["tailLines"] == "4000" for each in logs)


def test_archive_is_for_this_user_only_and_complete(
    evidence: ApiServer, at_desk: AtDesk, place: pathlib.Path
) -> None:  # F12
    before = os.umask(0)
    try:
        at_desk(f"--bundle={place}")
    finally:
        os.umask(before)

    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert list(place.parent.iterdir()) == [place]


@pytest.mark.parametrize("kind", ["file", "link to nothing", "no folder"])
def test_no_other_file_is_overwritten(
    evidence: ApiServer, at_desk: AtDesk, place: pathlib.Path, kind: str
) -> None:  # F12
    if kind == "file":
        place.write_text("somebody's")
    elif kind == "link to nothing":
        place.symlink_to("elsewhere")
    else:
        place = place.parent / "none" / "bundle"

    ended = at_desk(f"--bundle={place}")

    assert ended.code == 1
    assert str(place.parent) in ended.errors
    assert evidence.received == []
    assert kind != "file" or place.read_text() == "somebody's"
    assert not (place.parent / "elsewhere").exists()


@pytest.mark.fast
def test_file_that_appears_meanwhile_is_left_alone(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # F12
    place = tmp_path / "bundle"
    sync = os.fsync

    def written_by_somebody(file: int) -> None:
        sync(file)
        place.write_text("somebody's")

    monkeypatch.setattr(os, "fsync", written_by_somebody)

    with pytest.raises(FileExistsError):
        write_new(place, b"ours")

    assert place.read_text() == "somebody's"
    assert list(tmp_path.iterdir()) == [place]


def test_archive_on_standard_output_comes_alone(
    evidence: ApiServer, cloud: SimulatorProcess, kubectl: pathlib.Path
) -> None:  # F12
    ended = subprocess.run(
        (sys.executable, "-m", "csi_exoblock", "doctor", "--bundle", "-"),
        env={
            **cloud.environment,
            "EXOSCALE_API_ENDPOINT": cloud.api_endpoint,
            "PATH": f"{kubectl}:{os.environ['PATH']}",
        },
        capture_output=True,
        check=True,
    )

    assert "doctor.json" in unpacked(ended.stdout)
    assert ended.stderr.startswith(b"0 wrong")


@pytest.mark.fast
@pytest.mark.parametrize(
    "harmless",
    [
        "volume ch-gva-2/6f0c9a4e-1111-2222-3333-444455556666: attached to instance 91",
        "secretName: exoscale-credentials",
        "--credentials-file=/etc/credentials/key.json",
        "the token of the list is unknown; start again",
        "https://api-ch-gva-2.exoscale.com/v2/zone",
        "e2fsck -f /dev/vdb",
        "Pass 1: Checking inodes, blocks, and sizes",
        "all passed: 5",
        "--token-file /a --secret-name b",
        "run it with --password --quiet",
    ],
)
def test_what_is_no_secret_stays(harmless: str) -> None:  # F12
    assert Redaction(["a-secret"]).text(harmless) == harmless


@pytest.mark.fast
@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("-t cifs -o username=bob,pass=hunter2 //srv/share", "username=bob"),
        ("user=bob;pwd=hunter2;timeout=5", "timeout=5"),
        ("DB_PASS: hunter2 is wrong", "is wrong"),
        ("dbPass = 'hunter2'", "dbPass"),
        ("mysqldump --password hunter2 --host db", "--host db"),
        ("curl --proxy-token  hunter2 https://a", "https://a"),
        ('argv: ["tool", "--client-secret", "hunter2", "--quiet"]', "--quiet"),
    ],
)
def test_what_looks_like_a_secret_goes(said: str, kept: str) -> None:  # F12
    redacted = Redaction(["a-secret"]).text(said)

    assert "hunter2" not in redacted
    assert kept in redacted


@pytest.mark.fast
def test_value_after_its_flag_goes() -> None:  # F12
    arguments = ["--password", "hunter2", "--timeout", "5s", "--token-file", "/a", "--pass"]

    assert Redaction(["a-secret"]).value({"args": arguments}) == {
        "args": ["--password", REDACTED, "--timeout", "5s", "--token-file", "/a", "--pass"]
    }


@pytest.mark.fast
def test_json_stays_json() -> None:  # F12
    value = {
        "automountServiceAccountToken": False,
        "token": "x\"y",
        "secret": {"name": "z", "items": [None, 1, "EXOabcdefghijkl"]},
        "a-secret": "b",
    }  # fmt: skip

    assert Redaction(["a-secret"]).value(value) == {
        "automountServiceAccountToken": False,
        "token": REDACTED,
        "secret": {"name": "z", "items": [None, 1, REDACTED]},
        REDACTED: REDACTED,
    }


@pytest.mark.fast
@pytest.mark.parametrize("short", ["", "a", "abc"])
def test_a_short_secret_does_not_spoil_the_text(short: str) -> None:  # F12
    assert Redaction([short]).text("abc is a word") == "abc is a word"


@pytest.mark.fast
@pytest.mark.parametrize(
    "part", ["a-", "secret", "token='", "EXO", "://a", "eyJ-", "x.y", "--pass ", "--", "-key"]
)
def test_a_strangers_line_does_not_take_for_ever(part: str) -> None:  # F12, F17
    line = part * 50_000

    assert len(Redaction(["a-secret"]).text(line)) > 0


@pytest.mark.fast
@given(
    secret=st.text(alphabet='ABC/+=%& "\\', min_size=4),
    before=st.text(alphabet='AB \n"=:'),
    after=st.text(alphabet='AB \n"=:'),
)
def test_a_known_secret_is_found_anywhere(secret: str, before: str, after: str) -> None:  # F12
    redaction = Redaction([secret])

    for written in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1]):
        assert secret not in redaction.text(f"{before}{written}{after}")
        assert written not in redaction.text(f"{before}{written}{after}")
