"""Which URLs go through the proxy (F2)."""

from __future__ import annotations

import pytest

from csi_exoblock.exoscale.session import Proxy

PROXY = "http://proxy.example:3128"
URL = "https://api-ch-gva-2.exoscale.com/v2/zone"


@pytest.mark.parametrize(
    ("url", "exceptions"),
    [
        (URL, "exoscale.com"),
        (URL, ".exoscale.com"),
        (URL, "*.exoscale.com"),
        (URL, "localhost, API-CH-GVA-2.exoscale.com"),
        (URL, "exoscale.com:443"),
        (URL, "*"),
        ("https://10.1.2.3:8443/v2", "10.0.0.0/8"),
        ("https://10.1.2.3:8443/v2", "10.1.2.3"),
        ("https://10.1.2.3:8443/v2", "10.1.2.3:8443"),
        ("https://[fd00::7]:8443/v2", "fd00::/8"),
        ("https://[fd00::7]:8443/v2", "[fd00::7]:8443"),
        ("http://127.0.0.1:8080/v2", ""),  # the variable is about TLS
    ],
)
def test_excepted_goes_directly(url: str, exceptions: str) -> None:
    assert Proxy(PROXY, exceptions).of(url) == {}


@pytest.mark.parametrize(
    ("url", "exceptions"),
    [
        (URL, ""),
        (URL, "scale.com"),  # names are compared by whole labels
        (URL, "exoscale.com:8443"),
        (URL, "api-ch-gva-2.exoscale.com.evil.example"),
        (URL, "10.0.0.0/8"),
        ("https://10.1.2.3/v2", "10.1.2.4,11.0.0.0/8,nonsense/99"),
    ],
)
def test_everything_else_goes_through_the_proxy(url: str, exceptions: str) -> None:
    assert Proxy(PROXY, exceptions).of(url) == {"https": PROXY}


def test_without_a_proxy_everything_goes_directly() -> None:
    assert Proxy(None, "").of(URL) == {}
