"""The HTTP session, and which of its requests go through a proxy (F2, F18).

Connections are kept alive, with one TLS context for all of them.
"""

from __future__ import annotations

import base64
import ipaddress
import ssl
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import requests.adapters
import requests.utils

from csi_exoblock.config import ProxySettings
from csi_exoblock.exoscale.connections import pool_classes
from csi_exoblock.exoscale.resolving import Resolver

_ZONES = 32  # more than the cloud has
_CONNECTIONS = 256  # kept open per zone: one for every gRPC worker, and some for polls

_PORTS = {"http": 80, "https": 443}


def open_session(
    *, user_agent: str, ca_file: Path | None, proxy: ProxySettings | None = None
) -> requests.Session:
    """Return a session that ignores the environment's proxy, netrc and CA bundle, and cookies.

    Args:
        ca_file: The certificates of the only trusted authorities; `None` for the system's.
        proxy: The proxy whose user and password are sent to every proxy that a request uses.
    """
    session = _Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers["User-Agent"] = user_agent
    session.headers["Accept-Encoding"] = "gzip"  # answers.py unpacks no other encoding
    adapter = _Adapter(_trusting(ca_file), proxy)
    for scheme in ("https://", "http://"):
        session.mount(scheme, adapter)
    return session


class Proxy:
    """The proxy and its exceptions, as `HTTPS_PROXY` and `NO_PROXY` give them.

    Args:
        url: The proxy for requests over TLS, without user and password; `None` for none.
        exceptions: Hosts reached without the proxy, separated by commas. A name also covers its
            subdomains, a network its addresses, `*` everything; each can have a port.
    """

    def __init__(self, url: str | None, exceptions: str) -> None:
        self._url = url
        self._exceptions = [each.strip().lower() for each in exceptions.split(",") if each.strip()]

    def of(self, url: str) -> dict[str, str]:
        """Return the proxy for a URL in the form that requests takes, empty for none."""
        parts = urlsplit(url)
        if self._url is None or parts.scheme != "https":
            return {}
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        if any(_covers(each, host, port) for each in self._exceptions):
            return {}
        return {"https": self._url}


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return none: requests reads a redirect's whole body even if it must not follow it."""


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    if ca_file is None and not _has_authorities():
        ca_file = Path(requests.utils.DEFAULT_CA_BUNDLE_PATH)  # small images have no CA bundle
    return ssl.create_default_context(cafile=ca_file)


def _has_authorities() -> bool:
    paths = ssl.get_default_verify_paths()
    return bool(paths.cafile) or any(Path(paths.capath or "/dev/null").glob("*.0"))


class _Adapter(requests.adapters.HTTPAdapter):
    """Gives every connection the same TLS context, and a deadline for the whole request.

    With a context per connection each would load the authorities: milliseconds and a megabyte.
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
        """Return the login at the proxy; requests would keep the password in the URL (F18)."""
        return self._login

    def cert_verify(self, *args: Any) -> None:
        """Do nothing: requests would let each connection load a CA bundle."""


def _covers(exception: str, host: str, port: int) -> bool:
    if exception == "*" or _is_in_network(host, exception):
        return True
    name, colon, only_port = exception.rpartition(":")
    if not (colon and only_port.isdecimal()):
        name, only_port = exception, str(port)
    name = name.strip("[]").removeprefix("*").removeprefix(".")
    return only_port == str(port) and (host == name or host.endswith(f".{name}"))


def _is_in_network(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False  # one of the two is a name, not an address or a network
