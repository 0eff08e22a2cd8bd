"""Check request signatures, as the API does.

Source: the vendor's documentation of EXO2-HMAC-SHA256. The signed text has five parts, joined by
newlines: `METHOD path`, the body, the values of the signed query arguments, nothing (for headers),
and the expiry.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

from csi_exoblock.simulator.state import refusals
from csi_exoblock.simulator.state.refusals import Refusal

log = logging.getLogger(__name__)

_SCHEME: Final = "EXO2-HMAC-SHA256 "


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest:
    """The parts of a request that its signature covers.

    Attributes:
        path: As sent, without the query.
        query: As sent, without the question mark.
        authorization: The header, or None when it is missing.
    """

    method: str
    path: str
    query: str
    body: bytes
    authorization: str | None


@dataclass(frozen=True, slots=True)
class _Key:
    secret: bytes
    role: frozenset[str] | None  # None permits everything


class Credentials:
    """The API keys that this cloud knows, and which operations each may call."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._keys: dict[str, _Key] = {}
        for key, secret in secrets.items():
            self.put(key, secret)

    def put(self, key: str, secret: str, role: Iterable[str] | None = None) -> None:
        """Accept a key from now on.

        Args:
            role: The operations that it may call; None is all.
        """
        self._keys[key] = _Key(secret.encode(), None if role is None else frozenset(role))

    def revoke(self, key: str) -> None:
        """Refuse a key from now on."""
        self._keys.pop(key, None)

    def require_permission(self, request: SignedRequest, operation: str, now: float) -> None:
        """Raise Refusal unless a request is signed with a known key whose role has the operation.

        Args:
            now: Seconds since the epoch.

        Raises:
            Refusal: The key is unknown, the signature is wrong, or the key's role lacks the
                operation.
        """
        fields = _parse(request.authorization)
        key = self._keys.get(fields["credential"])
        if key is None:
            raise _bad("unknown API key")
        if int(fields["expires"]) <= now:
            raise _bad("the signature has expired")
        signed_names = fields.get("signed-query-args", "")
        text = _text_to_sign(request, signed_names, fields["expires"])
        expected = base64.b64encode(hmac.digest(key.secret, text, hashlib.sha256))
        if not hmac.compare_digest(expected, fields["signature"].encode()):
            raise _bad("the signature is wrong")
        if key.role is not None and operation not in key.role:
            raise refusals.forbidden()


def _parse(header: str | None) -> dict[str, str]:
    """Read the fields of the header; refuse it if one is missing."""
    if header is None or not header.startswith(_SCHEME):
        raise _bad("the request is not signed with EXO2-HMAC-SHA256")
    pairs = (part.partition("=") for part in header.removeprefix(_SCHEME).split(","))
    fields = {name: value for name, _, value in pairs}
    if not {"credential", "expires", "signature"} <= fields.keys():
        raise _bad("the signature lacks credential, expires or signature")
    if not fields["expires"].isascii() or not fields["expires"].isdigit():
        raise _bad("the expiry of the signature is no time")
    return fields


def _bad(why: str) -> Refusal:
    """Refuse a request without a reason, as the API does, and log the reason."""
    log.info("refused: %s", why)
    return refusals.bad_signature()


def _text_to_sign(request: SignedRequest, signed_names: str, expires: str) -> bytes:
    arguments = parse_qs(request.query)
    if signed_names != ";".join(sorted(arguments)):
        raise _bad("the signature does not cover the query")
    # Repeated arguments are named but not signed, as the vendor's own client does it.
    values = (arguments[name] for name in sorted(arguments))
    signed_values = "".join(value[0] for value in values if len(value) == 1)
    parts = (
        f"{request.method} {request.path}".encode(),
        request.body,
        signed_values.encode(),
        b"",
        expires.encode(),
    )
    return b"\n".join(parts)
