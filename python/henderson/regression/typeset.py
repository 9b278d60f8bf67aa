"""Regression tables as HTML and LaTeX. Numbers are flush right; what follows their last digit hangs over."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

from henderson.markup import latex_text
from henderson.regression.plain import split_tail

if TYPE_CHECKING:
    from henderson.regression.table import RegressionTable

_MINUS = re.compile(r"(?<![\w.])-(?=\d)")
_LEFT = "text-align: left; padding: 1px 0.8em 1px 0"
_RIGHT = "text-align: right; padding: 1px 1.4em 1px 0.8em; font-variant-numeric: tabular-nums; white-space: nowrap"
_RULE = "border-top: 1px solid"


def table_html(table: RegressionTable) -> str:
    """A table with its styles in place."""
    width = len(table.names) + 1

    def cells(values: tuple[str, ...]) -> str:
        return "".join(f"<td style='{_RIGHT}'>{_html_number(value)}</td>" for value in values)

    def heads(values: tuple[str, ...]) -> str:
        style = f"{_RIGHT}; font-weight: normal"
        return "<tr><th></th>" + "".join(f"<th style='{style}'>{escape(value)}</th>" for value in values) + "</tr>"

    head = heads(table.names) + heads(table.responses)
    body = []
    for part in table.parts:
        body.append(
            f"<tr><th colspan='{width}' style='{_LEFT}; {_RULE}; font-weight: bold'>{escape(part.title)}</th></tr>"
        )
        for row in part.rows:
            label = f"<th style='{_LEFT}; padding-left: 1em; font-weight: normal'>{escape(row.label)}</th>"
            body.append(f"<tr>{label}{cells(row.cells)}</tr>")
    caption = f"<caption>{escape(table.caption)}</caption>" if table.caption else ""
    notes = "<br>".join(escape(note) for note in table.notes)
    foot = f"<tfoot><tr><td colspan='{width}' style='{_LEFT}; border-top: 2px solid'>{notes}</td></tr></tfoot>"
    return (
        f"<table class='henderson' style='border-collapse: collapse'>{caption}"
        f"<thead style='border-top: 2px solid'>{head}</thead><tbody>\n" + "\n".join(body) + f"\n</tbody>{foot}</table>"
    )


def _html_number(text: str) -> str:
    start, tail = split_tail(text)
    shown = _MINUS.sub("&minus;", escape(start))
    return f"{shown}<span style='display: inline-block; width: 0'>{escape(tail)}</span>" if tail else shown


def table_latex(table: RegressionTable, label: str) -> str:
    """A floating table with booktabs' rules."""
    width = len(table.names) + 1
    lines = [r"\begin{table}", r"\centering"]
    if table.caption:
        lines.append(rf"\caption{{{_latex_label(table.caption)}}}")
    if label:
        lines.append(rf"\label{{{label}}}")
    lines += [rf"\begin{{tabular}}{{l{'r' * len(table.names)}}}", r"\toprule"]
    lines += [" & ".join(["", *map(_latex_label, heads)]) + r" \\" for heads in (table.names, table.responses)]
    for part in table.parts:
        lines += [r"\midrule", rf"\multicolumn{{{width}}}{{l}}{{\emph{{{_latex_label(part.title)}}}}} \\"]
        for row in part.rows:
            stub = rf"\quad {_latex_label(row.label)}" if row.label else ""
            lines.append(" & ".join([stub, *map(_latex_number, row.cells)]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\smallskip{{\footnotesize {_latex_label(note)}}}" for note in table.notes]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _latex_label(text: str) -> str:
    shown = _MINUS.sub("$-$", latex_text(text)).replace("R²", "$R^2$").replace("²", r"\textsuperscript{2}")
    return "{}" + shown if shown.startswith(("[", "*")) else shown  # not the argument of the line break above


def _latex_number(text: str) -> str:
    start, tail = split_tail(text)
    shown = _latex_label(start)
    if tail.strip("*") == "" and tail:
        return rf"{shown}\rlap{{$^{{{tail}}}$}}"
    return rf"{shown}\rlap{{{latex_text(tail)}}}" if tail else shown
