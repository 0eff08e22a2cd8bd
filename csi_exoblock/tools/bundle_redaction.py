"""Takes secrets out of what is sent away: the known ones, and what looks like one (F12)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote

REDACTED = "[redacted]"

# A shorter one occurs in other words too, and is found by the name before it.
_LEAST_CHARACTERS = 4

_NAMES = r"secret|passw(?:or)?d|passphrase|token|api[-_]?key|credentials?|signature|private[-_]?key"
# The names of files and objects that hold a secret are none, nor is what is said about one.
_NO_SECRET = r"(?![\w.-]*(?:file|path|name|class|ref)\b)"  # noqa: S105 - a pattern
_NAME = re.compile(rf"(?i)^{_NO_SECRET}[\w.-]*(?:{_NAMES})[\w.-]*$")
_PATTERNS = (
    re.compile(r"()-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|\Z)", re.DOTALL),
    re.compile(r"()\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"),  # a JSON web token
    re.compile(r"()\bEXO[0-9A-Za-z]{8,}"),  # the vendor's API keys
    re.compile(r"(://)[^/\s\"'\\]+(?=@)"),  # user and password in a URL
    re.compile(r"(?i)(\b(?:bearer|basic) )[\w+/=.~-]{8,}"),
    re.compile(rf"(?i)(\b{_NO_SECRET}[\w.-]*(?:{_NAMES})[\w.-]*\s*[=:]\s*)[^\s\"',;}}{{\[\]\\]+"),
    re.compile(
        rf"(?i)(\b{_NO_SECRET}[\w.-]*(?:{_NAMES})[\w.-]*(\\*[\"'])?\s*[=:]\s*(?P<quote>\\*[\"']))"
        r"(?:(?!(?P=quote)).)+"
    ),
)


class Redaction:
    """Replaces secrets in texts and in the values of JSON.

    Args:
        secrets: The known ones, such as the API key. They are found in Base64, percent-encoded and
            quoted as well.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {each for each in secrets if len(each) >= _LEAST_CHARACTERS}
        written = {form for each in known for form in _forms(each)}
        self._known = sorted(written, key=len, reverse=True)

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        for each in self._known:
            text = text.replace(each, REDACTED)
        for pattern in _PATTERNS:
            text = pattern.sub(rf"\g<1>{REDACTED}", text)
        return text

    def value(self, found: object) -> object:
        """Return a value of JSON without secrets; texts below a secret's name are replaced."""
        if isinstance(found, dict):
            return {
                self.text(key): REDACTED
                if isinstance(each, str) and each and _NAME.match(key)
                else self.value(each)
                for key, each in found.items()
            }
        if isinstance(found, list | tuple):
            return [self.value(each) for each in found]
        return self.text(found) if isinstance(found, str) else found


def _forms(secret: str) -> Iterator[str]:
    """Return the ways in which a secret is written down."""
    yield secret
    yield quote(secret, safe="")
    yield json.dumps(secret)[1:-1]
    encoded = base64.b64encode(secret.encode()).decode()
    yield encoded
    yield encoded.rstrip("=")
