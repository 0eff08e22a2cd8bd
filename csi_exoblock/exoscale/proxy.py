"""The choice of the proxy for a request: all requests use it but those to excepted hosts (F2)."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}


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
