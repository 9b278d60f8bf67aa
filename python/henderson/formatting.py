"""Numbers and tables as R prints them: common significant digits, fixed or scientific, whichever is shorter.

lme4's users read its summaries at a glance because every column follows these rules; so does everything printed here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

WIDTH = 80


def format_number(value: float, digits: int = 7) -> str:
    """Format one number with at most `digits` significant digits and no trailing zeros."""
    return format_column([value], digits)[0]


def format_column(values: Iterable[float], digits: int = 7) -> list[str]:
    """Format numbers alike, right-aligned: as many decimals as the number that needs most of them.

    Each number is looked at with `digits` significant digits, trailing zeros dropped; all get the same number of
    decimals, so that the smallest still shows its digits. Scientific notation is used when it is narrower.

    Examples
    --------
    >>> format_column([612.0897, 35.0717, 654.9410], 4)
    ['612.09', ' 35.07', '654.94']
    """
    numbers = [float(value) for value in values]
    finite = [value for value in numbers if math.isfinite(value)]
    if _is_fixed(finite, digits):
        decimals = max((_decimals(value, digits) for value in finite), default=0)
        cells = [_fixed(value, decimals) for value in numbers]
    else:
        significant = max(_scientific(value, digits)[1] for value in finite)
        cells = [_exponential(value, significant) for value in numbers]
    return right_align(cells)


def decimals_for(size: float, digits: int) -> int:
    """Decimals that show a positive number with `digits` significant digits; negative: it is that large.

    Examples
    --------
    >>> decimals_for(1.546, 3), decimals_for(0.0123, 2), decimals_for(9870.0, 2)
    (2, 3, -2)
    """
    return digits - 1 - math.floor(math.log10(size))


def right_align(cells: Sequence[str]) -> list[str]:
    """Pad every cell on the left to the width of the widest."""
    width = max(map(len, cells), default=0)
    return [cell.rjust(width) for cell in cells]


def zapsmall(values: Sequence[float], digits: int) -> list[float]:
    """Round to the decimals that `digits` significant digits of the largest value have."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    decimals = max(0, math.floor(digits - math.log10(largest) + 0.5)) if largest > 0 else digits
    return [round(value, decimals) if math.isfinite(value) else value for value in values]


