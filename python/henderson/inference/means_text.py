"""Marginal means and contrasts as text and HTML, in emmeans' layout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from henderson.formatting import format_column, matrix, right_align
from henderson.levels import level_text

if TYPE_CHECKING:
    from henderson.inference.linear_estimates import LinearEstimates

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Shown:
    """A column in print: its header, the cells, and whether they are text."""

    header: str
    cells: list[str]
    is_text: bool = False


def mean_columns(found: LinearEstimates, name: str, limits: NDArray[np.float64]) -> list[Shown]:
    """Labels, estimate, standard error, degrees of freedom and confidence limits."""
    names = ("asymp.LCL", "asymp.UCL") if found.tests.is_normal else ("lower.CL", "upper.CL")
    digits = _digits(found)
    bounds = [Shown(header, _numbers(limits[:, i], digits)) for i, header in enumerate(names)]
    return [*_columns(found, name, digits), *bounds]


def contrast_columns(found: LinearEstimates, p_values: Vector) -> list[Shown]:
    """Labels, estimate, standard error, degrees of freedom, t and p-value."""
    name = "z.ratio" if found.tests.is_normal else "t.ratio"
    statistics = [_fixed(value, 3) for value in found.estimated.statistic]
    probabilities = [_probability(value) for value in p_values]
    return [*_columns(found, "estimate", _digits(found)), Shown(name, statistics), Shown("p.value", probabilities)]


def table_text(found: LinearEstimates, columns: Sequence[Shown], notes: Sequence[str]) -> str:
    """The table, one for each group, and the notes below."""
    lines: list[str] = []
    for group in found.groups:
        if found.by:
            lines.append(f"{_group_title(found, columns, group)}:")
        lines += [*_table_lines([column for column in columns if column.header not in found.by], group), ""]
    return "\n".join(line.rstrip() for line in [*lines, *notes])


def table_html(found: LinearEstimates, columns: Sequence[Shown], notes: Sequence[str]) -> str:
    """The same for a notebook."""
    parts = []
    for group in found.groups:
        shown = [column for column in columns if column.header not in found.by]
        title = f"<caption>{escape(_group_title(found, columns, group))}</caption>" if found.by else ""
        header = _row("th", [(column.header, column.is_text) for column in shown])
        rows = (_row("td", [(column.cells[i].strip(), column.is_text) for column in shown]) for i in group)
        parts.append(f"<table>{title}<thead>{header}</thead><tbody>{''.join(rows)}</tbody></table>")
    parts += [f"<p>{escape(note)}</p>" for note in notes]
    return "<div class='henderson'>" + "\n".join(parts) + "</div>"


def _row(tag: str, cells: Sequence[tuple[str, bool]]) -> str:
    side = {True: "left", False: "right"}
    inside = "".join(f"<{tag} style='text-align: {side[is_text]}'>{escape(cell)}</{tag}>" for cell, is_text in cells)
    return f"<tr>{inside}</tr>"


def _columns(found: LinearEstimates, name: str, digits: int) -> list[Shown]:
    known = found.estimated
    estimates = _numbers(known.estimate, digits)
    estimates = ["nonEst" if math.isnan(value) else cell for value, cell in zip(known.estimate, estimates, strict=True)]
    df = [round(value, 2) if math.isfinite(value) else value for value in known.df.tolist()]
    labels = [_label_column(found, header, digits) for header in found.labels]
    numbers = [
        Shown(name, estimates),
        Shown("SE", _numbers(known.std_error, digits)),
        Shown("df", _numbers(df, digits)),
    ]
    return labels + numbers


def _label_column(found: LinearEstimates, header: str, digits: int) -> Shown:
    values = found.labels[header]
    if found.is_categorical(header):
        return Shown(header, [level_text(value) for value in values], is_text=True)
    if any(isinstance(value, bool) for value in values):
        return Shown(header, right_align([level_text(value) for value in values]), is_text=True)
    return Shown(header, _numbers([float(value) for value in values], digits))


def _group_title(found: LinearEstimates, columns: Sequence[Shown], group: NDArray[np.intp]) -> str:
    cells = {column.header: column.cells[group[0]].strip() for column in columns}
    return ", ".join(f"{name} = {cells[name]}" for name in found.by)


def _table_lines(columns: Sequence[Shown], group: NDArray[np.intp]) -> list[str]:
    shown = []
    for column in columns:
        width = max(len(column.header), *(len(cell) for cell in column.cells))
        cells = [column.cells[i] for i in group]
        align = str.ljust if column.is_text else str.rjust
        shown.append((align(column.header, width), [align(cell, width) for cell in cells]))
    header, cells_by_column = zip(*shown, strict=True)
    return matrix([""] * len(group), header, cells_by_column)


def _digits(found: LinearEstimates) -> int:
    """Significant digits that tell an estimate from two standard errors above and below it."""
    digits = 3
    known = found.estimated
    for estimate, error in zip(known.estimate.tolist(), known.std_error.tolist(), strict=True):
        largest = abs(estimate) + 2.0 * error
        if math.isfinite(largest) and largest > 0 and error > 0:
            share = round(4.0 * error / largest, 8)
            digits = max(digits, round(1.51 - math.log10(share)) if share > 0 else digits)
    return digits


def _numbers(values: Sequence[float] | Vector, digits: int) -> list[str]:
    """Numbers alike, `NA` for those that are not known; what is nothing beside the others is zero."""
    numbers = [float(value) for value in values]
    largest = max((abs(value) for value in numbers if math.isfinite(value)), default=0.0)
    decimals = max(0, 7 - math.ceil(math.log10(largest))) if largest > 0 else 7
    known = [round(value, decimals) + 0.0 if math.isfinite(value) else value for value in numbers]
    cells = iter(format_column([value for value in known if not math.isnan(value)], digits))
    return ["NA" if math.isnan(value) else next(cells) for value in known]


def _fixed(value: float, decimals: int) -> str:
    return "NA" if math.isnan(value) else f"{value:.{decimals}f}"


def _probability(value: float) -> str:
    return "NA" if math.isnan(value) else "<.0001" if value < 5e-5 else f"{value:.4f}"
