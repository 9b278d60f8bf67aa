"""Drawn images are shown in the size they were drawn for, whatever the number of their pixels."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from docutils import nodes

from figures import PIXELS_PER_INCH

SHOWN_PER_INCH = 110


def width(path: Path) -> int:
    """Pixels across a PNG file, from its header."""
    with path.open("rb") as file:
        return int(struct.unpack(">I", file.read(20)[16:])[0])


def set_widths(app: Any, tree: Any) -> None:
    """Set the width of the images that figures.py has drawn."""
    for image in tree.findall(nodes.image):
        path = Path(app.srcdir, image["uri"])
        if path.parent.name == "images" and path.exists():
            image["width"] = f"{width(path) * SHOWN_PER_INCH / PIXELS_PER_INCH:.0f}px"


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("doctree-read", set_widths)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
