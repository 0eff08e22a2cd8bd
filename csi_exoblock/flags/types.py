"""The readers that turn a flag's text into a value; their ValueErrors say what is expected."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import unquote, urlsplit

import click

from csi_exoblock.config import ProxySettings
from csi_exoblock.model import ZoneName, is_zone_name

_Value = TypeVar("_Value")

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)", re.ASCII)
_LONGEST_SECONDS = 24 * 3600.0
_LARGEST_SCALE = 1000.0
_PROXY_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?/?", re.ASCII)
_LABEL_PART = re.compile(r"[A-Za-z0-9./-]{1,255}", re.ASCII)


class Read(click.ParamType[_Value], Generic[_Value]):
    """A click type whose values a function reads."""

    def __init__(self, name: str, read: Callable[[str], _Value]) -> None:
        self.name = name
        self._read = read

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> _Value:
        """Read the value, unless it is a default that has its final type already."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]  # click passes a default on as it is
        try:
            return self._read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def duration(text: str) -> float:
    """Read `90s`, `2m`, `1m30s` or `250ms` as seconds."""
    if not re.fullmatch(f"(?:{_PART.pattern})+", text, re.ASCII):
        raise ValueError(f"{text!r} is no duration such as 90s or 2m")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    if seconds > _LONGEST_SECONDS:
        raise ValueError(f"{text!r} is more than a day")
    return seconds


def some_time(text: str) -> float:
    """Read a duration that can't be zero."""
    if not (seconds := duration(text)):
        raise ValueError(f"{text!r} is no time at all")
    return seconds


def scale(text: str) -> float:
    """Read a factor above zero."""
    factor = float(text) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text, re.ASCII) else 0.0
    if not 0.0 < factor <= _LARGEST_SCALE:
        raise ValueError(f"{text!r} is no number above 0, at most {_LARGEST_SCALE:.0f}")
    return factor


def rate(text: str) -> float:
    """Read a rate per second, above zero."""
    number = float(text) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text, re.ASCII) else 0.0
    if not number:
        raise ValueError(f"{text!r} is no number a second, such as 20 or 0.5")
    return number


def gib(text: str) -> int:
    """Read a size in GiB whose bytes fit into CSI's 64 bits."""
    if not (re.fullmatch(r"[0-9]{1,10}", text, re.ASCII) and 0 < int(text) < 2**33):
        raise ValueError(f"{text!r} is no size in GiB: a whole number above 0")
    return int(text)


def socket_path(text: str) -> Path:
    """Read `unix:///path` or `/path`."""
    path = Path(re.sub(r"^unix:(//)?", "", text))
    if not path.is_absolute() or path.name == "":
        raise ValueError(f"{text!r} is no socket such as unix:///csi/csi.sock")
    return path


def absolute_path(text: str) -> Path:
    """Read an absolute path, which does not depend on the working directory."""
    path = Path(text)
    if not path.is_absolute():
        raise ValueError(f"{text!r} is no absolute path")
    return path


def http_path(text: str) -> str:
    """Read a path of the HTTP endpoint other than those of the probes."""
    taken = ("/livez", "/livez/why", "/readyz")
    if not re.fullmatch(r"/[A-Za-z0-9._~/-]+", text, re.ASCII) or text in taken:
        raise ValueError(f"{text!r} is no free path such as /metrics")
    return text


def address(text: str) -> tuple[str, int]:
    """Read `:8080`, `127.0.0.1:8080` or `[::1]:8080`."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]/ ]*)):([0-9]{1,5})", text, re.ASCII)
    if match is None or int(match[3]) > 65535:
        raise ValueError(f"{text!r} is no address such as :8080 or 127.0.0.1:8080")
    return match[1] or match[2], int(match[3])


def url(text: str) -> str:
    """Read an HTTP URL, with or without `{zone}` in it.

    It has no user, for a password would show in messages, and no query or fragment, for paths are
    added to it.
    """
    try:
        parts = urlsplit(text.replace("{zone}", "zone"))
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # of the port, or of an address of IPv6
        good = False
    if "@" in text:
        raise ValueError("no user and password are allowed in this URL")
    if not good or re.search(r"[\s{}?#\\]", text.replace("{zone}", "")):
        raise ValueError(f"{text!r} is no URL such as https://api-{{zone}}.exoscale.com/v2")
    return text.rstrip("/")


def is_private(url: str) -> bool:
    """Return whether nobody else can read requests to a URL: by TLS, or on this host."""
    parts = urlsplit(url.replace("{zone}", "zone"))
    if parts.scheme == "https":
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return parts.hostname == "localhost"


def proxy(text: str) -> ProxySettings:
    """Read a proxy's URL; the error quotes nothing of it, because it can contain a password."""
    scheme, there, rest = text.strip().partition("://")
    if not there:
        scheme, rest = "http", scheme
    login, _, host = rest.rpartition("@")
    user, _, password = login.partition(":")
    match = _PROXY_HOST.fullmatch(host)
    if (
        scheme.lower() not in ("http", "https")
        or match is None
        or not 0 < int(match[2] or 1) <= 65535
    ):
        raise ValueError("is no URL such as http://proxy.example:3128")
    return ProxySettings(
        url=f"{scheme.lower()}://{host.removesuffix('/')}",
        user=unquote(user),
        password=unquote(password),
    )


