"""Tables of tests as R prints them: statistics and degrees of freedom, p-values, significance stars."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from henderson.formatting import WIDTH, format_column, format_number, matrix, right_align, zapsmall

if TYPE_CHECKING:
    import pandas as pd

SMALLEST = 2.220446049250313e-16
"""A p-value below this is printed as ``< 2.2e-16``."""
WIDEST = 110
"""Characters to a line: wider than R's 80, so that a column more does not fold the table."""
LEGEND = ("---", "Signif. codes:  0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1")
_CUTS = ((0.001, "***"), (0.01, "**"), (0.05, "*"), (0.1, "."))


@dataclass(frozen=True)
class TableColumn:
    """A column of a table of tests; NaN cells are left blank.

    Attributes
    ----------
    name
        In a data frame: ``"statistic"``, ``"p_value"``.
    header
        In print, as R has it: ``"Chisq"``, ``"Pr(>Chisq)"``; empty for a column that is not printed.
    cells
        One number (or text, if it is not printed) per row.
    kind
        How the numbers are rounded: "number" to significant digits of the largest, "df" not at all, "statistic" to
        fixed decimals, "p_value" as probabilities.
    """

    name: str
    header: str
    cells: Sequence[Any]
    kind: Literal["number", "df", "statistic", "p_value"] = "number"


@dataclass(frozen=True, eq=False)
class AnovaTable:
    """A table of tests; prints in the layout of R's ``anova``, `to_frame` gives the numbers.

    Attributes
    ----------
    heading
        The lines above the table.
    rows
        Row names.
    columns
        What the table shows.
    notes
        What the reader should know.
    stars
        Name of the column that the significance stars are for; None for no stars.
    index_name
        What the rows are: ``"term"``, ``"model"``.
    """

    heading: tuple[str, ...]
    rows: tuple[str, ...]
    columns: tuple[TableColumn, ...]
    notes: tuple[str, ...] = ()
    stars: str | None = "p_value"
    index_name: str = "term"

    def to_frame(self) -> pd.DataFrame:
        """The numbers, a row per line of the table."""
        import pandas as pd

        values = {column.name: list(column.cells) for column in self.columns}
        return pd.DataFrame(values, index=pd.Index(self.rows, name=self.index_name))

    def to_text(self, digits: int = 5) -> str:
        """The table as text, with `digits` significant digits."""
        lines = [*self.heading, *anova_lines(self.rows, self._shown, digits=digits, stars=self._stars)]
        for note in self.notes:
            lines += ["", *textwrap.wrap(note, WIDTH)]
        return "\n".join(line.rstrip() for line in lines)

    def to_html(self, digits: int = 5) -> str:
        """The table for a notebook."""
        above = "<br>".join(escape(line) for line in self.heading)
        header = "".join(f"<th>{escape(column.header)}</th>" for column in self._shown)
        cells = [_cells(column, digits) for column in self._shown]
        marks = [significance(value) for value in self._stars] or [""] * len(self.rows)
        body = "".join(
            f"<tr><th style='text-align: left'>{escape(row)}</th>"
            + "".join(f"<td style='text-align: right'>{escape(column[i].strip())}</td>" for column in cells)
            + f"<td>{marks[i]}</td></tr>"
            for i, row in enumerate(self.rows)
        )
        below = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return (
            f"<div class='henderson'><p>{above}</p><table><thead><tr><th></th>{header}<th></th></tr></thead>"
            f"<tbody>{body}</tbody></table>{below}</div>"
        )

    @property
    def _shown(self) -> list[TableColumn]:
        return [column for column in self.columns if column.header]

    @property
    def _stars(self) -> Sequence[float]:
        return next((column.cells for column in self.columns if column.name == self.stars), ())

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        return self.to_text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.to_html()


def anova_lines(
    rows: Sequence[str], columns: Sequence[TableColumn], *, digits: int = 5, stars: Sequence[float] = ()
) -> list[str]:
    r"""Lines of a table in the layout of R's ``anova``.

    Parameters
    ----------
    rows
        Row names.
    columns
        The numbers.
    digits
        Significant digits.
    stars
        The p-values that the stars are for; none: no stars.

    Examples
    --------
    >>> p_values = [math.nan, 4.99e-10]
    >>> columns = [TableColumn("npar", "npar", [4, 6]), TableColumn("p_value", "Pr(>Chisq)", p_values, "p_value")]
    >>> print(*anova_lines(["m0", "m1"], columns, stars=p_values), sep="\n")
       npar Pr(>Chisq)
    m0    4
    m1    6   4.99e-10 ***
    ---
    Signif. codes:  0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1
    """
    header = [column.header for column in columns]
    cells = [_cells(column, digits) for column in columns]
    shown = [significance(value) for value in stars]
    if not any(shown):
        return matrix(rows, header, cells, width=WIDEST)
    width = max(map(len, shown))
    return [*matrix(rows, [*header, ""], [*cells, [mark.ljust(width) for mark in shown]], width=WIDEST), *LEGEND]


def significance(p_value: float) -> str:
    """The star of a p-value: ``***`` below 0.001, ``**`` below 0.01, ``*`` below 0.05, ``.`` below 0.1."""
    return next((mark for cut, mark in _CUTS if p_value <= cut), "")


def format_p_values(values: Sequence[float], digits: int = 4) -> list[str]:
    """P-values as R shows them: those from 0.0001 on alike, smaller ones alike, then ``< 2.2e-16``; NaN is blank."""
    numbers = [float(value) for value in values]
    fixed = [value for value in numbers if value >= 1e-4]
    tiny = [value for value in numbers if SMALLEST <= value < 1e-4]
    known = dict(zip(tiny, format_column(tiny, digits), strict=True))
    known |= dict(zip(fixed, format_column(fixed, digits), strict=True))
    limit = _limit(max(map(len, known.values()), default=0), digits)
    return ["" if math.isnan(value) else known.get(value, limit) for value in numbers]


def _limit(width: int, digits: int) -> str:
    """What stands for a p-value of nearly zero: as wide as its neighbours if they are narrow."""
    digits = max(1, digits - 2)
    if width and digits > 1 and digits + 6 > width:
        digits = max(1, width - 7)
    space = "" if digits == 1 and width <= 6 else " "
    return f"<{space}{format_number(SMALLEST, digits)}"


def _cells(column: TableColumn, digits: int) -> list[str]:
    values = [float(value) for value in column.cells]
    places = [i for i, value in enumerate(values) if not math.isnan(value)]
    known = [values[i] for i in places]
    if column.kind == "p_value":
        return right_align(format_p_values(values, digits - 1))
    if column.kind == "statistic":
        decimals = max(1, min(5, digits - 1))
        texts = format_column([round(value, decimals) if math.isfinite(value) else value for value in known], digits)
    else:
        rounded = known if column.kind == "df" else zapsmall(known, digits)
        texts = format_column(rounded, digits)
        for i, value in enumerate(known):  # never show a number as zero that is not
            if value != 0 and math.isfinite(value) and float(texts[i]) == 0:
                texts[i] = format_number(value, max(1, digits - 1))
    cells = [""] * len(values)
    for i, text in zip(places, texts, strict=True):
        cells[i] = text
    return right_align(cells)
