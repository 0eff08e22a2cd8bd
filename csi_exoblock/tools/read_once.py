"""Kubernetes' objects for a command that runs once: what several checks need is read once."""

from __future__ import annotations

import json
from collections.abc import Mapping

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import KubernetesExpired
from csi_exoblock.kubernetes.fields import Json
from csi_exoblock.kubernetes.source import Source

_Key = tuple[str, str]


class ReadOnce:
    """Keeps each answer of a source, and gives it to everybody who asks for the same.

    So all checks see the cluster as it was at one moment. Errors are not kept; one that says that a
    list has expired drops all its pages, which lead to no further one.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._answers: dict[_Key, Json] = {}

    def get(self, path: str, deadline: Deadline, *, query: Mapping[str, str] | None = None) -> Json:
        """Return the object, or the page of a list, at a path."""
        key = (path, json.dumps(query, sort_keys=True))
        if key not in self._answers:
            try:
                self._answers[key] = self._source.get(path, deadline, query=query)
            except KubernetesExpired:
                self._answers = {
                    each: kept for each, kept in self._answers.items() if each[0] != path
                }
                raise
        return self._answers[key]

    def get_text(
        self, path: str, deadline: Deadline, *, query: Mapping[str, str] | None = None
    ) -> str:
        """Return the text at a path; it is not kept, because it is long and asked for once."""
        return self._source.get_text(path, deadline, query=query)

    def create(self, path: str, content: Json, deadline: Deadline) -> Json:
        """Send a review, and return the answer. The commands create nothing else."""
        key = (path, json.dumps(content, sort_keys=True))
        if key not in self._answers:
            self._answers[key] = self._source.create(path, content, deadline)
        return self._answers[key]

    def patch(self, path: str, changes: object, deadline: Deadline) -> Json:
        """Change the object at a path, as the source does."""
        return self._source.patch(path, changes, deadline)
