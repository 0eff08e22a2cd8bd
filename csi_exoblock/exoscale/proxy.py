"""Which requests go through the proxy: all but those to hosts that are excepted (F2)."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}


class Proxy:
    """The way to the API as the conventional variables describe it.

    Args:
        url: The proxy of requests over TLS, without user and password; `None` for none.
        exceptions: Hosts reached without it, separated by commas: a name stands for its subdomains
            too, a network for its addresses, `*` for everything; each perhaps with a port.
    """

    def __init__(self, url: str | None, exceptions: str) -> None:
        self._url = url
        self._exceptions = [each.strip().lower() for each in exceptions.split(",") if each.strip()]

    def of(self, url: str) -> dict[str, str]:
        """Return the proxy for a URL as requests wants it, empty for none."""
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
        return False  # at least one of them is a name
