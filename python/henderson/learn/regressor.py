"""A linear mixed model as a scikit-learn regressor."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_array, check_consistent_length, check_X_y, column_or_1d
from sklearn.utils.validation import check_is_fitted

from henderson import errors, errors_learn
from henderson.columns import NumpyColumn
from henderson.errors_predict import PredictionWarning
from henderson.fitting import lmer
from henderson.learn.inputs import (
    ColumnsTable,
    any_array,
    check_features,
    check_weights,
    frame_names,
    is_frame,
    positions,
    read_columns,
    require_complete,
)
from henderson.learn.least_squares import LeastSquares, least_squares
from henderson.learn.model_text import (
    columns_of_group,
    estimator_formula,
    group_columns,
    response_name,
    stated_groups,
)
from henderson.learn.routed_groups import RoutedGroups, routed_groups, warn_of_types
from henderson.predict import NEW_GROUPS
from henderson.prediction_rows import mean, new_levels, prediction_rows
from henderson.random_selection import select

if TYPE_CHECKING:
    from henderson.formula import Formula
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]

COMPLETE = "impute it in a pipeline, or leave out the row"
LABELLED = "give such rows a label of their own, or leave them out"


class LinearMixedRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A linear mixed model as a scikit-learn regressor.

    Groups are columns of X, named in `formula`, `random_effects` or `groups`, or an array passed as
    ``fit(X, y, groups=g)`` and ``predict(X, groups=g)``, called ``groups`` in formulas, or by the name that it has and
    the formula uses. Without groups the fit is ordinary least squares, weighted by `sample_weight`.

    Parameters
    ----------
    formula
        In lme4's language, such as ``"y ~ x + (x | school)"`` or, as y is passed to `fit`, ``"~ x + (x | school)"``.
        None: the other arguments say what the groups are, and all other columns of X are fixed effects.
    random_effects
        Random terms, such as ``"(1 + x | school) + (1 | year)"``.
    groups
        Columns of X, by name or position, each with a random intercept: short for ``"(1 | name)"`` of each.
    reml
        Restricted maximum likelihood; False for maximum likelihood.
    contrasts
        Coding of categorical columns, by name.
    new_groups
        What `predict` does with groups that the fit has not seen: "population" predicts the mean of all groups,
        "error" refuses, "nan" gives NaN.
    max_evaluations, tolerance, threads
        As in `henderson.lmer`.
    progress
        Show a line on stderr while fitting.

    Attributes
    ----------
    fit_
        The fitted `LinearMixedModel`; None without groups.
    coef_, intercept_
        Fixed effects per column of X, (n_features,), zero for groups; only without `formula` and where all columns
        that are not groups are numbers.
    n_features_in_, feature_names_in_
        Number of columns of X, and their names if all are text.

    Notes
    -----
    `sample_weight` are precision weights: row i has residual variance sigma² / sample_weight[i]. They are not
    repetitions of rows, which would add observations to the group. A weight of zero leaves out the row.

    Columns of X without names are called x0, x1, ...

    Examples
    --------
    >>> import henderson as hd
    >>> from henderson.learn import LinearMixedRegressor
    >>> sleep = hd.datasets.load_sleepstudy()
    >>> X, y = sleep[["Days", "Subject"]], sleep["Reaction"]
    >>> model = LinearMixedRegressor(random_effects="(Days | Subject)").fit(X, y)
    >>> model.coef_.round(2).tolist(), round(model.intercept_, 2)
    ([10.47, 0.0], 251.41)
    >>> model.predict(X.head(2)).round(1).tolist()
    [253.7, 273.3]
    >>> round(model.fit_.sigma, 2)
    25.59
    """

    def __init__(
        self,
        formula: str | None = None,
        *,
        random_effects: str | None = None,
        groups: Any = None,
        reml: bool = True,
        contrasts: Mapping[str, Any] | None = None,
        new_groups: str = "population",
        max_evaluations: int = 200,
        tolerance: float = 1e-10,
        threads: int = 0,
        progress: bool = False,
    ) -> None:
        self.formula = formula
        self.random_effects = random_effects
        self.groups = groups
        self.reml = reml
        self.contrasts = contrasts
        self.new_groups = new_groups
        self.max_evaluations = max_evaluations
        self.tolerance = tolerance
        self.threads = threads
        self.progress = progress

    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, *, groups: Any = None
    ) -> LinearMixedRegressor:
        """Fit the model.

        Parameters
        ----------
        X
            A pandas, polars or pyarrow table or an array, (n, columns). Text columns are categories.
        y
            (n,) numbers.
        sample_weight
            (n,) precision weights.
        groups
            (n,) labels; of several columns each has a random intercept. In formulas they have their own names if these
            are used, or the names of grouping columns that X lacks; otherwise groups, or groups_0, groups_1, ...

        Returns
        -------
        LinearMixedRegressor
            This estimator.

        Raises
        ------
        DataError
            The columns are not those that the arguments name, values are missing, or no model can be fitted.
        """
        if self.new_groups not in NEW_GROUPS:
            raise errors.choice("new_groups", self.new_groups, NEW_GROUPS)
        if not self._has_groups and groups is None:
            return self._fit_least_squares(X, y, sample_weight)
        X = self._readable(X, least_rows=2)
        check_features(self, X, reset=True)
        table = read_columns(X)
        response = _numeric_response(y)
        check_consistent_length(X, response)
        routed = routed_groups(groups, stated_groups(self.formula, self.random_effects), table.names, table.n_rows)
        names = frame_names(X)
        chosen = [] if self.groups is None else positions("groups", self.groups, names, self.n_features_in_)
        if self.groups is not None and not chosen:
            raise errors_learn.features_invalid("groups", self.groups)
        if chosen and routed.names:
            raise errors_learn.groups_twice()
        own = [table.names[i] for i in chosen]
        formula = estimator_formula(self.formula, self.random_effects, own, routed.names, table.names)
        self._names, self._routed = table.names, routed
        added = routed.columns(groups, table.n_rows) if routed.names else {}
        everything = table.with_columns(added | {response_name(formula): NumpyColumn("y", response)})
        _require_values(everything, formula)
        weights = None if sample_weight is None else check_weights(sample_weight, table.n_rows)
        self.fit_: LinearMixedModel | None = lmer(
            formula.text,
            everything,
            reml=self.reml,
            weights=weights,
            contrasts=self.contrasts,
            max_evaluations=self.max_evaluations,
            tolerance=self.tolerance,
            threads=self.threads,
            progress=self.progress,
        )
        self._least_squares: LeastSquares | None = None
        self._set_coefficients(everything, formula)
        return self

    def predict(self, X: Any, groups: Any = None, return_std: bool = False) -> Any:
        """Predict the mean of rows, with the effects of the groups that the fit has seen.

        Parameters
        ----------
        X
            Columns as in `fit`.
        groups
            Of these rows, where `fit` was passed groups; columns of a table are found by name. None: the mean of all
            groups.
        return_std
            Give standard errors of the means too. They are exact for given variances, as ``fit.predict(X,
            std_error=True)``: those of unseen groups have the variance between groups in them.

        Returns
        -------
        ndarray or tuple of ndarray
            (n,) means; with `return_std` also (n,) standard errors.

        Raises
        ------
        DataError
            Columns differ from those of the fit, or values are missing.
        """
        check_is_fitted(self)
        if self.fit_ is None:
            if groups is not None:
                raise errors_learn.groups_unfitted()
            assert self._least_squares is not None
            x = check_array(X, dtype=np.float64, estimator=self)
            check_features(self, X, reset=False)
            mean_of_rows = self._least_squares.predict(x)
            return (mean_of_rows, self._least_squares.std_error(x)) if return_std else mean_of_rows
        return _predict(self.fit_, self._new_rows(X, groups), self._selected(groups), self.new_groups, return_std)

    def score(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, *, groups: Any = None) -> float:
        """R² of predictions, as of all regressors of scikit-learn."""
        return float(r2_score(y, self.predict(X, groups=groups), sample_weight=sample_weight))

    @property
    def _has_groups(self) -> bool:
        return any(argument is not None for argument in (self.formula, self.random_effects, self.groups))

    def _fit_least_squares(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None) -> LinearMixedRegressor:
        check_features(self, X, reset=True)
        if is_frame(X):
            _require_numbers(read_columns(X))
        x, response = check_X_y(X, y, dtype=np.float64, y_numeric=True, estimator=self)
        weights = None if sample_weight is None else check_weights(sample_weight, len(response))
        self.fit_ = None
        self._names, self._routed = [], RoutedGroups()
        self._least_squares = least_squares(x, np.asarray(response, dtype=np.float64), weights)
        self.coef_, self.intercept_ = self._least_squares.coef, self._least_squares.intercept
        return self

    def _set_coefficients(self, table: ColumnsTable, formula: Formula) -> None:
        """`coef_` and `intercept_`, where each column of X has one coefficient or none."""
        for name in ("coef_", "intercept_"):
            self.__dict__.pop(name, None)
        assert self.fit_ is not None
        grouping = group_columns(formula)
        fixed = [i for i, name in enumerate(self._names) if name not in {*grouping, response_name(formula)}]
        columns = [table.column(self._names[i]) for i in fixed]
        if self.formula is not None or any(column is None or column.kind != "number" for column in columns):
            return
        beta = np.zeros(len(fixed) + 1)
        beta[self.fit_.kept] = self.fit_.solution.beta
        self.coef_, self.intercept_ = np.zeros(len(self._names)), float(beta[0])
        self.coef_[fixed] = beta[1:]

    def _readable(self, X: Any, least_rows: int = 1) -> Any:
        """X as a table or an array, of numbers if groups are not among its columns."""
        if is_frame(X):
            return X
        if self._has_groups:
            return any_array(X)
        return check_array(X, dtype=np.float64, estimator=self, ensure_min_samples=least_rows)

    def _new_rows(self, X: Any, groups: Any) -> ColumnsTable:
        X = self._readable(X)
        check_features(self, X, reset=False)
        table = read_columns(X, self._names)
        if groups is not None and not self._routed.names:
            raise errors_learn.groups_unfitted()
        assert self.fit_ is not None
        everything = table if groups is None else table.with_columns(self._routed.columns(groups, table.n_rows))
        _require_values(everything, self.fit_.design.formula)
        return everything

    def _selected(self, groups: Any) -> Any:
        """The random effects that take part: without groups, those that do not need them."""
        assert self.fit_ is not None
        if groups is not None or not self._routed.names:
            return "all"
        parts = self.fit_.design.formula.random_terms
        return [part.grouping.label for part in parts if not set(columns_of_group(part)) & set(self._routed.names)]

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn, from 1.6 on, that X may have text columns."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.categorical = self._has_groups
        return tags

    def _more_tags(self) -> dict[str, Any]:
        """Tell scikit-learn 1.4 and 1.5 the same."""
        return {"X_types": ["2darray", "string", "categorical"] if self._has_groups else ["2darray"]}


