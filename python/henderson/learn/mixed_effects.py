"""Any regressor with random effects: mixed-effects random forests, mixed-effects boosting, and the like."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.validation import check_is_fitted

from henderson import errors, errors_fit, errors_forests, errors_learn
from henderson.design import DesignMatrices, build_design
from henderson.learn.fitted_effects import MISSING, FittedEffects
from henderson.learn.inputs import (
    any_array,
    check_features,
    check_weights,
    column_names,
    is_frame,
    positions,
    read_columns,
    require_complete,
    take_rows,
)
from henderson.learn.learner import Learner, accepts_missing, basis_of, predicted, select_columns
from henderson.learn.model_text import group_columns
from henderson.learn.random_columns import Layout, layout, parse_random_effects, with_groups
from henderson.learn.random_steps import METHODS, RandomState, RandomSteps
from henderson.progress import StepLine
from henderson.varcorr import VarCorr

if TYPE_CHECKING:
    import pandas as pd

Vector = NDArray[np.float64]
CRITERIA = ("deviance", "gll")


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
        Stop when the criterion changes by less than this for each 100 rows. EM steps are small: with "em" a tol of 1e-4
        is as close to the end.
    criterion
        "deviance" of the residuals (-2 log-likelihood, random effects integrated out), or "gll", the generalized
        log-likelihood of Hajjem et al., in whose place the deviance is taken where a variance of zero makes it -inf.
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
        The criterion still changes after `max_iter` iterations.
    PredictionWarning
        A group is new only because its label has another type than in `fit`.

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

    `sample_weight` are precision weights w: row i has residual variance sigma² / w_i. The learner is fitted with them
    too; a weight of zero leaves out the row.

    -2 log N(r; 0, V) = gll + log|Z'Z / sigma² + Cov(b)⁻¹| + constants. The left side is the better stopping rule: gll
    alone tends to -infinity as a variance vanishes.

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
    _effects: FittedEffects | None

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
        criterion: str = "deviance",
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
        self.criterion = criterion
        self.callback = callback
        self.progress = progress
        self.random_state = random_state
        self.threads = threads

    def fit(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None, *, groups: Any = None, Z: Any = None
    ) -> MixedEffectsRegressor:
        """Fit the learner and the random effects.

        Parameters
        ----------
        X
            Table or array, n rows.
        y
            Response, shape (n,).
        sample_weight
            Precision weights, shape (n,).
        groups
            Labels of the groups, shape (n,), or a column for each grouping factor. They have their own names if the
            formula uses these, or the names of grouping columns that X lacks; otherwise groups, or groups_0, ...
        Z
            Without `random_effects`: columns with an effect for each group, shape (n, effects); a column of ones is an
            intercept.
        """
        self._check_parameters()
        if y is None:
            raise errors_learn.target_missing("MixedEffectsRegressor")
        response = _numbers(column_or_1d(y, warn=True))
        X = X if is_frame(X) else any_array(X)
        check_consistent_length(X, response)
        check_features(self, X, reset=True)
        if not np.isfinite(response).all():
            row = int(np.argmin(np.isfinite(response)))
            raise errors_forests.response_not_finite(row, float(response[row]))
        weights = None if sample_weight is None else check_weights(sample_weight, len(response))
        self._names = column_names(X)
        self._layout = layout(self.random_effects, self._names, groups, Z, len(response))
        self._columns = self._learned_columns(self._names)
        learner = Learner(self.fixed_effects_model, out_of_bag=self.out_of_bag, random_state=self.random_state)
        if self._layout is None:
            self._effects, self.sigma_, self.converged_ = None, np.nan, True
            self.fixed_effects_model_, _ = learner.fit(self._features(X), response, weights)
            self._keep([])
            return self
        if len(response) < 2:
            raise errors_forests.one_row()
        table = with_groups(read_columns(X), self._layout, groups, Z)
        used = [name.name for name in parse_random_effects(self._layout.text).columns()]
        require_complete(table, [name for name in used if table.column(name) is not None], "Column '{}'", MISSING)
        design = build_design(_formula(self._layout), table, weights=weights, na_action="fail", needs_response=False)
        learned = self._features(X)
        if design.rows is not None:
            learned, response = take_rows(learned, design.rows), response[design.rows]
        self._alternate(learner, learned, response, design)
        return self

    def predict(self, X: Any, groups: Any = None, *, Z: Any = None, re: str | None = "all") -> Vector:
        """Predict f(x) + Zb, with b = 0 for groups that the model was not fitted to, shape (n,).

        Parameters
        ----------
        X
            Table or array.
        groups, Z
            As in `fit`. If groups were passed to `fit` and none are here, all rows are of unknown groups; groups that
            are columns of X take part.
        re
            "all" random effects, or None for f(x) alone.
        """
        check_is_fitted(self)
        if re not in ("all", None):
            raise errors_forests.re_invalid(re)
        X = X if is_frame(X) else any_array(X)
        check_features(self, X, reset=False)
        result = predicted(self.fixed_effects_model_, self._features(X), X.shape[0])
        if groups is not None and (self._layout is None or not self._layout.groups.names):
            raise errors_learn.groups_unfitted()
        if self._layout is None or self._effects is None or re is None:
            return result
        absent = () if groups is not None else self._layout.groups.names
        if self._layout.effects and Z is None and not absent:
            raise errors_forests.z_needed(len(self._layout.effects))
        table = with_groups(read_columns(X, self._names), self._layout, groups, Z)
        result += self._effects.at(table, absent)
        return result

    def score(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None, *, groups: Any = None, Z: Any = None
    ) -> float:
        """R² of predictions, as of all regressors of scikit-learn."""
        return float(r2_score(y, self.predict(X, groups, Z=Z), sample_weight=sample_weight))

    def _alternate(self, learner: Learner, X: Any, y: Vector, design: DesignMatrices) -> None:
        """Fit the learner to y - Zb and the random effects to y - f in turn."""
        steps: RandomSteps | None = None
        state: RandomState | None = None
        history: list[tuple[float, float, float]] = []
        effects, value, change, has_stopped = np.zeros(len(y)), np.inf, np.inf, False
        limit = self.tol * len(y) / 100
        line = StepLine("iteration", self.max_iter) if self.progress else None
        try:
            while len(history) < self.max_iter and change >= limit and not has_stopped:
                model, mean = learner.fit(X, y - effects, design.weights)
                residuals = y - mean
                if np.std(residuals) <= 1e-10 * np.std(y):
                    raise errors_forests.no_residuals(type(model).__name__)
                if steps is None:
                    steps = RandomSteps(design, self._basis(model, X, len(y)), self.method, residuals, self.threads)
                state = steps.step(residuals, state)
                effects = steps.fitted(state.b)
                last, value = value, state.deviance
                if self.criterion == "gll" and np.isfinite(state.gll):
                    value = state.gll
                change = abs(value - last)
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
            warnings.warn(errors_forests.not_settled(len(history), self.criterion, change, limit), stacklevel=3)
        self.fixed_effects_model_, self.sigma_ = model, state.sigma
        self._effects = FittedEffects(design, state.covariances, state.b).without_rows()
        self._keep(history)

    def _basis(self, model: Any, X: Any, n: int) -> list[Vector | None]:
        if self.basis is None:
            return basis_of(model, X)
        given = self.basis(X)
        try:
            matrix = np.asarray(given, dtype=np.float64)
        except (TypeError, ValueError) as problem:
            raise errors_forests.basis_values(problem) from None
        if matrix.ndim != 2 or len(matrix) != n or not np.isfinite(matrix).all():
            raise errors_forests.basis_shape(matrix.shape, n)
        return [np.ascontiguousarray(column) for column in matrix.T]

    def _learned_columns(self, known: list[str]) -> list[int]:
        """Positions of the columns of X that the learner sees."""
        if self.features is not None:
            named = known if hasattr(self, "feature_names_in_") else None
            columns = positions("features", self.features, named, len(known))
        else:
            used = [] if self.random_effects is None else group_columns(parse_random_effects(self.random_effects))
            columns = [j for j, name in enumerate(known) if name not in used]
        if not columns:
            raise errors_forests.no_features()
        return columns

    def _features(self, X: Any) -> Any:
        is_all = self._columns == list(range(self.n_features_in_))
        return X if is_all and not is_frame(X) else select_columns(X, self._columns)

    def _keep(self, history: list[tuple[float, float, float]]) -> None:
        import pandas as pd

        self.n_iter_ = max(1, len(history))
        self.history_ = pd.DataFrame(history, columns=["deviance", "gll", "sigma"])
        self.history_.index = pd.RangeIndex(1, len(history) + 1, name="iteration")

    @property
    def varcorr_(self) -> VarCorr:
        """Covariance matrices of the random effects, and the residual standard deviation."""
        check_is_fitted(self)
        return VarCorr((), self.sigma_) if self._effects is None else self._effects.varcorr(self.sigma_)

    @property
    def ranef_(self) -> dict[str, pd.DataFrame]:
        """Predicted random effects: by grouping factor a table of levels and effects."""
        check_is_fitted(self)
        return {} if self._effects is None else self._effects.ranef()

    def _check_parameters(self) -> None:
        if self.random_effects is not None:
            parse_random_effects(self.random_effects)
        if self.method not in METHODS:
            raise errors.choice("method", self.method, list(METHODS))
        if self.criterion not in CRITERIA:
            raise errors.choice("criterion", self.criterion, list(CRITERIA))
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

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn, from 1.6 on, that groups may be text, and what the regressor takes."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.categorical = self.random_effects is not None
        tags.input_tags.allow_nan = accepts_missing(self.fixed_effects_model)
        return tags


def _numbers(y: Any) -> Vector:
    try:
        return np.array(y, dtype=np.float64)
    except (TypeError, ValueError) as problem:
        raise errors_fit.not_numeric("y", problem) from None


def _formula(names: Layout) -> str:
    return f"~ 1 + {names.text.partition('~')[2] or names.text}"
