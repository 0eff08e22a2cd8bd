"""Kubernetes through `kubectl`, so that every kind of kubeconfig and login works."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import KubernetesDenied, KubernetesUnavailable
from csi_exoblock.kubernetes.answers import error_of, object_in, with_query
from csi_exoblock.kubernetes.fields import Json
from csi_exoblock.timing import Timing

# Source: kubectl's cmdutil; the word is the reason in the API server's Status.
_REASON = re.compile(r"^Error from server \((\w+)\)", re.MULTILINE)
_STATUSES: Mapping[str, int] = {
    "Unauthorized": HTTPStatus.UNAUTHORIZED,
    "Forbidden": HTTPStatus.FORBIDDEN,
    "NotFound": HTTPStatus.NOT_FOUND,
    "Expired": HTTPStatus.GONE,
    "Gone": HTTPStatus.GONE,
}


class Kubectl:
    """Reads objects from the API server with the user's own rights. Changes nothing."""

    def __init__(self, *, kubeconfig: Path | None, context: str, timing: Timing) -> None:
        self._flags = [
            *([f"--kubeconfig={kubeconfig}"] if kubeconfig else []),
            *([f"--context={context}"] if context else []),
        ]
        self._timing = timing

    @staticmethod
    def is_installed() -> bool:
        """Return whether there is a kubectl."""
        return shutil.which("kubectl") is not None

    def get(self, path: str, deadline: Deadline, *, query: Mapping[str, str] | None = None) -> Json:
        """Return the object, or the page of a list, at a path.

        Raises:
            NotFound: There is none.
            KubernetesDenied: The user may not read it, or is not known.
            KubernetesExpired: The list can't be continued; it must begin again.
            KubernetesUnavailable: There was no answer, or none that can be read.
        """
        return self._run(path, ("get", "--raw", with_query(path, query)), b"", deadline)

    def create(self, path: str, content: Json, deadline: Deadline) -> Json:
        """Send a review, which is answered and not kept, and return the answer; raises as `get`."""
        body = json.dumps(content).encode()
        return self._run(path, ("create", "--raw", path, "--filename=-"), body, deadline)

    def patch(self, path: str, changes: object, deadline: Deadline) -> Json:
        """Refuse: these commands change nothing.

        Raises:
            KubernetesDenied: Always.
        """
        raise KubernetesDenied(f"{path} is not changed through kubectl")

    def _run(self, path: str, words: tuple[str, ...], body: bytes, deadline: Deadline) -> Json:
        try:
            ended = subprocess.run(
                ("kubectl", *self._flags, *words),
                input=body,
                capture_output=True,
                timeout=deadline.within(self._timing.kubectl_timeout).check(),
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise KubernetesUnavailable(f"kubectl: {error!s:.300}") from error
        request = f"kubectl, {path}"
        if ended.returncode:
            said = ended.stderr.decode(errors="replace")
            reason = _REASON.search(said)
            status = _STATUSES.get(reason[1], 0) if reason else 0
            raise error_of(status, request, " ".join(said.split()))
        return object_in(ended.stdout, request)
