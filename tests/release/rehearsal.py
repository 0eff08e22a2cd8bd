"""A release to a registry on this machine, signed with a key that is thrown away afterwards.

It runs the scripts of deploy/release, as the workflow does that makes the real one. The registry
stands for all that the real one pulls from and publishes to.
"""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

import csi_exoblock
from tests.chart.helm import CHART
from tests.install.image import (
    BASE,
    BUILD_OPTIONS,
    build_base,
    build_environment,
    buildah,
    remove_old_layers,
)
from tests.release.programs import program_folder
from tests.support.children import die_with_parent
from tests.support.ports import free_port
from tests.support.waiting import wait_until

ROOT: Final = Path(__file__).parents[2]
OUT: Final = ROOT / "build" / "release"
_REHEARSED = "localhost/csi-exoblock:rehearsal"
_SIDECARS = yaml.safe_load((CHART / "values.yaml").read_text())["sidecars"]


class Rehearsal:
    """Registry, keys, and what the release's scripts are told of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._no_log = folder / "no-log.json"  # a throw-away key belongs into no public log
        self.registry = f"localhost:{free_port()}"
        self.image = f"{self.registry}/csi-exoblock/csi-exoblock:{csi_exoblock.__version__}"
        self.chart = f"{self.registry}/csi-exoblock/charts/csi-exoblock:{csi_exoblock.__version__}"
        self._serving: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the registry, with the images in it that a release pulls or pins."""
        (self._folder / "config.json").write_text("{}")
        build_base()
        self._serving = subprocess.Popen(
            ["crane", "registry", "serve", f"--address={self.registry}"],
            env=self._environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )
        wait_until(self._is_serving, "the registry answers")
        self._make_key("ours")
        self._make_key("another")
        self.run("cosign", "signing-config", "create", f"--out={self._no_log}")
        base = f"{self.registry}/library/debian:bookworm-slim"
        buildah("push", "--quiet", "--tls-verify=false", BASE, f"docker://{base}")
        for sidecar in _SIDECARS.values():
            self._publish_sidecar(sidecar["image"])

    def stop(self) -> None:
        """End the registry; what was published goes with it."""
        if self._serving:
            self._serving.terminate()
            self._serving.wait()

    def release(self) -> None:
        """Build and publish, as `make release` does.

        Raises:
            subprocess.CalledProcessError: A step failed; its output stands above.
        """
        self.script("build", *BUILD_OPTIONS, "--tls-verify=false")
        # The next build can use the layers, but the registry in the name is gone by then.
        buildah("tag", self.image, _REHEARSED)
        buildah("rmi", self.image)
        remove_old_layers()
        self.script("publish")

    def script(self, name: str, *arguments: str, key: str = "ours") -> str:
        """Run a script of deploy/release and return what it printed."""
        return self.run(f"deploy/release/{name}", *arguments, key=key)

    def run(self, *command: str, key: str = "ours") -> str:
        """Run a program, such as crane, and return what it printed.

        Args:
            key: Whose key signs and verifies.

        Raises:
            subprocess.CalledProcessError: It failed; its words are in `stderr`.
        """
        completed = subprocess.run(
            command,
            cwd=ROOT,
            env=self._environment(key),
            capture_output=True,
            text=True,
            check=False,
        )
        sys.stderr.write(completed.stderr)
        completed.check_returncode()
        return completed.stdout

    def by_digest(self, name: str) -> str:
        """Return an image's or chart's name with the digest of its tag in place of the tag."""
        return f"{name.rpartition(':')[0]}@{self.run('crane', 'digest', name).strip()}"

    def attested(self, kind: str) -> Mapping[str, Any]:
        """Return what is attested of the image: an SBOM for `cyclonedx`, or other predicates."""
        signed = self.by_digest(self.image)
        verify = ["cosign", "verify-attestation", *self._verify_with("ours"), f"--type={kind}"]
        envelope = json.loads(self.run(*verify, signed))
        statement = json.loads(base64.b64decode(envelope["payload"]))
        predicate: Mapping[str, Any] = statement["predicate"]
        return predicate

    def _is_serving(self) -> bool:
        with socket.socket() as probing:
            return probing.connect_ex(("localhost", int(self.registry.partition(":")[2]))) == 0

    def _make_key(self, name: str) -> None:
        self.run("cosign", "generate-key-pair", f"--output-key-prefix={self._folder / name}")

    def _publish_sidecar(self, image: Mapping[str, str]) -> None:
        """Publish an image that holds nothing but its name: nobody runs it."""
        name = f"{self.registry}/{image['repository']}:{image['tag']}"
        layer = self._folder / "layer.tar"
        with tarfile.open(layer, "w") as archive:
            archive.addfile(tarfile.TarInfo(name.rpartition("/")[2]))
        self.run("crane", "append", "--oci-empty-base", f"--new_layer={layer}", f"--new_tag={name}")

    def _verify_with(self, key: str) -> Sequence[str]:
        return f"--key={self._folder / key}.pub", "--insecure-ignore-tlog"

    def _environment(self, key: str = "ours") -> dict[str, str]:
        environment = build_environment()
        path = f"{program_folder()}:{environment['PATH']}"
        sign_with = f"--key={self._folder / key}.key", f"--signing-config={self._no_log}"
        return environment | {
            "PATH": path,
            "MIRROR": self.registry,
            "SIGN_WITH": " ".join(sign_with),
            "VERIFY_WITH": " ".join(self._verify_with(key)),
            "COSIGN_PASSWORD": "",
            # No account is needed, and nothing is left in a home folder.
            "DOCKER_CONFIG": str(self._folder),
            "TUF_ROOT": str(self._folder),
            "HELM_CACHE_HOME": str(self._folder),
            "HELM_CONFIG_HOME": str(self._folder),
        }
