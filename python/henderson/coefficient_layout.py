"""Tables of estimates and their tests as R's printCoefmat lays them out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from henderson.formatting import WIDTH, coefficient_cells, format_column, matrix, right_align
from henderson.significance import LEGEND, format_p_values, significance

HEADERS = {
    "estimate": "Estimate",
    "std_error": "Std. Error",
    "df": "df",
    "conf_low": "lower",
    "conf_high": "upper",
    "statistic": "t value",
    "p_value": "Pr(>|t|)",
}


@dataclass(frozen=True)
class CoefficientLayout:
    """The cells of a table of estimates.

    Attributes
    ----------
    header
        Column names as R prints them.
    columns
        Cells by column, right-aligned.
    stars
        Significance stars, one text per row; empty without p-values or when no row has one.
    """

    header: tuple[str, ...]
    columns: tuple[list[str], ...]
    stars: tuple[str, ...]

    def lines(self, rows: Sequence[str], width: int = WIDTH) -> list[str]:
        """The table as text, with the legend of the stars below."""
        if not self.stars:
            return matrix(rows, self.header, self.columns, width=width)
        size = max(map(len, self.stars))
        marks = [mark.ljust(size) for mark in self.stars]
        return [*matrix(rows, [*self.header, ""], [*self.columns, marks], width=width), *LEGEND]


def coefficient_layout(table: Mapping[str, Sequence[float]], digits: int = 4) -> CoefficientLayout:
    r"""Format columns named as in `HEADERS`; statistics are z where there are p-values but no degrees of freedom.

    Examples
    --------
    >>> table = {"estimate": [10.467], "std_error": [1.546], "df": [17.0], "statistic": [6.771], "p_value": [3.26e-6]}
    >>> print(*coefficient_layout(table).lines(["Days"]), sep="\n")
         Estimate Std. Error     df t value Pr(>|t|)
    Days   10.467      1.546 17.000   6.771 3.26e-06 ***
    ---
    Signif. codes:  0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1
    """
    is_normal = "p_value" in table and "df" not in table
    names = [name for name in HEADERS if name in table]
    cells = _cells(table, [name for name in names if name != "p_value"], digits)
    stars: tuple[str, ...] = ()
    if "p_value" in table:
        p_values = [float(value) for value in table["p_value"]]
        cells["p_value"] = right_align(format_p_values(p_values, max(1, min(5, digits - 1))))
        stars = tuple(significance(value) for value in p_values)
    letter = "z" if is_normal else "t"
    header = tuple(HEADERS[name].replace("t value", f"{letter} value").replace("|t|", f"|{letter}|") for name in names)
    return CoefficientLayout(header, tuple(cells[name] for name in names), stars if any(stars) else ())


def _cells(table: Mapping[str, Sequence[float]], names: Sequence[str], digits: int) -> dict[str, list[str]]:
    """Cells by column, the last of which are the statistics.

    As in R the degrees of freedom share the decimals of the estimates, unless these turned to powers of ten by that.
    """
    cells = dict(zip(names, coefficient_cells([list(table[name]) for name in names], digits), strict=True))
    if "df" in names and any("e" in cell for cell in cells["df"]):
        others = [name for name in names if name != "df"]
        cells |= zip(others, coefficient_cells([list(table[name]) for name in others], digits), strict=True)
        cells["df"] = format_column([round(value, 2) if math.isfinite(value) else value for value in table["df"]], 12)
    return cells
