"""Make foreign text safe to show: it can come from a tenant's disk or process (F17)."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return the text with its unprintable characters escaped.

    Those are control characters, including line ends, characters that change the direction of
    text, and bytes that were not valid text.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escape(each) for each in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
