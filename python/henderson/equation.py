"""A model as an equation in LaTeX: coefficients, random effects with their distributions, residuals.

The notation is that of Gelman and Hill: i numbers the rows, and j[i] is the level that row i belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from henderson import errors, errors_reports
from henderson.coding import CategoricalVariable, NumericVariable, is_contrast_coded
from henderson.formatting import decimals_for
from henderson.latex_math import category, column_of, expression_latex, in_product, upright
from henderson.levels import level_text

if TYPE_CHECKING:
    from henderson.design import DesignMatrices
    from henderson.expression import Expression
    from henderson.model import LinearMixedModel
    from henderson.terms import TermList

INDICES = "jklmqrst"
LETTERS = "uvwzabcd"
MOST_DECIMALS = 7


@dataclass(frozen=True, eq=False)
class Equation:
    r"""A model in LaTeX; prints its source, which belongs between ``\[`` and ``\]`` (or ``$$``); notebooks show it.

    Attributes
    ----------
    lines
        Lines of an ``aligned`` environment, without the line breaks at their ends.
    """

    lines: tuple[str, ...]

    @property
    def source(self) -> str:
        """The ``aligned`` environment."""
        return "\\begin{aligned}\n" + " \\\\\n".join(self.lines) + "\n\\end{aligned}"

    def to_latex(self) -> str:
        """A displayed equation for a LaTeX document (needs amsmath and amssymb)."""
        return f"\\[\n{self.source}\n\\]\n"

    def to_markdown(self) -> str:
        """A displayed equation for Markdown."""
        return f"$$\n{self.source}\n$$\n"

    def __str__(self) -> str:
        return self.source

    __repr__ = __str__

    def _repr_latex_(self) -> str:
        return self.to_markdown()

    def _repr_markdown_(self) -> str:
        return self.to_markdown()


def equation(
    model: LinearMixedModel,
    *,
    estimates: bool = False,
    digits: int = 3,
    terms_per_line: int = 4,
    indicator: str = r"\mathbb{1}",
) -> Equation:
    r"""The model in LaTeX: response, fixed effects, random effects with their covariance matrices, residuals.

    Parameters
    ----------
    estimates
        Numbers in place of the symbols of coefficients and variances.
    digits
        Significant digits of the standard errors, which estimates go by, and of variances.
    terms_per_line
        Terms of the sum before it goes on in the next line.
    indicator
        What marks a column that is 1 at one level of a factor and 0 elsewhere. In LaTeX documents ``\mathbb{1}`` needs
        a font that has it (the package bbold, or unicode-math); ``\mathbf{1}`` needs none.

    Returns
    -------
    Equation
        Print it, or use `.to_latex()` and `.to_markdown()`; notebooks typeset it.

    Raises
    ------
    DataError
        `digits` or `terms_per_line` is no whole number.

    Notes
    -----
    Random effects have the number of the fixed effect they belong to. Aliased columns are left out. Columns of
    contrasts other than treatment contrasts are written as contrast functions of their factor.

    References
    ----------
    Gelman, A. and Hill, J. (2007). Data Analysis Using Regression and Multilevel/Hierarchical Models. Cambridge
    University Press, chapter 12.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Yield ~ 1 + (1 | Batch)", hd.datasets.load_dyestuff())
    >>> print(fit.equation())
    \begin{aligned}
    \mathrm{Yield}_{i} &= \beta_{0} + u_{0j[i]} + \varepsilon_{i} \\
    u_{0j} &\sim \mathcal{N}\left(0, \sigma_{u_{0}}^{2}\right), \quad \text{for } \mathrm{Batch}\ j = 1, \dots, 6 \\
    \varepsilon_{i} &\sim \mathcal{N}\left(0, \sigma^{2}\right), \quad \text{for } i = 1, \dots, 30
    \end{aligned}
    """
    _check(digits, terms_per_line, indicator)
    writer = _Writer(model, estimates, digits, indicator)
    summands = [*writer.fixed(), *writer.offsets(), *writer.random(), r"+\varepsilon_{i}"]
    response = model.design.formula.response
    assert response is not None
    left = expression_latex(response)
    lines = _sum(left, summands, terms_per_line)
    lines += [writer.distribution(t) for t in range(len(model.design.terms))]
    return Equation((*lines, writer.residual()))


def _check(digits: Any, terms_per_line: Any, indicator: Any) -> None:
    if isinstance(digits, bool) or not isinstance(digits, int) or not 1 <= digits <= 15:
        raise errors_reports.digits_invalid(digits)
    if isinstance(terms_per_line, bool) or not isinstance(terms_per_line, int) or terms_per_line < 1:
        raise errors_reports.count_invalid("terms_per_line", terms_per_line, 1)
    if not isinstance(indicator, str):
        raise errors.argument_type("indicator", indicator, "LaTeX such as r'\\mathbf{1}'")


def _sum(left: str, summands: Sequence[str], per_line: int) -> list[str]:
    """Lines of ``left = a + b - c``; each summand begins with its sign."""
    first = summands[0].removeprefix("+")
    spaced = [first, *(f"{text[0]} {text[1:]}" for text in summands[1:])]
    starts = list(range(0, len(spaced), per_line))
    if len(spaced) - starts[-1] == 1 and 1 < per_line < len(spaced):
        starts.pop()  # rather a longer line than a last one of one term
    chunks = [" ".join(spaced[start:stop]) for start, stop in zip(starts, [*starts[1:], len(spaced)], strict=True)]
    return [f"{left} &= {chunks[0]}", *(rf"&\quad {{}} {chunk}" for chunk in chunks[1:])]


class _Writer:
    """The pieces of the equation of one model."""

    def __init__(self, model: LinearMixedModel, estimates: bool, digits: int, indicator: str) -> None:
        self.model = model
        self.estimates = estimates
        self.digits = digits
        self.indicator = indicator
        kept = [model.design.x_names[i] for i in model.kept]
        first = 0 if model.design.formula.has_intercept else 1
        self.numbers = {name: place for place, name in enumerate(kept, first)}
        self.index, self.letter = _symbols(model.design)

    # ------------------------------------------------------------------------------------------------------- the sum

    def fixed(self) -> list[str]:
        """Coefficients times columns, each with its sign."""
        columns = _columns(self.model.design, self.model.design.formula.fixed, self.indicator)
        result = []
        errors = self.model.stderror.to_numpy() if self.numbers else np.empty(0)
        for place, (name, number) in enumerate(self.numbers.items()):
            if self.estimates:
                text = _number(float(self.model.solution.beta[place]), float(errors[place]), self.digits)
            else:
                text = rf"\beta_{{{number}}}"
            sign, size = ("-", text[1:]) if text.startswith("-") else ("+", text)
            result.append(sign + size + _times(columns[name]))
        return result

    def offsets(self) -> list[str]:
        """What is added without a coefficient."""
        design = self.model.design
        found = [in_product(node) for node in design.formula.offsets]
        if design.recipe.offset_column is not None:
            found.append(f"{upright(design.recipe.offset_column)}_{{i}}")
        elif design.recipe.offset is not None:
            found.append(r"\mathrm{offset}_{i}")
        return [f"+{text}" for text in found]

    def random(self) -> list[str]:
        """Random effects times columns."""
        design = self.model.design
        result = []
        for t, term in enumerate(design.terms):
            columns = _columns(design, design.formula.random_terms[term.part].effects, self.indicator)
            index = f"{self.index[t]}[i]"
            result += [f"+{self._effect(t, name, index)}{_times(columns[name])}" for name in term.names]
        return result

    def _effect(self, t: int, name: str, index: str) -> str:
        number = self._number(name)
        return f"{self.letter[t]}_{{{number}{',' if number > 9 else ''}{index}}}"

    def _number(self, name: str) -> int:
        """The number of the fixed effect of that name, or one of its own."""
        return self.numbers.setdefault(name, 0 if name == "(Intercept)" else max(self.numbers.values(), default=0) + 1)

    # ----------------------------------------------------------------------------------------------- the distributions

    def distribution(self, t: int) -> str:
        """Of the effects of one random term."""
        term = self.model.design.terms[t]
        index = self.index[t]
        count = self.model.design.factors[term.factor].n_levels
        effects = [self._effect(t, name, index) for name in term.names]
        entries = self._covariance(t)
        where = rf"\quad \text{{for }} {upright(term.group)}\ {index} = 1, \dots, {count}"
        if len(effects) == 1:
            return rf"{effects[0]} &{_normal('0', entries[0][0])}, {where}"
        zero = r"\mathbf{0}"
        left = _matrix([[effect] for effect in effects])
        return rf"{left} &{_normal(zero, _matrix(entries))}, {where}"

    def _covariance(self, t: int) -> list[list[str]]:
        term = self.model.design.terms[t]
        covariance = self.model.varcorr.terms[t].covariance
        size = len(term.names)
        if self.estimates:
            return [[_number(float(value), float(value), self.digits) for value in row] for row in covariance]
        subscripts = [f"{self.letter[t]}_{{{self._number(name)}}}" for name in term.names]
        sigma = [rf"\sigma_{{{subscript}}}" for subscript in subscripts]

        def entry(a: int, b: int) -> str:
            if a == b:
                return f"{sigma[a]}^{{2}}"
            low, high = min(a, b), max(a, b)
            return rf"\rho_{{{subscripts[low]} {subscripts[high]}}} {sigma[low]} {sigma[high]}"

        return [[entry(a, b) for b in range(size)] for a in range(size)]

    def residual(self) -> str:
        """Distribution of the residuals."""
        model, design = self.model, self.model.design
        variance = _number(model.sigma**2, model.sigma**2, self.digits) if self.estimates else r"\sigma^{2}"
        if design.weights is not None:
            column = dict(model.call).get("Weights")
            variance += f" / {'w' if column is None else upright(column)}_{{i}}"
        where = rf"\quad \text{{for }} i = 1, \dots, {model.nobs}"
        return rf"\varepsilon_{{i}} &{_normal('0', variance)}, {where}"


def _normal(mean: str, covariance: str) -> str:
    return rf"\sim \mathcal{{N}}\left({mean}, {covariance}\right)"


def _symbols(design: DesignMatrices) -> tuple[list[str], list[str]]:
    """Index and letter of each random term: one of each per factor, but a letter of its own where effects repeat."""
    index = [_nth(INDICES, term.factor) for term in design.terms]
    used: dict[str, tuple[int, set[str]]] = {}
    letters = []
    for term in design.terms:
        fitting = (
            letter for letter, (factor, names) in used.items() if factor == term.factor and not names & set(term.names)
        )
        letter = next(fitting, None) or _nth(LETTERS, len(used))
        used.setdefault(letter, (term.factor, set()))[1].update(term.names)
        letters.append(letter)
    return index, letters


def _nth(symbols: str, place: int) -> str:
    return symbols[place] if place < len(symbols) else f"{symbols[0]}^{{({place + 1})}}"


def _matrix(rows: Sequence[Sequence[str]]) -> str:
    body = r" \\ ".join(" & ".join(row) for row in rows)
    return rf"\begin{{pmatrix}} {body} \end{{pmatrix}}"


def _times(column: str) -> str:
    return rf" \, {column}" if column else ""


def _number(value: float, size: float, digits: int) -> str:
    """A number with as many decimals as `size` has with its significant digits; large and small ones with a power."""
    if not np.isfinite(value) or value == 0:
        return "0" if value == 0 else r"\mathrm{NaN}"
    decimals = decimals_for(abs(size), digits) if np.isfinite(size) and size != 0 else digits
    if -MOST_DECIMALS < decimals <= MOST_DECIMALS:
        return f"{value:.{max(0, decimals)}f}"
    mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
    return rf"{mantissa} \cdot 10^{{{int(power)}}}"


# ------------------------------------------------------------------------------------------------------------- columns


def _columns(design: DesignMatrices, side: TermList, indicator: str) -> dict[str, str]:
    """LaTeX of each column of one side of a formula, by the column's name; empty for the intercept."""
    variables = design.recipe.variables
    result = {"(Intercept)": ""} if side.has_intercept else {}
    flags = is_contrast_coded(side, lambda node: isinstance(variables[node], CategoricalVariable))
    for term, coding in zip(side.terms, flags, strict=True):
        product = [("", "")]
        for node, is_contrast in zip(term.variables, coding, strict=True):
            own = _of_variable(node, variables[node], is_contrast, indicator)
            product = [
                (f"{name}:{right}" if name else right, rf"{text} \, {column}" if text else column)
                for right, column in own
                for name, text in product
            ]
        result |= dict(product)
    return result


def _of_variable(node: Expression, variable: Any, is_contrast: bool, indicator: str) -> list[tuple[str, str]]:
    """Names and LaTeX of the columns of one variable."""
    if isinstance(variable, NumericVariable):
        if variable.width == 1:
            return [(variable.label, in_product(node))]
        return [(variable.label + suffix, column_of(node, k)) for k, suffix in enumerate(variable.suffixes, 1)]
    texts = [level_text(label) for label in variable.levels.labels.tolist()]
    indicators = [rf"{indicator}\left({category(node)} = {upright(text)}\right)" for text in texts]
    if not is_contrast:
        return [(variable.label + text, column) for text, column in zip(texts, indicators, strict=True)]
    columns = []
    for suffix, coefficients in zip(variable.suffixes, variable.contrast.T, strict=True):
        nonzero = np.flatnonzero(coefficients)
        if len(nonzero) == 1 and coefficients[nonzero[0]] == 1.0:
            columns.append((variable.label + suffix, indicators[nonzero[0]]))
        else:
            contrast = rf"\operatorname{{contrast}}_{{{upright(suffix)}}}\left({category(node)}\right)"
            columns.append((variable.label + suffix, contrast))
    return columns
