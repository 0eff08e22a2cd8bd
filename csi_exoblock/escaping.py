"""Make text of others safe to show: it may come from a tenant's disk or process (F17)."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return the text with everything escaped that a terminal acts on or nobody sees.

    That are control characters, line ends included, those that turn the direction of text, and
    what was no text at all.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escape(each) for each in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