def _predict(model: LinearMixedModel, rows: ColumnsTable, chosen: Any, new_groups: str, return_std: bool) -> Any:
    """Means of new rows, (n,), and their standard errors; dropped columns of X count as zero."""
    found = prediction_rows(model, rows, select(model.design, chosen), of_observations=False)
    estimate = mean(model, found)
    is_new, _ = new_levels(model, found, new_groups)
    if is_new is not None and new_groups == "nan":
        estimate[is_new] = np.nan
    if is_new is not None:
        warn_of_types(model.design.factors, found.source.unseen)
    if not return_std:
        return estimate
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PredictionWarning)
        table: Any = model.predict(rows, re=chosen, new_groups=new_groups, std_error=True)
    return estimate, table["std_error"].to_numpy()


def _numeric_response(y: Any) -> Vector:
    if y is None:
        raise errors_learn.target_missing("LinearMixedRegressor")
    values = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
    return np.ascontiguousarray(column_or_1d(values, warn=True))


def _require_numbers(table: ColumnsTable) -> None:
    """Refuse categories, also those that look like numbers."""
    for name in table.names:
        column = table.column(name)
        assert column is not None
        column.numbers("there are no groups, so that the fit is least squares")


def _require_values(table: ColumnsTable, formula: Formula) -> None:
    """Refuse missing values in the columns that the model uses: scikit-learn's pipelines impute them."""
    used = set(table.names) if formula.has_dot else {name.name for name in formula.columns()} - {response_name(formula)}
    grouping = group_columns(formula)
    names = [name for name in table.names if name in used]
    require_complete(table, [name for name in names if name not in grouping], "Input X contains NaN: '{}'", COMPLETE)
    require_complete(table, [name for name in names if name in grouping], "The grouping column '{}'", LABELLED)
