"""The pages under docs/reference list names, ``- `henderson.lmer` ``; on the site, each becomes its documentation."""

from __future__ import annotations

import inspect
import re
from functools import cached_property
from importlib import import_module
from typing import Any

from docutils import nodes

TOPICAL = "henderson.LinearMixedModel"  # its members are listed by topic
# classes that users call themselves
CONSTRUCTED = (
    "henderson.RandomTerm",
    "henderson.differentiable.RemlObjective",
    "henderson.learn.LinearMixedRegressor",
    "henderson.learn.MixedEffectsEncoder",
    "henderson.learn.MixedEffectsRegressor",
)
ROUTING = re.compile(r"\bset_\w+_request$")
NAMES = re.compile(r"(?:^- `[\w.]+`\n)+", re.MULTILINE)
NAME = re.compile(r"^- `([\w.]+)`$", re.MULTILINE)


def listed_names(text: str) -> list[str]:
    """The names that a page of the reference lists."""
    return NAME.findall(text)


def resolve(name: str) -> tuple[Any, Any]:
    """What a dotted name stands for, and what it is an attribute of: module or class."""
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            parent: Any = import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:-1]:
            parent = getattr(parent, part)
        own = getattr(parent, parts[-1])  # of a class: the property itself, not its value
        return (inspect.getattr_static(parent, parts[-1]) if inspect.isclass(parent) else own), parent
    raise ModuleNotFoundError(name)


def directive(name: str) -> str:
    """The autodoc directive for a name."""
    value, parent = resolve(name)
    if isinstance(value, type):
        kind = "autoexception" if issubclass(value, BaseException) else "autoclass"
    elif inspect.isclass(parent):
        kind = "autoproperty" if isinstance(value, property | cached_property) else "automethod"
        kind = kind if callable(value) or kind == "autoproperty" else "autoattribute"
    else:
        kind = "autofunction" if callable(value) else "autodata"
    members = "\n   :members:" if isinstance(value, type) and name != TOPICAL else ""
    return f".. {kind}:: {name}{members}"


def document(match: re.Match[str]) -> str:
    """A list of names as autodoc directives."""
    return "\n".join(["```{eval-rst}", *map(directive, listed_names(match[0])), "```", ""])


def expand(app: Any, docname: str, source: list[str]) -> None:
    """Replace the lists of names on a page of the reference."""
    if docname.startswith(app.config.reference_folder):
        source[0] = NAMES.sub(document, source[0])


def hide_constructor(
    _app: Any, what: str, name: str, _value: Any, _options: Any, arguments: str | None, _returned: str | None
) -> tuple[str, None] | None:
    """Leave out the arguments of classes that users get from functions."""
    return ("", None) if arguments and what in ("class", "exception") and name not in CONSTRUCTED else None


def skip_routing(_app: Any, _what: str, name: str, *_rest: Any) -> bool | None:
    """Leave out scikit-learn's own ``set_fit_request`` and the like, whose text has links into its pages."""
    return True if ROUTING.search(name) else None


def join_names(_app: Any, _what: str, _name: str, _value: Any, _options: Any, lines: list[str]) -> None:
    """Names that share a line of a docstring's Attributes, ``mean, sd``, are one entry: keep them together."""
    start = next((i + 2 for i, line in enumerate(lines) if line == "Attributes"), len(lines))
    for i in range(start, len(lines)):
        if lines[i][:1].strip():
            lines[i] = lines[i].replace(", ", ",\N{NO-BREAK SPACE}")


def drop_any(_app: Any, _domain: str, _objtype: str, content: Any) -> None:
    """Leave out a parameter's type where it is Any: the text says what may be given."""
    for field in list(content.findall(nodes.field)):
        if field[0].astext().startswith("type ") and field[1].astext() == "Any":
            field.parent.remove(field)


def name_attributes(_app: Any, tree: Any) -> None:
    """The heading that the docstrings use."""
    for heading in tree.findall(nodes.field_name):
        if heading.astext() == "Variables":
            heading[0] = nodes.Text("Attributes")


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_config_value("reference_folder", "docs/reference/", "env")
    app.connect("source-read", expand)
    app.connect("autodoc-process-signature", hide_constructor)
    app.connect("autodoc-skip-member", skip_routing)
    app.connect("autodoc-process-docstring", join_names, priority=100)  # before napoleon
    app.connect("object-description-transform", drop_any, priority=900)
    app.connect("doctree-read", name_attributes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
