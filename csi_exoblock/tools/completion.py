"""Shell completion of `kubectl exoblock …`: kubectl asks the program `kubectl_complete-exoblock`.

Its arguments are the words typed so far, and it completes the last one. It prints a line for each
choice and then a directive. Source: Kubernetes, "Extend kubectl with plugins"; cobra's
`completions.go`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click
from click.shell_completion import CompletionItem, ShellComplete

_DEFAULT = 0  # with these choices the shell offers files too
_NO_FILES = 4


def answer(command: click.Command, words: Sequence[str]) -> str:
    """Return the choices for the last word, in the form that kubectl reads."""
    *before, incomplete = words or ("",)
    completion = ShellComplete(command, {}, "kubectl exoblock", "")
    found = completion.get_completions(list(before), incomplete)
    takes_file = any(each.type != "plain" for each in found)
    directive = f":{_DEFAULT if takes_file else _NO_FILES}"
    return "\n".join([*_lines(found), directive])


def _lines(found: Sequence[CompletionItem]) -> Iterator[str]:
    for each in found:
        if each.type == "plain":
            yield f"{each.value}\t{each.help}" if each.help else str(each.value)
