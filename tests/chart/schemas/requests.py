"""Whether every supported Kubernetes serves what is asked of its API server, by its path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from tests.chart.schemas.kinds import releases, resources

CUSTOM: Final = ("snapshot.storage.k8s.io",)
"""Groups of custom resources, which are not of Kubernetes itself."""

_PATH: Final = re.compile(
    r"/(?:api|apis/([^/]+))/([^/]+)(?:/namespaces/[^/]+(?=/))?/([^/]+)(?:/[^/]+(?:/([^/]+).*)?)?"
)
_OTHERS: Final = ("/version",)


def not_served(paths: Iterable[str]) -> Iterator[str]:
    """Yield each path that a release does not serve, with that release."""
    for path in sorted(set(paths) - set(_OTHERS)):
        if path.startswith(tuple(f"/apis/{group}/" for group in CUSTOM)):
            continue
        found = _PATH.fullmatch(path)
        resource = "/".join(filter(None, found.groups())) if found else ""
        for release in releases():
            if resource not in resources(release):
                yield f"{path} on Kubernetes {release}"
