"""Requests and answers of the API server, in the form that both sources share."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlencode

from csi_exoblock.errors import (
    DriverError,
    KubernetesConflict,
    KubernetesDenied,
    KubernetesExpired,
    KubernetesUnavailable,
    NotFound,
)
from csi_exoblock.kubernetes.fields import Json, parse_object

ANSWER_BYTES = 16 * 1024 * 1024
"""The longest answer: a page of a list. Its objects have some KiB each; etcd stores none above 1.5
MiB."""

_SHOWN = 300

_ERRORS: Mapping[int, type[DriverError]] = {
    HTTPStatus.UNAUTHORIZED: KubernetesDenied,
    HTTPStatus.FORBIDDEN: KubernetesDenied,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.CONFLICT: KubernetesConflict,
    HTTPStatus.GONE: KubernetesExpired,
    HTTPStatus.UNPROCESSABLE_ENTITY: KubernetesConflict,
}


def with_query(path: str, query: Mapping[str, str] | None) -> str:
    """Return the target of a request: its path, with the query if there is one."""
    return f"{path}?{urlencode(query)}" if query else path


def object_in(body: bytes, request: str) -> Json:
    """Return the JSON object in the body of a successful answer.

    Args:
        request: The request, for the message.

    Raises:
        KubernetesUnavailable: The body is no JSON object.
    """
    found = parse_object(body)
    if found is None:
        raise KubernetesUnavailable(f"{request}: the answer is no JSON object")
    return found


def text_in(body: bytes) -> str:
    """Return the text in the body of a successful answer."""
    return body.decode(errors="replace")


def error_of(status: int, request: str, message: str) -> DriverError:
    """Return the error that an unsuccessful answer stands for.

    Args:
        status: The HTTP status.
        request: The request, for the message.
        message: The server's own words; empty if it gave none.
    """
    said = message[:_SHOWN] or "no reason given"
    return _ERRORS.get(status, KubernetesUnavailable)(f"{request}: {said}")
