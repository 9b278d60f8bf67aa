"""Summaries as HTML, LaTeX and Markdown tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from henderson.coefficient_layout import coefficient_layout
from henderson.formatting import format_column

if TYPE_CHECKING:
    from henderson.summary import Summary
    from henderson.varcorr import VarCorr

Table = tuple[list[str], list[list[str]]]
"""Header and rows; the first `_TEXT[title]` columns are text, the others numbers."""

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
} | {character: "\\" + character for character in "&%$#_{}"}
_STYLE = "text-align: right; font-variant-numeric: tabular-nums"


def summary_html(summary: Summary) -> str:
    """Make tables for a notebook."""
    facts = [(label, escape(text)) for label, text in summary.call] + [
        (name, escape(value)) for name, value in _statistics(summary)
    ]
    rows = "".join(f"<tr><th style='text-align: left'>{name}</th><td>{value}</td></tr>" for name, value in facts)
    parts = [f"<p><strong>{escape(summary.title)}</strong></p>", f"<table>{rows}</table>"]
    parts += [_html_table("Random effects", _random(summary.varcorr, summary.digits, True), 2)]
    parts += [_html_table("Fixed effects", _fixed(summary), 1)]
    parts += [f"<p>{escape(note)}</p>" for note in summary.notes]
    return "<div class='henderson'>" + "\n".join(parts) + "</div>"


def varcorr_html(varcorr: VarCorr, digits: int = 5) -> str:
    """Make a table for a notebook."""
    return _html_table("Random effects", _random(varcorr, digits, False), 2)


def table_html(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Make a table whose first column is text and the others numbers, for a notebook."""
    return _html_table(escape(caption), (list(header), [[cell.strip() for cell in row] for row in rows]), 1)


def summary_markdown(summary: Summary) -> str:
    """Make Markdown tables."""

    def table(title: str, content: Table, text_columns: int) -> list[str]:
        header, rows = content
        rule = ["---" if i < text_columns else "---:" for i in range(len(header))]
        lines = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in [header, rule, *rows]]
        return [f"**{title}**", "", *lines, ""]

    lines = [f"**{summary.title}**", ""]
    lines += [f"- {label}: `{text}`" for label, text in summary.call]
    lines += [f"- {name}: {value}" for name, value in _statistics(summary)] + [""]
    lines += table("Random effects", _random(summary.varcorr, summary.digits, True), 2)
    lines += table("Fixed effects", _fixed(summary), 1)
    lines += list(summary.notes)
    return "\n".join(lines).rstrip("\n") + "\n"


def summary_latex(summary: Summary) -> str:
    """Make a LaTeX table (booktabs)."""

    def rows(content: Table, text_columns: int) -> list[str]:
        header, body = content
        width = max(len(row) for row in [header, *body])
        align = "l" * text_columns + "r" * (width - text_columns)
        lines = [" & ".join(map(latex_text, row)) + r" \\" for row in [header, *body]]
        return [rf"\begin{{tabular}}{{{align}}}", r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]

    formula = dict(summary.call).get("Formula", "")
    facts = "; ".join(f"{latex_text(name)}: {latex_text(value)}" for name, value in _statistics(summary))
    caption = rf"{latex_text(summary.title)}: \texttt{{{latex_text(formula)}}}"
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{caption}}}"]
    lines += [*rows(_fixed(summary), 1), r"\end{tabular}", "", r"\medskip"]
    lines += [*rows(_random(summary.varcorr, summary.digits, True), 2), r"\end{tabular}", "", r"\medskip"]
    lines += [rf"\footnotesize {facts}."]
    lines += [rf"\par {latex_text(note)}" for note in summary.notes]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _statistics(summary: Summary) -> list[tuple[str, str]]:
    statistics = summary.fit_statistics
    name = "REML criterion" if summary.is_reml else "Deviance"
    groups = ", ".join(f"{group} {levels}" for group, levels in summary.ngroups.items())
    dropped = f" ({summary.n_dropped} rows with missing values dropped)" if summary.n_dropped else ""
    return [
        (name, f"{summary.criterion:.1f}"),
        ("AIC, BIC", f"{statistics['AIC']:.1f}, {statistics['BIC']:.1f}"),
        ("Observations", f"{summary.nobs}{dropped}"),
        ("Groups", groups),
    ]


def _fixed(summary: Summary) -> Table:
    table = summary.coefficients
    layout = coefficient_layout({str(name): values.tolist() for name, values in table.items()}, summary.digits)
    cells = zip(list(table.index), *layout.columns, strict=True)
    return ["", *layout.header], [[cell.strip() for cell in row] for row in cells]


def _random(varcorr: VarCorr, digits: int, variance: bool) -> Table:
    width = max((len(term.names) for term in varcorr.terms), default=1) - 1
    sd = np.concatenate([*(term.std_dev for term in varcorr.terms), [varcorr.sigma]])
    numbers = ([format_column(sd**2, digits)] if variance else []) + [format_column(sd, digits)]
    header = ["Group", "Name", *(["Variance"] if variance else []), "Std. Dev.", *["Corr", *[""] * width][:width]]
    labels = [(term, i) for term in varcorr.terms for i in range(len(term.names))]
    rows = []
    for place, (term, i) in enumerate(labels):
        correlations = [f"{value:.2f}".replace("nan", "NaN") for value in term.correlation[i, :i]]
        cells = [column[place].strip() for column in numbers]
        rows.append([term.group if i == 0 else "", term.names[i], *cells, *correlations, *[""] * (width - i)])
    rows.append(["Residual", "", *(column[-1].strip() for column in numbers), *[""] * width])
    return header, rows


def _html_table(title: str, content: Table, text_columns: int) -> str:
    header, rows = content

    def line(tag: str, cells: Sequence[str]) -> str:
        style: Callable[[int], str] = lambda i: "text-align: left" if i < text_columns else _STYLE  # noqa: E731
        inside = "".join(f"<{tag} style='{style(i)}'>{escape(cell)}</{tag}>" for i, cell in enumerate(cells))
        return f"<tr>{inside}</tr>"

    body = "".join(line("td", row) for row in rows)
    return f"<table><caption>{title}</caption><thead>{line('th', header)}</thead><tbody>{body}</tbody></table>"


def latex_text(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    number = re.fullmatch(r"-(\d.*)", text)
    if number:
        return f"$-${number.group(1)}"
    return "".join(_LATEX.get(character, character) for character in text)
