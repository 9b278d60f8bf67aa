"""Every ```python block of README.md and docs/*.md runs; a ```text block right after it is what it prints."""

import ast
import contextlib
import difflib
import io
import json
import re
import textwrap
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import report

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"-?\d+\.\d+(?:e[-+]\d+)?")


class Example(NamedTuple):
    line: int
    source: str
    shown: str | None


def examples(text: str) -> list[Example]:
    """The python blocks of a page, each with the text block that follows it directly, if any."""
    found = []
    blocks = list(FENCE.finditer(text))
    for block, following in zip(blocks, [*blocks[1:], None], strict=False):
        if block[1] != "python":
            continue
        adjacent = following and following[1] == "text" and not text[block.end() : following.start()].strip()
        found.append(Example(text.count("\n", 0, block.start()) + 2, block[2], following[2] if adjacent else None))
    return found


def run(example: Example, namespace: dict, name: str) -> str:
    """Execute a block as a notebook cell: what it prints, then the repr of its last expression."""
    tree = ast.parse("\n" * (example.line - 1) + example.source, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(tree, name, "exec"), namespace)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), name, "eval"), namespace)
            if value is not None:
                print(repr(value))
    return out.getvalue()


def without_trailing_blanks(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines()) + "\n"


def agree(shown: str, printed: str) -> bool:
    """Equal, but for one unit in the last digit of a number: an optimum is found to a tolerance."""
    if NUMBER.sub("#", shown) != NUMBER.sub("#", printed):
        return False
    pairs = [(Decimal(a), Decimal(b)) for a, b in zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True)]
    return all(abs(a - b) <= Decimal((0, (1,), a.as_tuple().exponent)) for a, b in pairs)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_run_and_print_what_the_page_shows(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    for example in examples(page.read_text(encoding="utf-8")):
        printed = without_trailing_blanks(run(example, namespace, page.name))
        if example.shown is None or agree(without_trailing_blanks(example.shown), printed):
            continue
        shown = example.shown.splitlines()
        differences = difflib.unified_diff(shown, printed.splitlines(), "shown", "printed", lineterm="")
        pytest.fail("\n".join([f"{page.name}, line {example.line}:", *differences]), pytrace=False)


def test_the_readme_has_a_first_example_with_its_output():
    first = examples((ROOT / "README.md").read_text(encoding="utf-8"))[0]
    assert first.shown is not None
    assert len(first.source.splitlines()) <= 15


def test_a_block_prints_what_a_notebook_would():
    page = textwrap.dedent("""
        ```python
        a = 1
        a + 1
        ```

        ```text
        2
        ```
    """)
    (example,) = examples(page)
    assert run(example, {}, "page") == example.shown == "2\n"


def test_numbers_agree_to_their_last_digit():
    assert agree("sd 24.7404 0.066\n", "sd 24.7405 0.066\n")
    assert not agree("sd 24.7404\n", "sd 24.7406\n")
    assert not agree("sd 24.7404\n", "SD 24.7404\n")


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    return json.loads((ROOT / "benchmarks" / "results.json").read_text())


@pytest.mark.parametrize("page, section", [(page, name) for page, names in report.PAGES.items() for name in names])
def test_the_tables_of_times_are_those_of_the_last_benchmark(page, section, measured):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert report.between(text, section, "\n".join(report.SECTIONS[section](measured))) == text


def test_every_shape_far_from_its_limit_is_explained(measured):
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8").partition("<!-- far: end -->")[2]
    subjects = " ".join(line.partition(":")[0] for line in text.splitlines() if line.startswith("- "))
    assert not [name for name in report.far_shapes(measured) if f"`{name}`" not in subjects]


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
