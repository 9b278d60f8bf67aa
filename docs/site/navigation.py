"""The navigation is docs/index.md: a caption for each of its sections, an entry for each page that it lists."""

from __future__ import annotations

import posixpath
import re
from typing import Any

SECTION = re.compile(r"^## (.+?)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
ENTRY = re.compile(r"^- \[([^\]]+)\]\(([^)#]+)\.md\)", re.MULTILINE)


def sections(text: str) -> dict[str, list[tuple[str, str]]]:
    """The sections that list pages: titles and paths, without their suffix, as they are written."""
    found = {caption: ENTRY.findall(body) for caption, body in SECTION.findall(text)}
    return {caption: entries for caption, entries in found.items() if entries}


def add_navigation(app: Any, docname: str, source: list[str]) -> None:
    """Append a hidden table of contents for each section of the landing page."""
    if docname != app.config.root_doc:
        return
    folder = posixpath.dirname(docname)
    for caption, entries in sections(source[0]).items():
        pages = [f"{title} </{posixpath.normpath(posixpath.join(folder, path))}>" for title, path in entries]
        source[0] += "\n".join(["", "```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```", ""])


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", add_navigation)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
