"""The API key and its secret, read from the environment or from a file (F1)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

KEY_VARIABLE = "EXOSCALE_API_KEY"
SECRET_VARIABLE = "EXOSCALE_API_SECRET"  # noqa: S105 - the name of a variable


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The key and the secret that sign requests; neither appears in a message or a log line."""

    key: str = field(repr=False)
    secret: str = field(repr=False)


def credentials_of(key: str, secret: str) -> Credentials:
    """Return key and secret without the white space around them.

    Raises:
        ValueError: A part is missing or malformed; the text quotes nothing of it.
    """
    key, secret = key.strip(), secret.strip()
    for name, part in ((KEY_VARIABLE, key), (SECRET_VARIABLE, secret)):
        if not part:
            raise ValueError(f"{name} is empty")
        if not (part.isascii() and part.isprintable()):
            raise ValueError(f"{name} has characters that no key has, such as a line break")
    if " " in key or "," in key:  # in the header the next field would begin there
        raise ValueError(f"{KEY_VARIABLE} has a space or a comma in it")
    return Credentials(key=key, secret=secret)


def read_credentials(path: Path) -> Credentials:
    """Read key and secret from a file or folder.

    Args:
        path: A file with the JSON of Exoscale's cloud controller manager, or a folder with one file
            for each variable, named like it.

    Raises:
        ValueError: Nothing can be read, or a part is missing or malformed; the text quotes nothing
            of it.
    """
    try:
        key, secret = _in_folder(path) if path.is_dir() else _in_json(path)
    except OSError as error:
        raise ValueError(f"{error.filename}: {error.strerror}") from None
    try:
        return credentials_of(key, secret)
    except ValueError as error:
        raise ValueError(f"{path} has no usable key and secret: {error}") from None


def _in_folder(folder: Path) -> tuple[str, str]:
    try:
        key, secret = ((folder / name).read_text() for name in (KEY_VARIABLE, SECRET_VARIABLE))
    except UnicodeDecodeError:
        raise ValueError(f"{folder}: its files are no text") from None
    return key, secret


def _in_json(file: Path) -> tuple[str, str]:
    try:
        found = json.loads(file.read_bytes())
        key, secret = found["api_key"], found["api_secret"]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise ValueError(f"{file} is no JSON object with api_key and api_secret") from None
    if not (isinstance(key, str) and isinstance(secret, str)):
        raise ValueError(f"{file}: api_key and api_secret must be strings")
    return key, secret
