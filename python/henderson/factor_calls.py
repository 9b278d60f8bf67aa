"""``factor(x)``, ``ordered(x)``, ``C(x, contr.sum)``, ``relevel(x, ref = "b")``: expressions that give categories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from henderson import errors
from henderson.contrasts import Contrast, Factorized, as_contrast
from henderson.expression import Call, Constant, Expression, Items, Name, Unary, to_text
from henderson.levels import Categories, Levels, level_text

if TYPE_CHECKING:
    from henderson.transforms import Evaluator

_USAGE = {
    "C": "C(x), C(x, contr.sum), C(x, contr.treatment('b'))",
    "relevel": "relevel(x, ref = 'b')",
}
_PATSY_NAMES = {"Treatment": "treatment", "Sum": "sum", "Helmert": "helmert", "Poly": "poly", "Diff": "diff"}


def evaluate_factor_call(node: Call, evaluator: Evaluator) -> Factorized:
    """The categories that one of the calls above gives."""
    if not node.arguments or node.arguments[0][0] not in (None, "x", "data"):
        raise _misused(node)
    first = node.arguments[0][1]
    value = evaluator.factorized(first)
    rest = node.arguments[1:]
    if node.function == "C":
        contrast = _contrast_argument(node, rest, evaluator) if rest else value.contrast
        return Factorized(value.categories, contrast)
    if node.function == "relevel":
        if len(rest) != 1 or rest[0][0] not in (None, "ref"):
            raise _misused(node)
        if not evaluator.is_learning:  # the order of the levels was settled at the fit
            return value
        return Factorized(_relevel(value.categories, _literal(rest[0][1], node), to_text(first)), value.contrast)
    is_ordered = node.function.endswith("ordered") or value.categories.levels.is_ordered
    levels: list[Any] | None = None
    for key, argument in rest:
        if key == "ordered" and node.function in ("factor", "ordered"):
            is_ordered = bool(_literal(argument, node))
        elif key in (None, "levels"):
            levels = _literals(argument, node)
        else:
            raise _misused(node)
    return Factorized(_with_levels(value.categories, levels, is_ordered, to_text(first)), value.contrast)


def _misused(node: Call) -> errors.FormulaError:
    usage = _USAGE.get(node.function, f"{node.function}(x), {node.function}(x, levels = c('a', 'b'))")
    return errors.call_invalid(to_text(node).partition("(")[0], f"write {usage}")


def _literal(node: Expression, call: Call) -> Any:
    if isinstance(node, Constant):
        return node.value
    if isinstance(node, Unary) and node.operator == "-" and isinstance(node.operand, Constant):
        value = node.operand.value
        return -value if isinstance(value, int | float) else value
    raise _misused(call)


def _literals(node: Expression, call: Call) -> list[Any]:
    if isinstance(node, Items):
        return [_literal(item, call) for item in node.items]
    if isinstance(node, Call) and node.function == "c":
        return [_literal(item, call) for _, item in node.arguments]
    raise _misused(call)


def _relevel(categories: Categories, reference: Any, label: str) -> Categories:
    ordered = categories.in_order()
    texts = ordered.levels.texts()
    if level_text(reference) not in texts:
        raise errors.contrast_level(label, reference, texts)
    first = texts.index(level_text(reference))
    order = np.array([first] + [code for code in range(len(texts)) if code != first])
    return _reorder(ordered, order, is_ordered=False)


def _with_levels(categories: Categories, levels: list[Any] | None, is_ordered: bool, label: str) -> Categories:
    """R's ``factor(x, levels = ...)``; a level of the data that is not listed is an error rather than missing."""
    ordered = categories.in_order()
    if levels is None:
        return Categories(ordered.codes, Levels(ordered.levels.labels, True, is_ordered), ordered.all_used)
    texts = ordered.levels.texts()
    wanted = [level_text(level) for level in levels]
    for text in texts:
        if text not in wanted:
            raise errors.contrast_level(label, text, wanted)
    order = np.array([texts.index(text) for text in wanted if text in texts])
    return _reorder(ordered, order, is_ordered=is_ordered)


def _reorder(categories: Categories, order: Any, *, is_ordered: bool) -> Categories:
    rank = np.full(len(order) + 1, -1, dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    levels = Levels(categories.levels.labels[order], has_own_order=True, is_ordered=is_ordered)
    return Categories(rank[categories.codes], levels, categories.all_used)


def _contrast_argument(node: Call, rest: tuple[tuple[str | None, Expression], ...], evaluator: Evaluator) -> Contrast:
    """Contrasts named in the formula: ``contr.sum``, ``Treatment('b')``, ``contr.treatment(base = 'b')``, ``'sum'``."""
    key, argument = rest[0]
    if len(rest) > 1 or key not in (None, "contr", "contrasts"):
        raise _misused(node)
    label = to_text(node)
    if isinstance(argument, Constant):
        return as_contrast(label, argument.value)
    if isinstance(argument, Name):
        if argument.name in evaluator.context:
            return as_contrast(label, evaluator.context[argument.name])
        return as_contrast(label, _PATSY_NAMES.get(argument.name, argument.name))
    if isinstance(argument, Call) and argument.function != "c":
        kind = _PATSY_NAMES.get(argument.function, argument.function)
        if not argument.arguments:
            return as_contrast(label, kind)
        base = argument.arguments[0]
        if len(argument.arguments) == 1 and base[0] in (None, "base", "reference", "ref"):
            return as_contrast(label, (kind, _literal(base[1], node)))
    raise _misused(node)
