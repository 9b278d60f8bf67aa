"""Every ```python block of README.md and of the pages under docs/ runs; a ```text block right after it is what it
prints, an image after that is a figure that it leaves."""

import difflib
import json
import re
import sys
import textwrap
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import henderson
import report
from examples import examples, figure_of, run
from henderson import LinearMixedModel

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
NUMBER = re.compile(r"-?\d+\.\d+(?:e[-+]\d+)?")


def without_trailing_blanks(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines()) + "\n"


def agree(shown: str, printed: str) -> bool:
    """Equal, but for one unit in the last digit of a number: an optimum is found to a tolerance."""
    if NUMBER.sub("#", shown) != NUMBER.sub("#", printed):
        return False
    pairs = [(Decimal(a), Decimal(b)) for a, b in zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True)]
    return all(abs(a - b) <= Decimal((0, (1,), a.as_tuple().exponent)) for a, b in pairs)


def close_all():
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    close_all()


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_examples_run_and_show_what_the_page_shows(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    for example in examples(page.read_text(encoding="utf-8")):
        printed, value = run(example, namespace, page.name)
        printed = without_trailing_blanks(printed)
        assert example.image is None or figure_of(value) is not None, f"line {example.line} leaves no {example.image}"
        close_all()  # a page of plots would have too many open
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
    assert run(example, {}, "page")[0] == example.shown == "2\n"


def test_an_image_belongs_to_the_python_block_before_it():
    page = textwrap.dedent("""
        ```python
        1
        ```

        ![One](images/one.png)

        ```python
        2
        ```

        ```text
        2
        ```

        ![Two](images/two.png)

        Words.

        ![None](images/three.png)
    """)
    assert [(example.shown, example.image) for example in examples(page)] == [
        (None, "images/one.png"),
        ("2\n", "images/two.png"),
    ]


def test_the_figure_of_axes_and_of_several_axes_is_the_one_they_are_in():
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 2)
    assert all(figure_of(value) is figure for value in (figure, axes, axes[0, 0], axes[:, 1]))
    assert figure_of(3.0) is None
    assert figure_of("text") is None


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


LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_between_pages_lead_somewhere(page):
    """Images under images/ are drawn by `make docs`, from the block that each of them follows."""
    text = page.read_text(encoding="utf-8")
    drawn = {example.image for example in examples(text)}
    for target in LINK.findall(text):
        assert target in drawn or (page.parent / target).exists(), f"{page.name} links to {target}"
        assert target in drawn or "images" not in Path(target).parts, f"no figure before {target} in {page.name}"


def test_images_have_names_of_their_own():
    images = [page.parent / example.image for page in PAGES for example in examples(page.read_text()) if example.image]
    assert len(images) == len(set(images))


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_methods_and_functions_that_a_page_names_exist(page):
    """In running text, `fit.name` is an attribute of a fitted model, `hd.name` of the package."""
    words = " ".join(re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8")))
    owners = {"fit": LinearMixedModel, "hd": henderson, "hd.plots": henderson.plots, "hd.datasets": henderson.datasets}
    for owner, name in re.findall(r"(?<![\w.])(fit|hd(?:\.plots|\.datasets)?)\.([a-zA-Z]\w*)", words):
        known = hasattr(owners[owner], name) or name in ("is_reml", "design", "call")
        assert known, f"{page.name} speaks of {owner}.{name}"