def named_vector(names: Sequence[str], cells: Sequence[str], gap: int = 1, width: int = WIDTH) -> list[str]:
    """Lines of a vector printed under its names, as many to a line as fit."""
    column = max(map(len, [*names, *cells]), default=0)
    per_line = max(1, width // (column + gap))
    lines = []
    for start in range(0, len(names), per_line):
        parts = (row[start : start + per_line] for row in (names, cells))
        lines += [(" " * gap).join(cell.rjust(column) for cell in part) + " " * gap for part in parts]
    return lines


def matrix(
    rows: Sequence[str],
    header: Sequence[str],
    columns: Sequence[Sequence[str]],
    *,
    left: bool = False,
    width: int = WIDTH,
) -> list[str]:
    """Lines of a table of text cells with row names; columns that do not fit follow below.

    Parameters
    ----------
    rows, header
        Row names (left-aligned) and column names.
    columns
        The cells, column by column.
    left
        Align the cells and column names to the left instead of the right.
    width
        Line width in characters.
    """
    stub = max(map(len, rows), default=0)
    blocks: list[list[list[str]]] = [[]]
    used = stub
    for name, cells in zip(header, columns, strict=True):
        size = max(map(len, [name, *cells]))
        if blocks[-1] and used + 1 + size > width:
            blocks.append([])
            used = stub
        used += 1 + size
        blocks[-1].append([cell.ljust(size) if left else cell.rjust(size) for cell in [name, *cells]])
    return [
        " ".join([name.ljust(stub), *(column[i] for column in block)])
        for block in blocks
        for i, name in enumerate(["", *rows])
    ]


def coefficient_cells(table: Sequence[Sequence[float]], digits: int = 4) -> list[list[str]]:
    """Cells (by column) of a coefficient table: estimate, standard error and others of their scale; last the statistic.

    All but the statistic share their decimals, enough for `digits` significant digits of the smallest; the statistic
    has `digits` - 1 decimals at most.
    """
    *grouped, statistics = ([float(value) for value in column] for column in table)
    values = [value for column in grouped for value in column]
    sizes = [math.floor(math.log10(abs(value))) for value in values if math.isfinite(value) and value != 0]
    decimals = max(1, digits - 1 - min(sizes, default=0), digits - 1 - max(sizes, default=0))
    cells = format_column([_round(value, decimals) for value in values], digits)
    for i, value in enumerate(values):  # never show a number as zero that is not
        if value != 0 and math.isfinite(value) and float(cells[i]) == 0:
            cells[i] = format_number(value, max(1, digits - 1))
    rows = len(statistics)
    tests = format_column([_round(value, max(1, min(5, digits - 1))) for value in statistics], digits)
    return [*(cells[start : start + rows] for start in range(0, rows * len(grouped), rows)), tests]


def abbreviate(names: Sequence[str], length: int) -> list[str]:
    """Shorten names to about `length` characters, keeping them distinct.

    From the end, lower-case vowels go first, then lower-case letters, then anything; the first character of every word
    stays. Names that would become equal are shortened less.
    """
    short = [_abbreviate_one(name, length) for name in names]
    longest = max(map(len, names), default=0)
    target = length
    while target < longest:
        clashing = {name for name in short if short.count(name) > 1}
        if not clashing:
            break
        target += 1
        short = [
            _abbreviate_one(name, target) if cell in clashing else cell for name, cell in zip(names, short, strict=True)
        ]
    return short


def _abbreviate_one(name: str, length: int) -> str:
    letters = list(name.strip())

    def room() -> int:
        return sum(not letter.isspace() for letter in letters) - length

    def strip(removable: str | None, *, last: bool) -> None:
        for i in range(len(letters) - 1, 0, -1):
            if room() <= 0:
                return
            starts_word = letters[i - 1].isspace()
            ends_word = not starts_word and (i + 1 == len(letters) or letters[i + 1].isspace())
            kind = letters[i] in removable if removable else not letters[i].isspace()
            if kind and (ends_word if last else not starts_word):
                del letters[i]

    if len(name) > length:
        for removable in ("aeiou", "abcdefghijklmnopqrstuvwxyz"):
            strip(removable, last=True)
            strip(removable, last=False)
        strip(None, last=False)
        if len(letters) > length:
            letters = [letter for letter in letters if not letter.isspace()]
    return "".join(letters)


def _round(value: float, decimals: int) -> float:
    return round(value, decimals) if math.isfinite(value) else value


def _scientific(value: float, digits: int) -> tuple[int, int]:
    """Exponent and number of significant digits, trailing zeros dropped."""
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return int(exponent), max(1, len(mantissa.lstrip("-").replace(".", "").rstrip("0")))


def _decimals(value: float, digits: int) -> int:
    exponent, significant = _scientific(value, digits)
    return max(0, significant - exponent - 1)


def _is_fixed(values: Sequence[float], digits: int) -> bool:
    if not values:
        return True
    negative = any(value < 0 for value in values)
    parts = [_scientific(value, digits) for value in values]
    left = max((value < 0) + max(1, exponent + 1) for value, (exponent, _) in zip(values, parts, strict=True))
    decimals = max(max(0, significant - exponent - 1) for exponent, significant in parts)
    significant = max(significant for _, significant in parts)
    wide_exponent = any(abs(exponent) >= 100 for exponent, _ in parts)
    fixed_width = left + decimals + (decimals > 0)
    return fixed_width <= negative + significant + (significant > 1) + 4 + wide_exponent


def _fixed(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if math.isfinite(value) else _special(value)


def _exponential(value: float, significant: int) -> str:
    return f"{value:.{significant - 1}e}" if math.isfinite(value) else _special(value)


def _special(value: float) -> str:
    return "NaN" if math.isnan(value) else "Inf" if value > 0 else "-Inf"
