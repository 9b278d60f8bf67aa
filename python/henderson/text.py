"""Fits and summaries as text, in lme4's layout."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from henderson import errors_fit
from henderson.coefficient_layout import coefficient_layout
from henderson.formatting import (
    WIDTH,
    abbreviate,
    format_column,
    format_number,
    matrix,
    named_vector,
    zapsmall,
)
from henderson.summary import CORRELATION_LIMIT

if TYPE_CHECKING:
    from henderson.summary import Summary

QUANTILES = ("Min", "1Q", "Median", "3Q", "Max")


def summary_text(summary: Summary) -> str:
    """Print everything: lme4's ``print(summary(fit))``."""
    digits = summary.digits
    lines = [*textwrap.wrap(summary.title, WIDTH, subsequent_indent="  "), *_call(summary), ""]
    if summary.is_reml:
        lines.append(f"REML criterion at convergence: {format_number(round(summary.criterion, 1))}")
    else:
        lines += _fit_statistics(summary, 1)
    if summary.residual_quantiles is not None:
        cells = format_column(zapsmall(summary.residual_quantiles.tolist(), digits + 1), digits)
        lines += ["", "Scaled residuals: ", *named_vector(QUANTILES, cells)]
    lines += ["", "Random effects:", *summary.varcorr.lines(digits, variance=True), *_sizes(summary)]
    table = summary.coefficients.dropna(how="all")
    if len(table):
        layout = coefficient_layout({str(name): values.tolist() for name, values in table.items()}, digits)
        lines += ["", "Fixed effects:", *layout.lines(list(table.index))]
    lines += _correlation(summary)
    return _finish(lines, summary)


def model_text(summary: Summary) -> str:
    """Print the essentials: lme4's ``print(fit)``."""
    lines = [summary.title, *_call(summary)]
    if summary.is_reml:
        lines.append(f"REML criterion at convergence: {format_number(summary.criterion)}")
    else:
        lines += _fit_statistics(summary, None)
    lines += ["Random effects:", *summary.varcorr.lines(summary.digits), *_sizes(summary)]
    fixef = summary.coefficients["estimate"].dropna()
    if len(fixef):
        cells = format_column(fixef.tolist(), summary.digits)
        lines += ["Fixed Effects:", *named_vector(list(fixef.index), cells, gap=2)]
    else:
        lines.append("No fixed effect coefficients")
    return _finish(lines, summary)


def _call(summary: Summary) -> list[str]:
    lines = []
    for label, text in summary.call:
        line = f"{label + ':':>8} {text}"
        if len(line) < WIDTH:
            lines.append(line)
        else:
            lines += [f"{label}:", *textwrap.wrap(text, WIDTH - 1, subsequent_indent="    ", break_long_words=False)]
    return lines


def _fit_statistics(summary: Summary, decimals: int | None) -> list[str]:
    names = list(summary.fit_statistics)
    values = [summary.fit_statistics[name] for name in names]
    shown = values[:-1] if decimals is None else [round(value, decimals) for value in values[:-1]]
    return named_vector(names, [*format_column(shown, 7), format_number(values[-1])])


def _sizes(summary: Summary) -> list[str]:
    groups = "; ".join(f"{name}, {levels}" for name, levels in summary.ngroups.items())
    lines = [f"Number of obs: {summary.nobs}, groups:  {groups}"]
    if summary.n_dropped:
        lines.append(errors_fit.missing_note(summary.n_dropped))
    return lines


def _correlation(summary: Summary) -> list[str]:
    names, values = list(summary.correlation.index), summary.correlation.to_numpy()
    p = len(names)
    if not summary.show_correlation:
        return ["", *errors_fit.correlation_note(p, CORRELATION_LIMIT).split("\n")] if p > CORRELATION_LIMIT else []
    cells = [[f"{value:.3f}" for value in row[:-1]] for row in np.round(values, 3) + 0.0]
    width = max(len(cell) for i, row in enumerate(cells) for cell in row[:i])
    columns = [[cells[i][j].rjust(width) if j < i else "" for i in range(1, p)] for j in range(p - 1)]
    rows = abbreviate(names, 11)[1:]
    table = matrix(rows, abbreviate(names, 6)[:-1], columns, left=True)
    return ["", "Correlation of Fixed Effects:", *table]


def _finish(lines: list[str], summary: Summary) -> str:
    for note in summary.notes:
        lines += ["", *textwrap.wrap(note, WIDTH)]
    return "\n".join(line.rstrip() for text in lines for line in text.split("\n"))
