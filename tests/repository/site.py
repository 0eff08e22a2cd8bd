"""What mkdocs does beyond Markdown: the README is a page of the site, and links to it work.

Links to other files of the repository, which the site does not have, become plain text.
"""

from __future__ import annotations

import pathlib
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_ROOT = pathlib.Path(__file__).parents[2]
_README = "project.md"


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the README."""
    files.append(File.generated(config, _README, content=_of_readme()))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Lead links to the README to its page."""
    return markdown.replace("](../README.md", f"]({_README}")


def _of_readme() -> str:
    text = (_ROOT / "README.md").read_text().replace("](docs/", "](")
    return re.sub(r"\[([^]]*)\]\((?!https?:|#)([^)]*)\)", _link, text)


def _link(found: re.Match[str]) -> str:
    page = found[2].partition("#")[0]
    return found[0] if (_ROOT / "docs" / page).exists() else found[1]
