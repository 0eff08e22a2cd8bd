"""The flags in another process's command line, as it reads them itself."""

from __future__ import annotations

from collections.abc import Iterable


def flags_in(words: Iterable[str]) -> dict[str, str]:
    """Return the values of flags by their names, without dashes; `true` for one without a value.

    A value follows its flag behind `=`, or as the next word.
    """
    found: dict[str, str] = {}
    waiting = ""
    for word in words:
        if word.startswith("-"):
            name, equals, value = word.lstrip("-").partition("=")
            found[name] = value if equals else "true"
            waiting = "" if equals else name
        elif waiting:
            found[waiting], waiting = word, ""
    return found
