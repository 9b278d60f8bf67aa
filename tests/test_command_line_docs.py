"""The commands of docs/command-line.md run one after the other, and print what the page shows."""

import contextlib
import io
import re
import shlex
from pathlib import Path

from henderson.cli import main
from test_docs import agree, without_trailing_blanks

PAGE = Path(__file__).parents[1] / "docs" / "command-line.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks():
    """Kind and text of each block; a text block directly below another belongs to it."""
    text, end = PAGE.read_text(encoding="utf-8"), 0
    found = []
    for block in BLOCK.finditer(text):
        shown = block[2] if block[1] == "text" and found and not text[end : block.start()].strip() else None
        if shown is None:
            found.append((block[1], block[2], None))
        else:
            found[-1] = (*found[-1][:2], shown)
        end = block.end()
    return found


def output_of(kind, source):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        if kind == "python":
            exec(compile(source, PAGE.name, "exec"), {})
        else:
            for line in source.splitlines():
                program, *arguments = shlex.split(line)
                assert program == "henderson"
                assert main(arguments) == 0
    return out.getvalue()


def test_commands_print_what_the_page_shows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for kind, source, shown in blocks():
        printed = output_of(kind, source)
        assert agree(without_trailing_blanks(shown or ""), without_trailing_blanks(printed)), source
    assert capsys.readouterr().err == ""


def test_every_command_is_on_the_page():
    shown = PAGE.read_text(encoding="utf-8")
    for command in ("fit", "anova", "predict", "simulate", "bench", "datasets"):
        assert f"| `henderson {command}" in shown
