"""Terms -> columns: which factors of a term get contrasts and which get indicators, and what the columns are called.

The rule is R's (`is_contrast_coded`): a factor v of a term T is coded by contrasts when what remains of T without v is
in the model already, and by one indicator per level otherwise. In a product of blocks of columns the first factor
varies fastest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors
from henderson.columns import Numbers
from henderson.contrasts import Contrast, Factorized, contrast_matrix
from henderson.expression import Expression, to_text
from henderson.levels import Categories, Levels, level_text
from henderson.terms import Term, TermList
from henderson.transforms import Evaluator

Block = list[Numbers]
Value = Numbers | Categories  # of a variable, one per row; numbers may have several columns


@dataclass(frozen=True, eq=False)
class NumericVariable:
    """A variable of the formula that gives `width` columns of numbers."""

    label: str
    width: int

    @property
    def suffixes(self) -> tuple[str, ...]:
        """What is appended to the label to name the columns."""
        return ("",) if self.width == 1 else tuple(str(column + 1) for column in range(self.width))


@dataclass(frozen=True, eq=False)
class CategoricalVariable:
    """A variable of the formula that has levels.

    Attributes
    ----------
    levels
        In order; the row of `contrast` and code of each.
    contrast
        (levels, columns) matrix.
    suffixes
        What is appended to the label to name the columns of `contrast`.
    """

    label: str
    levels: Levels
    contrast: NDArray[np.float64]
    suffixes: tuple[str, ...]
    is_ordered: bool = False


Variable = NumericVariable | CategoricalVariable


def is_contrast_coded(side: TermList, is_categorical: Callable[[Expression], bool]) -> Iterator[tuple[bool, ...]]:
    """For each term, for each of its variables: whether it is a factor coded by contrasts.

    R asks only whether some earlier term contains all of T without v; we also ask that this term has no numeric
    variable besides those of T (R's ``~ a:x + a:b`` loses the effect of a).
    """
    split: list[tuple[frozenset[Expression], frozenset[Expression]]] = []
    needs_indicators = not side.has_intercept
    for term in side.terms:
        factors = frozenset(variable for variable in term.variables if is_categorical(variable))
        numeric = frozenset(term.variables) - factors
        flags = []
        for variable in term.variables:
            rest = factors - {variable}
            is_in_model = (not rest and not numeric) or any(rest <= f and numeric == x for f, x in split)
            is_contrast = variable in factors and is_in_model
            if variable in factors and needs_indicators:  # the first factor spans the missing intercept
                is_contrast, needs_indicators = False, False
            flags.append(is_contrast)
        split.append((factors, numeric))
        yield tuple(flags)


class Coder:
    """Builds columns from terms; variables and columns that occur several times are computed once.

    Parameters
    ----------
    evaluator
        Computes the values of variables.
    variables
        What is known about variables from the rows the model was fitted to; filled when the evaluator is learning.
    contrasts
        Contrasts by label of the variable, instead of treatment or polynomial ones.
    values
        Values of variables that are known already.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        variables: dict[Expression, Variable],
        contrasts: Mapping[str, Contrast],
        values: Mapping[Expression, Value] | None = None,
    ) -> None:
        self.evaluator = evaluator
        self.variables = variables
        self.contrasts = contrasts
        self.values: dict[Expression, Value] = dict(values or {})
        self._blocks: dict[tuple[Expression, bool], tuple[Block, tuple[str, ...]]] = {}

    def columns(self, side: TermList) -> tuple[list[Numbers | None], tuple[str, ...]]:
        """The columns of one side of a formula and their names; None is a column of ones."""
        columns: list[Numbers | None] = [None] if side.has_intercept else []
        names: list[str] = ["(Intercept)"] if side.has_intercept else []
        for _, own in self.by_term(side):
            for column, name in own:
                columns.append(column)
                names.append(name)
        return columns, tuple(names)

    def by_term(self, side: TermList) -> Iterator[tuple[Term, list[tuple[Numbers, str]]]]:
        """The columns of each term of one side of a formula, with their names."""
        for variable in side.variables():
            self._learn(variable)
        flags = is_contrast_coded(side, lambda v: isinstance(self.variables[v], CategoricalVariable))
        for term, coding in zip(side.terms, flags, strict=True):
            yield term, self._term(term, coding)

    def _term(self, term: Term, coding: tuple[bool, ...]) -> list[tuple[Numbers, str]]:
        """All products of one column per variable, the first variable varying fastest."""
        product: list[tuple[Numbers, str]] = []
        for variable, is_contrast in zip(term.variables, coding, strict=True):
            block, names = self._block(variable, is_contrast)
            if not product:
                product = list(zip(block, names, strict=True))
            else:
                product = [
                    (left * right, f"{left_name}:{right_name}")
                    for right, right_name in zip(block, names, strict=True)
                    for left, left_name in product
                ]
        return product

    def _learn(self, node: Expression) -> None:
        """Evaluate a variable; on new rows, express its levels in the codes of the fit."""
        if node in self.values:
            return
        value = self._of_known_kind(node, self.evaluator.variable(node))
        if isinstance(value, Factorized):
            if node not in self.variables:
                self.variables[node] = self._categorical(to_text(node), value)
            variable = self.variables[node]
            assert isinstance(variable, CategoricalVariable)
            known = value.categories
            self.values[node] = known.in_order() if self.evaluator.is_learning else self._recode(variable, known)
            return
        if node not in self.variables:
            self.variables[node] = NumericVariable(to_text(node), 1 if value.ndim == 1 else value.shape[1])
        self.values[node] = value

    def _of_known_kind(self, node: Expression, value: Numbers | Factorized) -> Numbers | Factorized:
        """Numbers as levels, or TRUE and FALSE as numbers, where new rows have another type than those of the fit."""
        known = self.variables.get(node)
        if isinstance(known, CategoricalVariable) and not isinstance(value, Factorized):
            return self.evaluator.factorized(node)
        if isinstance(known, NumericVariable) and isinstance(value, Factorized):
            return self.evaluator.number(node, "a predictor")
        return value

    def _categorical(self, label: str, value: Factorized) -> CategoricalVariable:
        levels = value.categories.in_order().levels
        if len(levels) < 2:
            raise errors.factor_one_level(label, level_text(levels.labels[0]))
        default = Contrast("poly" if levels.is_ordered else "treatment")
        contrast = self.contrasts.get(label) or value.contrast or default
        matrix, suffixes = contrast_matrix(contrast, label, levels.labels.tolist())
        return CategoricalVariable(label, levels, matrix, suffixes, levels.is_ordered)

    def _recode(self, variable: CategoricalVariable, categories: Categories) -> Categories:
        codes = variable.levels.find(categories.levels.labels)
        unseen = np.flatnonzero(codes < 0)
        if len(unseen):
            row = int(np.argmax(np.isin(categories.codes, unseen)))
            level = categories.levels.labels[categories.codes[row]]
            row = self.evaluator.source.table_row(row)
            raise errors.level_unseen(variable.label, level, row, variable.levels.texts())
        return Categories(np.append(codes, np.int32(-1))[categories.codes], variable.levels)

    def _block(self, node: Expression, is_contrast: bool) -> tuple[Block, tuple[str, ...]]:
        """The columns of one variable and their names."""
        key = (node, is_contrast)
        if key not in self._blocks:
            self._blocks[key] = self._make_block(node, is_contrast)
        return self._blocks[key]

    def _make_block(self, node: Expression, is_contrast: bool) -> tuple[Block, tuple[str, ...]]:
        variable, value = self.variables[node], self.values[node]
        if isinstance(variable, NumericVariable):
            assert isinstance(value, np.ndarray)
            columns = [value] if value.ndim == 1 else [np.ascontiguousarray(column) for column in value.T]
            return columns, tuple(variable.label + suffix for suffix in variable.suffixes)
        assert isinstance(value, Categories)
        if is_contrast:
            columns = [self._coded(value.codes, column) for column in variable.contrast.T]
            return columns, tuple(variable.label + suffix for suffix in variable.suffixes)
        indicators = np.eye(len(variable.levels))
        columns = [self._coded(value.codes, column) for column in indicators]
        return columns, tuple(variable.label + text for text in variable.levels.texts())

    def _coded(self, codes: NDArray[np.int32], coefficients: NDArray[np.float64]) -> Numbers:
        """`coefficients` by code; NaN for rows without a level."""
        nonzero = np.flatnonzero(coefficients)
        if len(nonzero) == 1 and coefficients[nonzero[0]] == 1.0:
            column: Numbers = (codes == nonzero[0]).astype(np.float64)
        else:
            column = np.asarray(np.take(coefficients, codes, mode="clip"), dtype=np.float64)
        if not self.evaluator.is_learning:
            column[codes < 0] = np.nan
        return column


def check_contrast_names(contrasts: Mapping[str, Any], variables: Mapping[Expression, Variable]) -> None:
    """Every entry of ``contrasts=`` is a categorical variable of the formula."""
    labels = [variable.label for variable in variables.values() if isinstance(variable, CategoricalVariable)]
    for name in contrasts:
        if name not in labels:
            raise errors.contrast_variable(name, labels)
