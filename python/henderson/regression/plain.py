"""Regression tables as aligned text and as Markdown."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from henderson import errors_reports

if TYPE_CHECKING:
    from henderson.regression.table import RegressionTable

GAP, INDENT = "  ", "  "
SMALLEST_WIDTH = 20
_TAIL = re.compile(r"^(.*?[\w.])([^\w.\s]+)$")
"""A cell that ends in what is not part of its number: ``(6.82)``, ``10.47***``."""


def split_tail(cell: str) -> tuple[str, str]:
    """The cell up to its last digit, and what follows: a parenthesis, a bracket, stars."""
    found = _TAIL.match(cell)
    return (found[1], found[2]) if found else (cell, "")


def table_text(table: RegressionTable, width: Any) -> str:
    """Aligned text: numbers right, what follows their last digit hangs over."""
    if isinstance(width, bool) or not isinstance(width, int) or width < SMALLEST_WIDTH:
        raise errors_reports.width_invalid(width)
    columns = [_column(table, place) for place in range(len(table.names))]
    stub = max((len(INDENT + row.label) for part in table.parts for row in part.rows), default=0)
    lines = [table.caption, ""] if table.caption else []
    for place, block in enumerate(_blocks([len(column[0]) for column in columns], width - stub)):
        lines += [*([""] if place else []), *_block(table, [columns[place] for place in block], stub)]
    shown = min(width, max(len(line) for line in lines))
    for note in table.notes:
        lines += textwrap.wrap(note, max(shown, 60))
    return "\n".join(line.rstrip() for line in lines).rstrip("\n")


def _column(table: RegressionTable, place: int) -> list[str]:
    """Head, response and cells of one fit, all of one width."""
    cells = [row.cells[place] for part in table.parts for row in part.rows]
    parts = [split_tail(cell) for cell in cells]
    tail = max((len(end) for _, end in parts), default=0)
    heads = [table.names[place], table.responses[place]]
    size = max([*(len(head) for head in heads), *(len(start) + tail for start, _ in parts)])
    return [head.rjust(size) for head in heads] + [start.rjust(size - tail) + end.ljust(tail) for start, end in parts]


def _blocks(sizes: Sequence[int], room: int) -> list[list[int]]:
    """Columns that fit side by side."""
    blocks: list[list[int]] = [[]]
    used = 0
    for place, size in enumerate(sizes):
        if blocks[-1] and used + len(GAP) + size > room:
            blocks.append([])
            used = 0
        blocks[-1].append(place)
        used += len(GAP) + size
    return blocks


def _block(table: RegressionTable, columns: Sequence[Sequence[str]], stub: int) -> list[str]:
    lines = [GAP.join(["".ljust(stub), *(column[place] for column in columns)]) for place in (0, 1)]
    rule = "-" * max(len(line) for line in lines)
    place = 2
    for part in table.parts:
        lines += [rule, part.title]
        for row in part.rows:
            label = (INDENT + row.label).ljust(stub)
            lines.append(GAP.join([label, *(column[place] for column in columns)]))
            place += 1
    return [rule.replace("-", "="), *lines, rule.replace("-", "=")]


def table_markdown(table: RegressionTable) -> str:
    """A table of pipes; titles of parts are bold lines of their own."""

    def line(cells: Sequence[str]) -> str:
        return (
            "| "
            + " | ".join(cell.replace("\\", "\\\\").replace("|", r"\|").replace("*", r"\*") for cell in cells)
            + " |"
        )

    blank = [""] * len(table.names)
    rows = [line(["", *table.names]), "|---|" + "---:|" * len(table.names), line(["", *table.responses])]
    for part in table.parts:
        rows.append(f"| **{part.title}** | " + " | ".join(blank) + " |")
        rows += [line([row.label, *row.cells]) for row in part.rows]
    above = [f"**{table.caption}**", ""] if table.caption else []
    below = ["", *(note.replace("*", r"\*") for note in table.notes)] if table.notes else []
    return "\n".join([*above, *rows, *below]) + "\n"
