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

# What is logged can be a stranger's text: each part of a pattern that repeats has a limit, so that
# no text takes the square of its length.
_WORD = r"[\w.-]{0,40}"
_NAMES = (
    r"(?:secret|passw(?:or)?d|passphrase|(?:pass|pwd)(?![\w.-])|token|api[-_]?key|credential"
    r"|signature|private[-_]?key)"
    # The name of a file or object that holds a secret is none.
    rf"(?!{_WORD}(?:file|path|name|class|ref)\b){_WORD}"
)
_FLAGS = rf"(?<![\w-])--?[\w-]{{0,40}}?{_NAMES}"
_NAME = re.compile(_NAMES, re.IGNORECASE)
_FLAG = re.compile(_FLAGS, re.IGNORECASE)
_PATTERNS = (
    re.compile(r"()\beyJ[\w-]{8,2000}\.[\w-]{1,4000}\.[\w-]{0,2000}"),  # a JSON web token
    re.compile(r"()\bEXO[0-9A-Za-z]{8,}"),  # the vendor's API keys
    re.compile(r"(://)[^/\s\"'\\]+(?=@)"),  # user and password in a URL
    re.compile(r"(\b(?:bearer|basic) )[\w+/=.~-]{8,}", re.IGNORECASE),
    # Only another flag begins with a dash.
    re.compile(rf"({_FLAGS}[\s\"',\\]{{1,8}})(?!-)[^\s\"',;}}{{\[\]\\]+", re.IGNORECASE),
    re.compile(rf"({_NAMES}\s{{0,4}}[=:]\s{{0,4}})[^\s\"',;}}{{\[\]\\]+", re.IGNORECASE),
    re.compile(
        rf"({_NAMES}(?:\\{{0,8}}[\"'])?\s{{0,4}}[=:]\s{{0,4}}(?P<quote>\\{{0,8}}[\"']))"
        r"(?:(?!(?P=quote)).)+",
        re.IGNORECASE,
    ),
)
_PEM = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END|\Z)", re.DOTALL)
# A line without any of these has no match, and is most lines of a log.
_HINT = re.compile(
    r"secret|pass|pwd|token|key|credential|signature|EXO|eyJ|bearer|basic|@", re.IGNORECASE
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
        text = _PEM.sub(REDACTED, text)
        return "".join(map(_guessed, text.splitlines(keepends=True)))

    def value(self, found: object) -> object:
        """Return a value of JSON without secrets.

        Texts below a secret's name are replaced, and those that follow its flag in a list.
        """
        if isinstance(found, dict):
            return {
                self.text(key): REDACTED
                if isinstance(each, str) and each and _NAME.search(key)
                else self.value(each)
                for key, each in found.items()
            }
        if isinstance(found, list | tuple):
            return [
                REDACTED if _is_given_to(flag, each) else self.value(each)
                for flag, each in zip(("", *found), found, strict=False)
            ]
        return self.text(found) if isinstance(found, str) else found


def _is_given_to(flag: object, found: object) -> bool:
    """Return whether a value is that of the flag of a secret before it."""
    if not isinstance(flag, str) or not isinstance(found, str):
        return False
    return bool(_FLAG.fullmatch(flag)) and not found.startswith("-")


def _guessed(line: str) -> str:
    """Return a line without what looks like a secret."""
    if _HINT.search(line):
        for pattern in _PATTERNS:
            line = pattern.sub(rf"\g<1>{REDACTED}", line)
    return line


def _forms(secret: str) -> Iterator[str]:
    """Return the ways in which a secret is written down."""
    yield secret
    yield quote(secret, safe="")
    yield json.dumps(secret)[1:-1]
    encoded = base64.b64encode(secret.encode()).decode()
    yield encoded
    yield encoded.rstrip("=")
