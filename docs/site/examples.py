"""The python blocks of a page, run one after the other as the cells of a notebook. Used by the tests and by the site.

A ```text block right after a ```python block is what the block prints. An image ``![...](images/<name>.png)`` right
after either is the figure that the value of the block's last expression belongs to: a figure, axes, an array of axes.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
from typing import Any, NamedTuple

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$|^!\[[^\]]*\]\((images/[\w-]+\.png)\)$", re.MULTILINE | re.DOTALL)


class Example(NamedTuple):
    """One python block: its first line in the page, and what the page shows of its outcome."""

    line: int
    source: str
    shown: str | None
    image: str | None


def examples(text: str) -> list[Example]:
    """The python blocks of a page, each with the text block and the image that follow it directly, if any."""
    found: list[Example] = []
    end, after_python = 0, False
    for block in BLOCK.finditer(text):
        directly = after_python and not text[end : block.start()].strip()
        end, after_python = block.end(), block[1] == "python" or (directly and block[1] == "text")
        if block[1] == "python":
            found.append(Example(text.count("\n", 0, block.start()) + 2, block[2], None, None))
        elif directly and block[1] == "text":
            found[-1] = found[-1]._replace(shown=block[2])
        elif directly and block[3]:
            found[-1] = found[-1]._replace(image=block[3])
    return found


def run(example: Example, namespace: dict[str, Any], name: str) -> tuple[str, Any]:
    """Execute a block as a notebook cell: what it prints with the repr of its last expression, and that one's value."""
    tree = ast.parse("\n" * (example.line - 1) + example.source, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    value = None
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(tree, name, "exec"), namespace)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), name, "eval"), namespace)
            if value is not None:
                print(repr(value))
    return out.getvalue(), value


def figure_of(value: Any) -> Any:
    """The figure that a value belongs to: of a figure itself, of axes, of an array of axes; None for anything else."""
    while not hasattr(value, "savefig"):
        if getattr(value, "flat", None) is not None and getattr(value, "size", 0):
            value = value.flat[0]
        elif hasattr(value, "figure"):
            value = value.figure
        else:
            return None
    return value
