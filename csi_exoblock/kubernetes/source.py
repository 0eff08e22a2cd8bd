"""The two ways to Kubernetes' objects: the API server of a pod's cluster, and `kubectl`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from csi_exoblock.concurrency import Deadline
from csi_exoblock.kubernetes.fields import Json


class Source(Protocol):
    """Sends requests to the API server; `ApiServer` says what each method raises."""

    def get(self, path: str, deadline: Deadline, *, query: Mapping[str, str] | None = None) -> Json:
        """Return the object, or the page of a list, at a path."""

    def get_text(
        self, path: str, deadline: Deadline, *, query: Mapping[str, str] | None = None
    ) -> str:
        """Return the text at a path, such as a container's log."""

    def create(self, path: str, content: Json, deadline: Deadline) -> Json:
        """Send an object to the list at a path, and return the answer."""

    def patch(self, path: str, changes: object, deadline: Deadline) -> Json:
        """Change the object at a path by a JSON patch, and return it."""
