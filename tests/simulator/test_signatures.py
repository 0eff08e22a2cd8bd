"""Only requests that are signed as the vendor documents are let in (N15)."""

from __future__ import annotations

import time

import pytest
import requests
from exoscale_auth import ExoscaleV2Auth

from tests.support.simulator_process import API_KEY, API_SECRET, SimulatorProcess

INSTANCE = "6f1c2d3e-0000-4000-8000-000000000000"


class Expired(ExoscaleV2Auth):  # type: ignore[misc]  # it has no types
    """Sign for a time that has passed."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        self._sign_request(request, int(time.time()) - 1)
        return request


def sign(
    cloud: SimulatorProcess, method: str = "GET", *, auth: ExoscaleV2Auth | None = None
) -> requests.PreparedRequest:
    """Make a signed request: a list with a query, or a create with a body."""
    url = f"{cloud.base_url}/{cloud.zones[0]}/v2/block-storage"
    auth = auth or ExoscaleV2Auth(API_KEY, API_SECRET)
    if method == "GET":
        params = {"instance-id": INSTANCE}
        return requests.Request(method, url, params=params, auth=auth).prepare()
    return requests.Request(method, url, json={"name": "one", "size": 1}, auth=auth).prepare()


def status(request: requests.PreparedRequest) -> int:
    """Send a request and return the status of its answer."""
    with requests.Session() as session:
        return session.send(request, timeout=30).status_code


def message(request: requests.PreparedRequest) -> str:
    """Send a request and return what its answer says."""
    with requests.Session() as session:
        return str(session.send(request, timeout=30).json()["message"])


def replace_header(request: requests.PreparedRequest, old: str, new: str) -> None:
    """Change a part of the signature header that is there."""
    header = request.headers["Authorization"]
    assert old in header
    request.headers["Authorization"] = header.replace(old, new)


def test_refusals_say_what_the_real_ones_say(cloud: SimulatorProcess) -> None:
    cloud.put_key("EXOlittle", API_SECRET, ["list-zones"])

    said = [
        message(sign(cloud, auth=ExoscaleV2Auth(key, API_SECRET)))
        for key in ("EXOnobody", "EXOlittle")
    ]

    assert said == ["Invalid request signature", "Forbidden by role policy for compute"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_signed_request_is_let_in(cloud: SimulatorProcess, method: str) -> None:
    assert status(sign(cloud, method)) == 200


def test_unsigned_request_is_refused(cloud: SimulatorProcess) -> None:
    request = sign(cloud)
    del request.headers["Authorization"]

    assert status(request) == 403


@pytest.mark.parametrize(
    "header",
    [
        "Basic dXNlcjpwYXNz",
        "EXO2-HMAC-SHA256",
        "EXO2-HMAC-SHA256 credential=EXOtests",
        "EXO2-HMAC-SHA256 credential=EXOtests,expires=soon,signature=AAAA",
    ],
)
def test_unreadable_signature_is_refused(cloud: SimulatorProcess, header: str) -> None:
    request = sign(cloud)
    request.headers["Authorization"] = header

    assert status(request) == 403


@pytest.mark.parametrize(
    "auth",
    [
        ExoscaleV2Auth("EXOnobody", API_SECRET),
        ExoscaleV2Auth(API_KEY, "another secret"),
        Expired(API_KEY, API_SECRET),
    ],
    ids=["unknown key", "wrong secret", "expired"],
)
def test_signature_of_the_wrong_key_or_time_is_refused(
    cloud: SimulatorProcess, auth: ExoscaleV2Auth
) -> None:
    assert status(sign(cloud, auth=auth)) == 403


def test_expiry_is_signed(cloud: SimulatorProcess) -> None:
    request = sign(cloud)
    replace_header(request, "expires=", "expires=1")

    assert status(request) == 403


def test_body_is_signed(cloud: SimulatorProcess) -> None:
    request = sign(cloud, "POST")
    request.body = b'{"name": "one", "size": 2}'

    assert status(request) == 403
    assert cloud.volumes() == []


def test_path_is_signed(cloud: SimulatorProcess) -> None:
    request = sign(cloud)
    assert request.url is not None
    request.url = request.url.replace(cloud.zones[0], cloud.zones[1])

    assert status(request) == 403


def test_method_is_signed(cloud: SimulatorProcess) -> None:
    request = sign(cloud, "POST")
    request.method = "GET"

    assert status(request) == 403


def test_query_is_signed(cloud: SimulatorProcess) -> None:
    request = sign(cloud)
    assert request.url is not None
    request.url = request.url.replace(INSTANCE[:8], "00000000")

    assert status(request) == 403


def test_query_that_the_signature_does_not_name_is_refused(cloud: SimulatorProcess) -> None:
    request = sign(cloud)
    replace_header(request, ",signed-query-args=instance-id", "")

    assert status(request) == 403
