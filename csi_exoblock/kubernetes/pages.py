"""Lists of the API server, page by page."""

from __future__ import annotations

from collections.abc import Iterator

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import KubernetesExpired
from csi_exoblock.kubernetes.objects import Json, continuation_of, items_of
from csi_exoblock.kubernetes.source import Source

_PAGE = "250"
# A list that expires between two pages begins again; so often, and something else is wrong.
_BEGINNINGS = 3


def list_all(source: Source, path: str, deadline: Deadline) -> list[Json]:
    """Return every object of a list, as it was at one moment.

    Raises: As `Source.get`.
    """
    for _ in range(_BEGINNINGS - 1):
        try:
            return list(_pages(source, path, deadline))
        except KubernetesExpired:
            continue
    return list(_pages(source, path, deadline))


def _pages(source: Source, path: str, deadline: Deadline) -> Iterator[Json]:
    query = {"limit": _PAGE}
    while True:
        page = source.get(path, deadline, query=query)
        yield from items_of(page)
        if not (token := continuation_of(page)):
            return
        query = {"limit": _PAGE, "continue": token}
