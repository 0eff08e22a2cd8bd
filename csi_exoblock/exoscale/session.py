"""The HTTP session: connections that are kept, and one TLS context for all of them (F2, F18)."""

from __future__ import annotations

import base64
import ssl
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

import requests
import requests.adapters
import requests.utils

from csi_exoblock.config import ProxySettings
from csi_exoblock.exoscale.connections import pool_classes
from csi_exoblock.exoscale.resolving import Resolver

_ZONES = 32  # more than the cloud has
_CONNECTIONS = 256  # kept open to each zone: one for every worker of gRPC, and some for pollers


def open_session(
    *, user_agent: str, ca_file: Path | None, proxy: ProxySettings | None = None
) -> requests.Session:
    """Return a session that knows nothing of the environment: no proxy, no netrc, no CA bundle.

    Nor does it keep what servers want it to keep.

    Args:
        ca_file: Who alone vouches for servers; the system's authorities if `None`.
        proxy: Whose user and password are sent to every proxy that a request names.
    """
    session = _Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers["User-Agent"] = user_agent
    session.headers["Accept-Encoding"] = "gzip"  # all that is read here, and within a limit
    adapter = _Adapter(_trusting(ca_file), proxy)
    for scheme in ("https://", "http://"):
        session.mount(scheme, adapter)
    return session


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Name none: requests reads a redirect's whole body, even one that it must not follow."""


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    if ca_file is None and not _has_authorities():
        ca_file = Path(requests.utils.DEFAULT_CA_BUNDLE_PATH)  # small images have none of their own
    return ssl.create_default_context(cafile=ca_file)


def _has_authorities() -> bool:
    paths = ssl.get_default_verify_paths()
    return bool(paths.cafile) or any(Path(paths.capath or "/dev/null").glob("*.0"))


class _Adapter(requests.adapters.HTTPAdapter):
    """Gives every connection the same TLS context, and an end.

    Without the former each would read the authorities by itself: milliseconds and a megabyte.
    """

    def __init__(self, context: ssl.SSLContext, proxy: ProxySettings | None) -> None:
        self._context = context
        self._classes = pool_classes(Resolver())
        self._login: dict[str, str] = {}
        if proxy and (proxy.user or proxy.password):
            login = base64.b64encode(f"{proxy.user}:{proxy.password}".encode()).decode()
            self._login = {"Proxy-Authorization": f"Basic {login}"}
        super().__init__(pool_connections=_ZONES, pool_maxsize=_CONNECTIONS)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._classes

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(
            proxy, ssl_context=self._context, proxy_ssl_context=self._context, **kwargs
        )
        manager.pool_classes_by_scheme = self._classes
        return manager

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """Log in at the proxy; requests would have user and password in its URL (F18)."""
        return self._login

    def cert_verify(self, *args: Any) -> None:
        """Leave the context as it is: requests would have each connection load a bundle."""
