"""Formulas and what transformations learned, as values of a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from henderson import formulaic_bridge
from henderson.errors import DataError
from henderson.expression import Expression, to_text
from henderson.formula import Formula
from henderson.persistence.values import Json, Reader, Writer
from henderson.transforms import States

PARTS = ("response", "fixed", "random_terms", "offsets")


def write_formula(writer: Writer, formula: Formula) -> Json:
    """A formula: its text, and what the text means."""
    parts = {part: writer.value(getattr(formula, part), f"formula.{part}") for part in PARTS}
    return {"text": formula.text} | parts


def read_formula(reader: Reader, json: Json) -> Formula:
    """A formula whose text is not read again: it may contain a dot, or come from a larger model."""
    return Formula.of(json["text"], *(reader.value(json[part]) for part in PARTS))


def expressions(formula: Formula) -> Iterator[Expression]:
    """Everything in a formula that is evaluated."""
    if formula.response is not None:
        yield formula.response
    yield from formula.fixed.variables()
    yield from formula.offsets
    for part in formula.random_terms:
        yield from part.effects.variables()
        yield from part.grouping.variables


def write_states(writer: Writer, states: States) -> Json:
    """What the transformations of a formula learned: means and scales, knots, coefficients of polynomials."""
    result: list[Json] = []
    for node, state in states.items():
        where = f"state.{len(result)}"
        is_specification = hasattr(state, "transform_state")
        own = {"learned": writer.value(state.transform_state if is_specification else state, where)}
        kind = "basis" if is_specification else "value"
        result.append({"text": to_text(node), "expression": writer.value(node, where), "kind": kind} | own)
    return result


def read_states(reader: Reader, json: Json) -> States:
    """The states of the transformations."""
    states: States = {}
    for own in json:
        node, learned = reader.value(own["expression"]), reader.value(own["learned"])
        states[node] = formulaic_bridge.restored(node, learned) if own["kind"] == "basis" else learned
    return states


def write_context(writer: Writer, context: Mapping[str, Any]) -> Json:
    """The constants of the user that a formula uses, and the names of what no file holds."""
    saved, needed = {}, []
    for name, value in context.items():
        try:
            saved[name] = writer.value(value, f"context.{name}")
        except DataError:
            needed.append(name)
    return {"saved": saved, "needed": needed}


def read_context(reader: Reader, json: Json, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The context, and the names that neither the file nor the caller gives."""
    context = {name: reader.value(value) for name, value in json["saved"].items()}
    names = {*context, *json["needed"]}
    context |= {name: value for name, value in given.items() if name in names}
    return context, [name for name in json["needed"] if name not in context]
