"""Any regressor with random effects: mixed-effects random forests, mixed-effects boosting, and the like."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.validation import check_is_fitted

from henderson import errors, errors_fit, errors_forests
from henderson.design import DesignMatrices, build_design
from henderson.learn.inputs import (
    any_array,
    check_features,
    frame_names,
    is_frame,
    positions,
    read_columns,
    require_complete,
)
from henderson.learn.learner import Learner, basis_of, predicted, select_columns
from henderson.learn.random_columns import (
    Layout,
    all_columns,
    grouping_columns,
    layout,
    parse_random_effects,
    with_groups,
)
from henderson.learn.random_steps import METHODS, RandomState, RandomSteps
from henderson.newdata import NewTerm, design_for
from henderson.progress import StepLine
from henderson.varcorr import TermCovariance, VarCorr

if TYPE_CHECKING:
    import pandas as pd

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
MISSING = "give such rows a label or a value, or leave them out"


class MixedEffectsRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """y = f(x) + Zb + e: f any regressor, Zb random effects of groups.

    Parameters
    ----------
    fixed_effects_model
        What learns f: any regressor with fit and predict, a pipeline too. None: a random forest of 300 trees.
    random_effects
        Random terms as in `lmer`, ``"(1 + sex | litter)"``, crossed and nested ones too; of columns of X (those of an
        array are called x0, x1, ...) and of ``groups=`` of `fit`. None: an intercept, or the effects of ``Z=``, for
        each column of ``groups=``; without groups there are no random effects.
    method
        How covariances follow from the residuals y - f: "reml", "ml", or "em" for one step of the EM algorithm for each
        fit of the learner, as Hajjem et al. do.
    features
        The columns of X that the learner sees, by name or position. None: all but those that name groups.
    out_of_bag
        Take residuals from out-of-bag predictions where the regressor has them, as bagged forests do.
    basis
        For "reml" and "ml", the columns that the learner can fit exactly, as a function of X. None: the columns of a
        ``LinearRegression``, only the mean for all other regressors.
    max_iter
        Most fits of the learner.
    tol
        Stop when the deviance of the residuals (-2 log-likelihood, random effects integrated out) changes by less than
        this for each 100 rows. EM steps are small: with "em" a tol of 1e-4 is as close to the end.
    callback
        Called after each iteration as ``callback(iteration, state)``, ``state`` with deviance, gll, sigma, covariances
        and b; a true result stops.
    progress
        Show a line on stderr while fitting.
    random_state
        Seed of the regressor. Every iteration uses the same, so that they differ by the residuals only.
    threads
        Of the random-effects steps; 0 chooses.

    Attributes
    ----------
    fixed_effects_model_
        The regressor, fitted.
    varcorr_
        Covariance matrices of the random effects and the residual standard deviation; prints as lme4's ``VarCorr``.
    ranef_
        Predicted random effects (BLUPs): by grouping factor a table of levels and effects.
    sigma_
        Residual standard deviation; NaN without random effects.
    history_
        Table with a row per iteration: deviance, gll (the generalized log-likelihood of Hajjem et al.) and sigma.
    n_iter_, converged_
        Number of iterations, and whether the last one met `tol`.

    Raises
    ------
    DataError, FormulaError
        The random effects cannot be read, or the data do not fit them.

    Warns
    -----
    ConvergenceWarning
        The deviance still changes after `max_iter` iterations.

    Notes
    -----
    Two steps alternate: f is fitted to y - Zb, and covariances and b to r = y - f. With least squares for f the two
    steps meet at Henderson's equations, X'(y - Xβ - Zb) = 0 and b = BLUP of y - Xβ: whatever the covariances, β is the
    generalized least-squares estimate. The covariances are those of `lmer` if their step knows which part of r the
    learner has fitted: "reml" steps maximise the restricted likelihood of r = Bδ + Zb + e, δ integrated out. With the
    learner's own columns as the basis B this is the restricted likelihood of y itself, and the fit is lmer's, from the
    first step on. "em" and "ml" steps take f as known: with least squares they end at maximum likelihood. Regressors
    that adapt their columns to the response have no B beyond the mean; their residuals are too small unless they are
    out of bag.

    -2 log N(r; 0, V) = gll + log|Z'Z / sigma² + Cov(b)⁻¹| + constants. The stopping rule uses the left side: gll alone
    tends to -infinity as a variance vanishes.

    References
    ----------
    Hajjem, A., Bellavance, F. and Larocque, D. (2014). Mixed-effects random forest for clustered data. Journal of
    Statistical Computation and Simulation 84, 1313-1328.

    Examples
    --------
    >>> import henderson as hd
    >>> from sklearn.linear_model import LinearRegression
    >>> from henderson.learn import MixedEffectsRegressor
    >>> data = hd.datasets.load_sleepstudy()
    >>> model = MixedEffectsRegressor(LinearRegression(), "(Days | Subject)")
    >>> model = model.fit(data[["Days", "Subject"]], data["Reaction"])
    >>> model.varcorr_.to_frame()["sdcor"].round(2).tolist()  # as lmer("Reaction ~ Days + (Days | Subject)")
    [24.74, 5.92, 0.07, 25.59]
    """

    n_features_in_: int
    fixed_effects_model_: Any
    sigma_: float
    converged_: bool
    n_iter_: int
    history_: pd.DataFrame
    _layout: Layout | None
    _design: DesignMatrices | None
    _b: tuple[Matrix, ...]
    _covariances: tuple[Matrix, ...]

    def __init__(
        self,
        fixed_effects_model: Any = None,
        random_effects: str | None = None,
        *,
        method: str = "reml",
        features: Any = None,
        out_of_bag: bool = True,
        basis: Callable[[Any], ArrayLike] | None = None,
        max_iter: int = 20,
        tol: float = 1e-2,
        callback: Callable[[int, RandomState], object] | None = None,
        progress: bool = False,
        random_state: Any = None,
        threads: int = 0,
    ) -> None:
        self.fixed_effects_model = fixed_effects_model
        self.random_effects = random_effects
        self.method = method
        self.features = features
        self.out_of_bag = out_of_bag
        self.basis = basis
        self.max_iter = max_iter
        self.tol = tol
        self.callback = callback
        self.progress = progress
        self.random_state = random_state
        self.threads = threads

    def fit(self, X: Any, y: Any, *, groups: Any = None, Z: Any = None) -> MixedEffectsRegressor:
        """Fit the learner and the random effects.

        Parameters
        ----------
        X
            Table or array, n rows.
        y
            Response, shape (n,).
        groups
            Labels of the groups, shape (n,), or a column for each grouping factor.
        Z
            Without `random_effects`: columns with an effect for each group, shape (n, effects); a column of ones is an
            intercept.
        """
        self._check_parameters()
        response = _numbers(column_or_1d(y, warn=True))
        X = X if is_frame(X) else any_array(X)
        check_consistent_length(X, response)
        check_features(self, X, reset=True)
        if not np.isfinite(response).all():
            row = int(np.argmin(np.isfinite(response)))
            raise errors_forests.response_not_finite(row, float(response[row]))
        known = frame_names(X) or [f"x{j}" for j in range(self.n_features_in_)]
        self._layout = layout(self.random_effects, known, groups, Z, len(response))
        self._columns = self._learned_columns(known)
        learner = Learner(self.fixed_effects_model, out_of_bag=self.out_of_bag, random_state=self.random_state)
        if self._layout is None:
            self._design, self.sigma_, self.converged_ = None, np.nan, True
            self.fixed_effects_model_, _ = learner.fit(self._features(X), response)
            self._keep([])
            return self
        table = with_groups(read_columns(X), self._layout, groups, Z)
        used = all_columns(parse_random_effects(self._layout.text))
        require_complete(table, [name for name in used if table.column(name) is not None], "Column '{}'", MISSING)
        design = build_design(_formula(self._layout), table, na_action="fail", needs_response=False)
        self._alternate(learner, self._features(X), response, design)
        return self

    def predict(self, X: Any, *, groups: Any = None, Z: Any = None, re: str | None = "all") -> Vector:
        """Predict f(x) + Zb, with b = 0 for groups that the model was not fitted to, shape (n,).

        Parameters
        ----------
        X
            Table or array.
        groups, Z
            As in `fit`. If groups were passed to `fit` and none are here, all rows are of unknown groups.
        re
            "all" random effects, or None for f(x) alone.
        """
        check_is_fitted(self)
        if re not in ("all", None):
            raise errors_forests.re_invalid(re)
        X = X if is_frame(X) else any_array(X)
        check_features(self, X, reset=False)
        table = read_columns(X)
        result = predicted(self.fixed_effects_model_, self._features(X), table.n_rows)
        if groups is not None and (self._layout is None or not self._layout.groups):
            raise errors_forests.groups_unfitted()
        if self._layout is None or self._design is None or re is None or (self._layout.groups and groups is None):
            return result
        if self._layout.effects and Z is None:
            raise errors_forests.z_needed(len(self._layout.effects))
        rows = design_for(with_groups(table, self._layout, groups, Z), self._design)
        for t, modes in enumerate(self._b):
            result += _effects(rows.terms[t], modes)
        return result

    def _alternate(self, learner: Learner, X: Any, y: Vector, design: DesignMatrices) -> None:
        """Fit the learner to y - Zb and the random effects to y - f in turn."""
        steps: RandomSteps | None = None
        state: RandomState | None = None
        history: list[tuple[float, float, float]] = []
        effects, change, has_stopped = np.zeros(len(y)), np.inf, False
        limit = self.tol * len(y) / 100
        line = StepLine("iteration", self.max_iter) if self.progress else None
        try:
            while len(history) < self.max_iter and change >= limit and not has_stopped:
                model, mean = learner.fit(X, y - effects)
                residuals = y - mean
                if np.std(residuals) <= 1e-10 * np.std(y):
                    raise errors_forests.no_residuals(type(model).__name__)
                if steps is None:
                    steps = RandomSteps(design, self._basis(model, X, len(y)), self.method, residuals, self.threads)
                state = steps.step(residuals, state)
                effects = steps.fitted(state.b)
                change = abs(state.deviance - history[-1][0]) if history else np.inf
                history.append((state.deviance, state.gll, state.sigma))
                if line is not None:
                    line(len(history), f"deviance {state.deviance:.4f}  change {change:.1e}")
                has_stopped = self.callback is not None and bool(self.callback(len(history), state))
        finally:
            if line is not None:
                line.close()
        assert state is not None
        self.converged_ = change < limit
        if not (self.converged_ or has_stopped):
            warnings.warn(errors_forests.not_settled(len(history), change, limit), stacklevel=3)
        self.fixed_effects_model_, self.sigma_, self._b = model, state.sigma, state.b
        self._covariances, self._design = state.covariances, _without_rows(design)
        self._keep(history)

    def _basis(self, model: Any, X: Any, n: int) -> list[Vector | None]:
        if self.basis is None:
            return basis_of(model, X)
        matrix = np.asarray(self.basis(X), dtype=np.float64)
        if matrix.ndim != 2 or len(matrix) != n or not np.isfinite(matrix).all():
            raise errors_forests.basis_shape(matrix.shape, n)
        return [np.ascontiguousarray(column) for column in matrix.T]

    def _learned_columns(self, known: list[Any]) -> list[int]:
        """Positions of the columns of X that the learner sees."""
        if self.features is not None:
            named = [str(name) for name in known] if hasattr(self, "feature_names_in_") else None
            return positions("features", self.features, named, len(known))
        used = [] if self.random_effects is None else grouping_columns(parse_random_effects(self.random_effects))
        columns = [j for j, name in enumerate(known) if name not in used]
        if not columns:
            raise errors_forests.no_features()
        return columns

    def _features(self, X: Any) -> Any:
        return X if len(self._columns) == self.n_features_in_ and not is_frame(X) else select_columns(X, self._columns)

    def _keep(self, history: list[tuple[float, float, float]]) -> None:
        import pandas as pd

        self.n_iter_ = max(1, len(history))
        self.history_ = pd.DataFrame(history, columns=["deviance", "gll", "sigma"])
        self.history_.index = pd.RangeIndex(1, len(history) + 1, name="iteration")

    @property
    def varcorr_(self) -> VarCorr:
        """Covariance matrices of the random effects, and the residual standard deviation."""
        check_is_fitted(self)
        if self._design is None:
            return VarCorr((), self.sigma_)
        pairs = zip(self._design.terms, self._covariances, strict=True)
        return VarCorr(tuple(TermCovariance(term.label, term.names, own) for term, own in pairs), self.sigma_)

    @property
    def ranef_(self) -> dict[str, pd.DataFrame]:
        """Predicted random effects: by grouping factor a table of levels and effects."""
        import pandas as pd

        check_is_fitted(self)
        found: dict[str, list[pd.DataFrame]] = {}
        if self._design is not None:
            for term, modes in zip(self._design.terms, self._b, strict=True):
                factor = self._design.factors[term.factor]
                index = pd.Index(factor.labels[factor.order], name=factor.name)
                table = pd.DataFrame(modes[factor.order], index=index, columns=list(term.names))
                found.setdefault(term.group, []).append(table)
        return {group: pd.concat(tables, axis=1) for group, tables in found.items()}

    def _check_parameters(self) -> None:
        if self.random_effects is not None:
            parse_random_effects(self.random_effects)
        if self.method not in METHODS:
            raise errors.choice("method", self.method, list(METHODS))
        if not isinstance(self.out_of_bag, bool | np.bool_):
            raise errors_forests.out_of_bag_type(self.out_of_bag)
        limits: list[tuple[str, Any, Any, float, str]] = [
            ("max_iter", self.max_iter, int | np.integer, 1, "an integer >= 1"),
            ("tol", self.tol, int | float | np.integer | np.floating, 0, "a number >= 0, of deviance per 100 rows"),
            ("threads", self.threads, int | np.integer, 0, "an integer >= 0; 0 chooses"),
        ]
        for name, value, kinds, lowest, expected in limits:
            if not isinstance(value, kinds) or isinstance(value, bool) or not lowest <= value < np.inf:
                raise errors.argument_type(name, value, expected)
        for name, value in (("callback", self.callback), ("basis", self.basis)):
            if value is not None and not callable(value):
                raise errors.argument_type(name, value, "a function, or None")

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_iter_")


def _numbers(y: Any) -> Vector:
    try:
        return np.array(y, dtype=np.float64)
    except (TypeError, ValueError) as problem:
        raise errors_fit.not_numeric("y", problem) from None


def _formula(names: Layout) -> str:
    return f"~ 1 + {names.text.partition('~')[2] or names.text}"


def _effects(term: NewTerm, modes: NDArray[np.float64]) -> Vector:
    """The sum of a term's effects at new rows; zero for new and missing levels."""
    assert term.codes is not None
    padded = np.vstack([modes, np.zeros(modes.shape[1])])  # code -1: the last row
    total = np.zeros(len(term.codes))
    for k, column in enumerate(term.columns):
        own = np.ascontiguousarray(padded[:, k])[term.codes]
        total += own if column is None else np.where(term.codes < 0, 0.0, own * column)
    return total


def _without_rows(design: DesignMatrices) -> DesignMatrices:
    """What prediction needs: names, levels and transformations."""
    empty = np.zeros(0)
    none = np.zeros(0, dtype=np.int32)
    terms = tuple(replace(term, columns=tuple(empty for _ in term.columns)) for term in design.terms)
    factors = tuple(replace(factor, codes=none) for factor in design.factors)
    return replace(design, y=empty, x=[], terms=terms, factors=factors, values={}, table_index=None)
