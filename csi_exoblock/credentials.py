"""The API key and its secret, and the two forms in which a file may hold them (F1)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

KEY_VARIABLE = "EXOSCALE_API_KEY"
SECRET_VARIABLE = "EXOSCALE_API_SECRET"  # noqa: S105 - the name of a variable


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What requests to the cloud are signed with; neither part shows in a message or a log line."""

    key: str = field(repr=False)
    secret: str = field(repr=False)


def read_credentials(path: Path) -> Credentials:
    """Read the cloud controller's JSON, or a folder whose files are named like the variables.

    Raises:
        ValueError: There is nothing to read, or it is incomplete; the text quotes none of it.
    """
    try:
        key, secret = _in_folder(path) if path.is_dir() else _in_json(path)
    except OSError as error:
        raise ValueError(f"{error.filename}: {error.strerror}") from None
    # A key that has a space or more than ASCII in it can't stand in a header.
    if not (key.isascii() and key.isprintable() and key and " " not in key and secret):
        raise ValueError(f"{path} has no usable key and secret")
    return Credentials(key=key, secret=secret)


def _in_folder(folder: Path) -> tuple[str, str]:
    try:
        key, secret = ((folder / name).read_text() for name in (KEY_VARIABLE, SECRET_VARIABLE))
    except UnicodeDecodeError:
        raise ValueError(f"{folder}: its files are no text") from None
    return key.strip(), secret.strip()


def _in_json(file: Path) -> tuple[str, str]:
    try:
        found = json.loads(file.read_bytes())
        key, secret = found["api_key"], found["api_secret"]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise ValueError(f"{file} is no JSON object with api_key and api_secret") from None
    if not (isinstance(key, str) and isinstance(secret, str)):
        raise ValueError(f"{file}: api_key and api_secret must be strings")
    return key.strip(), secret.strip()
