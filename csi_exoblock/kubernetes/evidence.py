"""What a support archive takes from the API server: objects as they are, logs, metrics (F12)."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from csi_exoblock.concurrency import Deadline
from csi_exoblock.kubernetes.fields import Json
from csi_exoblock.kubernetes.pages import list_all
from csi_exoblock.kubernetes.source import Source


class Evidence:
    """Reads objects whole, and text. Raises as `Kubernetes` does."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def get(self, path: str, deadline: Deadline) -> Json:
        """Return the object at a path."""
        return self._source.get(path, deadline)

    def list(
        self, path: str, deadline: Deadline, *, query: Mapping[str, str] | None = None
    ) -> list[Json]:
        """Return every object of the list at a path."""
        return list_all(self._source, path, dict, deadline, query=query)

    def get_log(
        self, pod: str, container: str, deadline: Deadline, *, namespace: str, lines: int, old: bool
    ) -> str:
        """Return the last lines of a container's log, each with its time.

        Args:
            old: Whether the process before the present one is meant.
        """
        query = {
            "container": container,
            "tailLines": str(lines),
            "timestamps": "true",
            **({"previous": "true"} if old else {}),
        }
        return self._source.get_text(f"{_pod(namespace, pod)}/log", deadline, query=query)

    def get_page(
        self, pod: str, deadline: Deadline, *, namespace: str, port: str, path: str
    ) -> str:
        """Return a page that a pod serves over HTTP, through the API server.

        Args:
            port: The number; with `https:` before the pod's name, it is served over TLS.
        """
        return self._source.get_text(f"{_pod(namespace, pod)}:{port}/proxy{path}", deadline)


def _pod(namespace: str, pod: str) -> str:
    return f"/api/v1/namespaces/{quote(namespace, safe='')}/pods/{quote(pod, safe=':')}"
