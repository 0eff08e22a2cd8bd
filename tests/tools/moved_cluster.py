"""A `kubectl` on a small cluster of its own, for the script that `import --from-driver` prints.

It loses a volume as Kubernetes does: with the claim, or the PersistentVolume, that says `Delete`.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from tests.tools.objects import Object

_PROGRAM = r'''
import json, pathlib, re, sys

FILE = pathlib.Path(sys.argv[0]).with_name("cluster.json")
cluster = json.loads(FILE.read_text())
words = sys.argv[1:]
cluster["calls"].append(words)
words = [each for each in words if not each.startswith("--context=")]
call, verb, kind = len(cluster["calls"]), words[0], words[1]
volumes, claims = cluster["volumes"], cluster["claims"]


def end(error=""):
    FILE.write_text(json.dumps(cluster))
    fails = call == cluster["fails_after"]
    sys.exit(error or ("Unable to connect to the server: EOF" if fails else 0))


def option(name):
    if name in words:
        at = words.index(name)
        value = words[at + 1]
        del words[at : at + 2]
        return value


def at(found, path):
    for key in path.split(".")[1:]:
        found = found.get(key, "") if isinstance(found, dict) else ""
    return str(found)


def printed(found, wanted):
    if wanted == "json":
        return json.dumps(found, indent=4)
    wanted = wanted.removeprefix("jsonpath=")
    return re.sub(r"{(\.[^}]*)}", lambda match: at(found, match[1]), wanted)


def make(made):
    name, spec = made["metadata"]["name"], made["spec"]
    if made["kind"] == "PersistentVolume":
        old = volumes.get(name)
        if old and old["spec"]["csi"] != spec["csi"]:
            end(f"The PersistentVolume {name} is invalid: spec.persistentvolumesource is immutable")
        volumes[name] = made
        made["metadata"]["uid"] = old["metadata"]["uid"] if old else f"new-uid-of-{name}"
        made["status"] = {"phase": "Available"}
        return
    key = made["metadata"]["namespace"] + "/" + name
    old = claims.get(key)
    if old and old["spec"].get("volumeName") != spec["volumeName"]:
        end(f"The PersistentVolumeClaim {key} is invalid: spec is immutable")
    claims[key] = made
    made["metadata"]["uid"] = old["metadata"]["uid"] if old else f"new-uid-of-{name}"
    volume = volumes[spec["volumeName"]]
    volume["spec"]["claimRef"]["uid"] = made["metadata"]["uid"]
    volume["status"] = {"phase": "Bound"}


if call == cluster["fails_before"]:
    end("Unable to connect to the server: dial tcp: i/o timeout")
output, namespace, patch = option("--output"), option("--namespace"), option("--patch")
known = claims if kind == "persistentvolumeclaim" else volumes
may_miss = "--ignore-not-found" in words
words = [each for each in words if each != "--ignore-not-found"]
if verb == "apply":
    _, filename, file = words
    assert filename == "--filename"
    text = sys.stdin.read() if file == "-" else pathlib.Path(file).read_text()
    for number, each in enumerate(json.loads(text)["items"]):
        if number and call == cluster["fails_between"]:
            end("Unable to connect to the server: dial tcp: i/o timeout")
        make(each)
elif kind == "volumeattachment":
    assert output == """jsonpath={range .items[*]}{.spec.source.persistentVolumeName}{"\\n"}{end}"""
    print("\n".join(cluster["attached"]))
else:
    _, _, name = words
    key = f"{namespace}/{name}" if known is claims else name
    found = known.get(key)
    if found is None:
        end("" if may_miss else f'Error from server (NotFound): {kind} "{name}" not found')
    if verb == "get":
        print(printed(found, output), end="")
    elif verb == "patch":
        changes = json.loads(patch)
        uid = found["metadata"]["uid"]
        if changes.get("metadata", {}).get("uid", uid) != uid:
            end("Error from server (Conflict): Precondition failed: UID in precondition")
        source = changes["spec"].pop("csi", {})
        if any(found["spec"]["csi"][key] != value for key, value in source.items()):
            end(f"The PersistentVolume {name} is invalid: spec.persistentvolumesource is immutable")
        if not cluster["ignores_patches"]:
            found["spec"].update(changes["spec"])
    elif verb == "delete":
        del known[key]
        volume = volumes.get(found["spec"].get("volumeName")) if known is claims else found
        if volume and volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete":
            cluster["lost"].append(volume["spec"]["csi"]["volumeHandle"])
            volumes.pop(volume["metadata"]["name"], None)
        elif volume:
            volume["status"] = {"phase": "Released"}
    else:
        end(f"error: unknown command {verb}")
end()
'''


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run of the script ended, and what kubectl was told in it."""

    code: int
    errors: str
    calls: list[list[str]]

    @property
    def changes(self) -> list[tuple[str, str]]:
        """Verb and object, or file, of each call that changes something."""
        changes = [each for each in self.calls if each[0] != "get"]
        return [(each[0], each[2] if each[0] == "patch" else each[-1]) for each in changes]


class MovedCluster:
    """A cluster with these PersistentVolumes, and a claim for each that is bound."""

    def __init__(self, folder: pathlib.Path, volumes: list[Object]) -> None:
        folder.mkdir()
        self.folder = folder
        self._state: dict[str, Any] = {
            "volumes": {each["metadata"]["name"]: each for each in volumes},
            "claims": dict(map(_claim_of, (each for each in volumes if _is_bound(each)))),
            "attached": [],
            "lost": [],
            "calls": [],
            "ignores_patches": False,
            "fails_before": 0,
            "fails_between": 0,
            "fails_after": 0,
        }
        program = folder / "kubectl"
        program.write_text(f"#!{sys.executable} -IS\n{_PROGRAM}")
        program.chmod(0o755)

    def __getitem__(self, key: str) -> Any:
        return self._state[key]

    def set(self, **changes: object) -> None:
        """Change the cluster, or make the call of a number fail, in each run once."""
        self._state |= changes

    def run(self, script: str, *, within: str = ".") -> Ran:
        """Run the script in a folder that stays."""
        file = self.folder / "cluster.json"
        file.write_text(json.dumps({**self._state, "calls": []}))
        where = self.folder / within
        where.mkdir(exist_ok=True)
        ended = subprocess.run(
            ("sh", "-c", script), cwd=where, capture_output=True, text=True, check=False,
            env={"PATH": f"{self.folder}:{os.environ['PATH']}"},
        )  # fmt: skip
        self._state = json.loads(file.read_text())
        self.set(fails_before=0, fails_between=0, fails_after=0)
        return Ran(ended.returncode, ended.stderr, self._state["calls"])

    def drivers(self) -> dict[str, str]:
        """Return the driver of each PersistentVolume."""
        volumes = self._state["volumes"]
        return {name: each["spec"]["csi"]["driver"] for name, each in volumes.items()}

    def saved(self, name: str) -> Any:
        """Return the content of a file that the script saved."""
        (file,) = self.folder.glob(f"moved/{name}")
        return json.loads(file.read_text())


def _is_bound(volume: Object) -> bool:
    return bool(volume["status"]["phase"] == "Bound")


def _claim_of(volume: Object) -> tuple[str, Object]:
    bound = volume["spec"]["claimRef"]
    return f"{bound['namespace']}/{bound['name']}", {
        "metadata": {**bound, "labels": {"app": "shop"}},
        "spec": {"volumeName": volume["metadata"]["name"]},
    }
