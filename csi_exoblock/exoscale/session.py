"""The HTTP session: connections that are kept, and one TLS context for all of them (F2)."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import requests
import requests.adapters
import requests.utils

_ZONES = 32  # more than the cloud has
_CONNECTIONS = 256  # kept open to each zone: one for every worker of gRPC, and some for pollers


def open_session(*, user_agent: str, ca_file: Path | None) -> requests.Session:
    """Return a session that knows nothing of the environment: no proxy, no netrc, no CA bundle.

    Args:
        ca_file: Who alone vouches for servers; the system's authorities if `None`.
    """
    session = requests.Session()
    session.trust_env = False
    session.headers["User-Agent"] = user_agent
    adapter = _Adapter(_trusting(ca_file))
    for scheme in ("https://", "http://"):
        session.mount(scheme, adapter)
    return session


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    if ca_file is None and not _has_authorities():
        ca_file = Path(requests.utils.DEFAULT_CA_BUNDLE_PATH)  # small images have none of their own
    return ssl.create_default_context(cafile=ca_file)


def _has_authorities() -> bool:
    paths = ssl.get_default_verify_paths()
    return bool(paths.cafile) or any(Path(paths.capath or "/dev/null").glob("*.0"))


class _Adapter(requests.adapters.HTTPAdapter):
    """Gives every connection the same TLS context.

    Without it each would read the authorities anew: milliseconds and a megabyte for every one.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(pool_connections=_ZONES, pool_maxsize=_CONNECTIONS)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        return super().proxy_manager_for(
            proxy, ssl_context=self._context, proxy_ssl_context=self._context, **kwargs
        )

    def cert_verify(self, *args: Any) -> None:
        """Leave the context as it is: requests would have each connection load a bundle."""
