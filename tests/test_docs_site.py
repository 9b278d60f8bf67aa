"""The site that `make docs` builds: its navigation has every page, its reference every public name."""

import ast
import inspect
import re
from functools import cached_property
from pathlib import Path

import pytest

import henderson
import henderson.differentiable
import henderson.learn
from api_reference import directive, listed_names, resolve
from figures import images, is_current
from henderson import LinearMixedModel
from navigation import sections

DOCS = Path(__file__).parents[1] / "docs"
PACKAGE = Path(henderson.__file__).parent
PUBLIC = henderson, henderson.datasets, henderson.differentiable, henderson.learn, henderson.plots
REFERENCE = [
    name for page in sorted((DOCS / "reference").glob("*.md")) for name in listed_names(page.read_text("utf-8"))
]


def public_names(module):
    return {f"{module.__name__}.{name}" for name in module.__all__ if not inspect.ismodule(getattr(module, name))}


def attributes_of_a_fit():
    return [name for name in dir(LinearMixedModel) if not name.startswith("_")]


def returned(attribute):
    """The words of what an attribute says it returns: the annotation of the method or of the property's function."""
    value = inspect.getattr_static(LinearMixedModel, attribute)
    if isinstance(value, cached_property):
        value = value.func
    function = value.fget if isinstance(value, property) else value
    return set(re.findall(r"\w+", str(function.__annotations__.get("return"))))


def own_classes():
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py"))
    return {node.name for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)}


def test_every_page_is_in_the_navigation_once():
    index = DOCS / "index.md"
    entries = [path for pages in sections(index.read_text(encoding="utf-8")).values() for _, path in pages]
    listed = {(DOCS / f"{path}.md").resolve() for path in entries}
    assert len(listed) == len(entries)
    missing = set(DOCS.rglob("*.md")) - listed - {index}
    assert sorted(str(page.relative_to(DOCS)) for page in missing) == []


def test_the_reference_lists_every_public_name_once():
    assert len(REFERENCE) == len(set(REFERENCE))
    public = set().union(*map(public_names, PUBLIC))
    assert sorted(public - {"henderson.__version__"} - set(REFERENCE)) == []


def test_the_reference_lists_every_attribute_of_a_fit():
    names = {f"henderson.LinearMixedModel.{name}" for name in attributes_of_a_fit()}
    assert sorted(names - set(REFERENCE)) == []


def test_the_reference_has_the_class_of_every_result():
    results = set().union(*map(returned, attributes_of_a_fit())) & own_classes()
    assert sorted(results - {name.rpartition(".")[2] for name in REFERENCE}) == []


@pytest.mark.parametrize("name", REFERENCE)
def test_what_the_reference_lists_exists_and_is_documented(name):
    value = resolve(name)[0]
    assert f":: {name}" in directive(name)
    assert inspect.getdoc(value)


def test_a_name_that_does_not_exist_is_an_error():
    with pytest.raises(AttributeError):
        resolve("henderson.LinearMixedModel.fixeff")


def test_images_are_drawn_again_when_they_are_older_than_their_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\n1\n```\n\n![One](images/one.png)\n", encoding="utf-8")
    assert images(page) == [tmp_path / "images" / "one.png"]
    assert not is_current(page)
