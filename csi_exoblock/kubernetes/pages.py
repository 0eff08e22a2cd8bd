"""Lists of the API server, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import KubernetesExpired, NotFound
from csi_exoblock.kubernetes.fields import Json, objects, text
from csi_exoblock.kubernetes.source import Source

T = TypeVar("T")

_PAGE = "250"
# A list that expires between two pages is read again. After three times the cause is another one.
_ATTEMPTS = 3


def list_all(
    source: Source,
    path: str,
    parse: Callable[[Json], T],
    deadline: Deadline,
    *,
    query: Mapping[str, str] | None = None,
) -> list[T]:
    """Return every object of a list, as it was at one moment.

    Args:
        parse: Takes from an object what is wanted of it: thousands of whole ones fill a memory.
        query: Selects some of the objects, `None` for all.

    Raises: As `ApiServer.get`.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return [parse(each) for each in _pages(source, path, deadline, query or {})]
        except KubernetesExpired:
            continue
    return [parse(each) for each in _pages(source, path, deadline, query or {})]


def list_if_known(
    source: Source, path: str, parse: Callable[[Json], T], deadline: Deadline
) -> list[T]:
    """Return every object of a list, none if the cluster has no CRD for them.

    Raises: As `list_all`, but no NotFound.
    """
    try:
        return list_all(source, path, parse, deadline)
    except NotFound:
        return []


def _pages(
    source: Source, path: str, deadline: Deadline, selection: Mapping[str, str]
) -> Iterator[Json]:
    query = {**selection, "limit": _PAGE}
    while True:
        page = source.get(path, deadline, query=query)
        yield from objects(page, "items")
        if not (token := text(page, "metadata", "continue")):
            return
        query = {**selection, "limit": _PAGE, "continue": token}
