"""Kubernetes by way of `kubectl`, so that every kind of kubeconfig and login works."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import Timing
from csi_exoblock.errors import (
    KubernetesDenied,
    KubernetesExpired,
    KubernetesUnavailable,
    NotFound,
)
from csi_exoblock.kubernetes.objects import Json

_SHOWN = 300

# Source: kubectl's cmdutil; the word is the reason of the API server's Status.
_REASON = re.compile(r"^Error from server \((\w+)\)", re.MULTILINE)


class Kubectl:
    """Reads what the API server has, with the rights of the user who runs this. Changes nothing."""

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
            KubernetesDenied: The user may not read it, or isn't known.
            KubernetesExpired: The list can't be continued; it must begin again.
            KubernetesUnavailable: There was no answer, or none that makes sense.
        """
        target = f"{path}?{urlencode(query)}" if query else path
        try:
            ended = subprocess.run(
                ("kubectl", *self._flags, "get", "--raw", target),
                capture_output=True,
                timeout=deadline.within(self._timing.kubectl_timeout).check(),
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise KubernetesUnavailable(f"kubectl: {error!s:.300}") from error
        if ended.returncode:
            raise _failure(path, ended.stderr.decode(errors="replace"))
        try:
            found = json.loads(ended.stdout)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise KubernetesUnavailable(f"kubectl, {path}: the answer is no JSON object")
        return found

    def patch(self, path: str, changes: object, deadline: Deadline) -> Json:
        """Refuse: these commands change nothing.

        Raises:
            KubernetesDenied: Always.
        """
        raise KubernetesDenied(f"{path} is not changed by way of kubectl")


def _failure(path: str, said: str) -> Exception:
    text = f"kubectl, {path}: {' '.join(said.split())[:_SHOWN] or 'no word why'}"
    found = _REASON.search(said)
    match found[1] if found else "":
        case "NotFound":
            return NotFound(text)
        case "Forbidden" | "Unauthorized":
            return KubernetesDenied(text)
        case "Expired" | "Gone":
            return KubernetesExpired(text)
    return KubernetesUnavailable(text)