def user_agent(text: str) -> str:
    """Read a text that is allowed in a User-Agent header."""
    if not re.fullmatch(r"[ -~]{0,255}", text, re.ASCII):
        raise ValueError(f"{text[:100]!r}: ASCII without control characters, at most 255")
    return text.strip()


def node_name(text: str) -> str | None:
    """Read the name of a Node by the rules of Kubernetes; empty means that it is not known."""
    if len(text) > 253 or not re.fullmatch(r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?)?", text, re.ASCII):
        raise ValueError(f"{text[:100]!r} is no name of a Node")
    return text or None


def object_name(text: str) -> str:
    """Read the name of an object of Kubernetes, or nothing."""
    if text and not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", text, re.ASCII):
        raise ValueError(f"{text[:100]!r} is no name of an object of Kubernetes")
    return text


def context(text: str) -> str:
    """Read the name of a context of kubectl's."""
    if not text.isprintable() or text.startswith("-"):
        raise ValueError(f"{text[:100]!r} is no name of a context")
    return text


def namespaced_name(text: str) -> tuple[str, str] | None:
    """Read `<namespace>/<name>`; nothing means none."""
    part = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"
    if text and not re.fullmatch(f"{part}/{part}", text, re.ASCII):
        raise ValueError(f"{text[:100]!r} is no <namespace>/<name>")
    namespace, _, name = text.partition("/")
    return (namespace, name) if text else None


def driver_name(text: str) -> str:
    """Read a driver name by the rules of CSI: a domain name of at most 63 characters."""
    if len(text) > 63 or not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", text, re.ASCII):
        raise ValueError(f"{text!r} is no driver name: lower-case domain, at most 63 characters")
    return text


def zone(text: str) -> ZoneName:
    """Read the name of a zone."""
    if not is_zone_name(text):
        raise ValueError(f"{text!r} is no zone such as ch-gva-2")
    return ZoneName(text)


def zones(text: str) -> tuple[ZoneName, ...]:
    """Read names of zones, separated by commas."""
    return tuple(zone(each.strip()) for each in text.split(",") if each.strip())


def cluster_id(text: str) -> str:
    """Read the cluster's id; `none` and an empty text both mean that there is no id."""
    return "" if text in ("", "none") else _cluster_id(text)


def cluster_ids(text: str) -> tuple[str, ...]:
    """Read ids of clusters, separated by commas."""
    return tuple(_cluster_id(each.strip()) for each in text.split(",") if each.strip())


def label_prefix(text: str) -> str:
    """Read the prefix of the driver's own labels."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9./-]{0,62}", text, re.ASCII):
        raise ValueError(f"{text!r}: letters, digits, dash, dot and slash, at most 63, are allowed")
    return text


def labels(text: str) -> dict[str, str]:
    """Read `key=value,key=value`."""
    pairs = [each.strip().partition("=") for each in text.split(",") if each.strip()]
    for key, _, value in pairs:
        if not (_LABEL_PART.fullmatch(key) and _LABEL_PART.fullmatch(value)):
            raise ValueError(
                f"{key + '=' + value!r}: labels are key=value of letters, digits, dash, dot, slash"
            )
    read = {key: value for key, _, value in pairs}
    if len(read) < len(pairs):
        raise ValueError(f"{text[:100]!r} has a key twice")
    return read


def sources(text: str) -> tuple[str, ...]:
    """Read the sources of the node's identity, in order."""
    named = tuple(each.strip() for each in text.split(",") if each.strip())
    known = {"kubernetes", "cdrom", "server"}
    if not named or set(named) - known or len(set(named)) < len(named):
        raise ValueError(f"{text!r}: known are kubernetes, cdrom and server, each once")
    return named


def _cluster_id(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.-]{1,63}", text, re.ASCII):
        raise ValueError(f"{text!r}: letters, digits, dash and dot, at most 63, are allowed")
    return text
