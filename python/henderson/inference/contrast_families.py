"""Families of contrasts among k estimates: pairwise, against a control, deviations, successive, polynomial, custom."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors, errors_means
from henderson.levels import level_text

Matrix = NDArray[np.float64]

METHODS = ("pairwise", "revpairwise", "trt.vs.ctrl", "eff", "consec", "poly")
DEGREES = ("linear", "quadratic", "cubic", "quartic", "degree 5", "degree 6")


@dataclass(frozen=True, eq=False)
class ContrastFamily:
    """Contrasts among k estimates.

    Attributes
    ----------
    names
        One per contrast.
    coefficients
        Shape (contrasts, k).
    adjust
        The usual adjustment for several tests.
    is_pairwise
        Whether these are all differences of two estimates.
    """

    names: tuple[str, ...]
    coefficients: Matrix
    adjust: str
    is_pairwise: bool = False


def contrast_family(method: Any, labels: Sequence[str], ref: Any = None) -> ContrastFamily:
    """The contrasts that a name or a dict stands for.

    Parameters
    ----------
    method
        One of `METHODS`, or a dict of coefficients by name: a list with one number per estimate, or a dict of numbers
        by level.
    labels
        What the k estimates are called.
    ref
        The control of ``"trt.vs.ctrl"``, by label or by position; None for the first.

    Examples
    --------
    >>> contrast_family("pairwise", ["a", "b", "c"]).names
    ('a - b', 'a - c', 'b - c')
    >>> contrast_family("poly", list("abcd")).coefficients
    array([[-3., -1.,  1.,  3.],
           [ 1., -1., -1.,  1.],
           [-1.,  3., -3.,  1.]])
    """
    if isinstance(method, Mapping):
        return _custom(method, labels)
    if not isinstance(method, str) or method not in METHODS:
        raise errors.choice("method", method, METHODS)
    k = len(labels)
    if k < 2:
        raise errors_means.too_few_levels(method, k)
    shown = [_in_parentheses(label) for label in labels]
    unit = np.eye(k)
    if method == "eff":
        return ContrastFamily(tuple(f"{label} effect" for label in shown), unit - 1.0 / k, "fdr")
    if method == "poly":
        rows = _polynomials(k, min(len(DEGREES), k - 1))
        return ContrastFamily(DEGREES[: len(rows)], rows, "none")
    if method == "consec":
        pairs = [(i + 1, i) for i in range(k - 1)]
    elif method == "trt.vs.ctrl":
        control = _position(ref, labels)
        pairs = [(i, control) for i in range(k) if i != control]
    else:
        pairs = [(i, j) if method == "pairwise" else (j, i) for i, j in combinations(range(k), 2)]
        if method == "revpairwise":
            pairs.sort()
    names = tuple(f"{shown[i]} - {shown[j]}" for i, j in pairs)
    adjust = {"consec": "mvt", "trt.vs.ctrl": "dunnettx"}.get(method, "tukey")
    coefficients = np.array([unit[i] - unit[j] for i, j in pairs])
    return ContrastFamily(names, coefficients, adjust, adjust == "tukey")


def _in_parentheses(label: str) -> str:
    """A label that has an operator in it is put in parentheses."""
    return f"({label})" if any(sign in label for sign in "-+/*") else label


def _position(ref: Any, labels: Sequence[str]) -> int:
    if ref is None:
        return 0
    if level_text(ref) in labels:
        return list(labels).index(level_text(ref))
    if isinstance(ref, int) and not isinstance(ref, bool) and -len(labels) <= ref < len(labels):
        return ref % len(labels)
    raise errors_means.reference_unknown(ref, labels)


def _polynomials(k: int, degrees: int) -> Matrix:
    """Orthogonal polynomials at 1 .. k in the smallest whole numbers, positive at the end."""
    powers = [[Fraction(x**degree) for x in range(1, k + 1)] for degree in range(degrees + 1)]
    basis: list[list[Fraction]] = []
    for column in powers:
        rest = list(column)
        for known in basis:
            product = sum((a * b for a, b in zip(rest, known, strict=True)), Fraction())
            slope = product / sum((b * b for b in known), Fraction())
            rest = [a - slope * b for a, b in zip(rest, known, strict=True)]
        basis.append(rest)
    rows = []
    for row in basis[1:]:
        whole = [int(a * math.lcm(*(b.denominator for b in row))) for a in row]
        rows.append([a // math.gcd(*whole) for a in whole])
    return np.array(rows, dtype=np.float64)


def _custom(method: Mapping[Any, Any], labels: Sequence[str]) -> ContrastFamily:
    rows = []
    for name, given in method.items():
        if isinstance(given, Mapping):
            row = np.zeros(len(labels))
            for level, weight in given.items():
                if level_text(level) not in labels:
                    raise errors_means.contrast_level(str(name), level, labels)
                row[list(labels).index(level_text(level))] = _number(str(name), weight)
        else:
            try:
                row = np.asarray(given, dtype=np.float64)
            except (TypeError, ValueError):
                raise errors_means.contrast_invalid(str(name), given) from None
            if row.ndim != 1 or not np.isfinite(row).all():
                raise errors_means.contrast_invalid(str(name), given)
            if len(row) != len(labels):
                raise errors_means.contrast_length(str(name), len(row), labels)
        rows.append(row)
    if not rows:
        raise errors.choice("method", method, METHODS)
    return ContrastFamily(tuple(map(str, method)), np.array(rows), "none")


def _number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise errors_means.contrast_invalid(name, value)
    return number
