"""The learner of the fixed part: any regressor, fitted again and again, and what it says about its own rows."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.base import clone, is_classifier
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state

from henderson import errors_forests
from henderson.learn.inputs import frame_names, is_frame, read_columns

Vector = NDArray[np.float64]
TREES = 300
"""Of the forest that is used where no regressor is given."""


class Learner:
    """A regressor to be fitted to one response after the other, always from the same seed.

    Parameters
    ----------
    regressor
        With fit and predict; None for a random forest.
    out_of_bag
        Use predictions of the trees that did not see a row, where the regressor has them.
    random_state
        For the parameters ``random_state`` of the regressor and its parts that are None.
    """

    def __init__(self, regressor: Any, *, out_of_bag: bool, random_state: Any) -> None:
        regressor = _or_forest(regressor)
        if not _is_regressor(regressor):
            raise errors_forests.regressor_type(regressor)
        self._model = clone(regressor)
        parameters = self._model.get_params()
        seed = int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
        chosen: dict[str, Any] = {
            name: seed
            for name, value in parameters.items()
            if (name == "random_state" or name.endswith("__random_state")) and value is None
        }
        last = self._last_name = _last_name(self._model)
        self._has_out_of_bag = out_of_bag and bool(parameters.get(f"{last}bootstrap"))
        if self._has_out_of_bag and parameters.get(f"{last}oob_score") is False:
            chosen[f"{last}oob_score"] = True
        self._model.set_params(**chosen)
        self._with_out_of_bag = out_of_bag

    def fit(self, X: Any, y: Vector, weights: Vector | None = None) -> tuple[Any, Vector]:
        """Fit a new copy; give it and its predictions of the same rows, shape (n,)."""
        model = clone(self._model)
        given = {}
        if weights is not None:
            if not _accepts_weights(_last_step(model)):
                raise errors_forests.weights_refused(type(_last_step(model)).__name__)
            given[f"{self._last_name}sample_weight"] = weights
        with warnings.catch_warnings(), config_context(enable_metadata_routing=False):
            warnings.filterwarnings("ignore", "Some inputs do not have OOB scores")
            try:
                model.fit(X, y, **given)
            except (TypeError, ValueError) as problem:
                texts = _not_numbers(X)
                if not texts or isinstance(model, Pipeline):
                    raise
                raise errors_forests.learner_text(type(model).__name__, texts, problem) from problem
        found = getattr(_last_step(model), "oob_prediction_", None) if self._with_out_of_bag else None
        if found is None:
            return model, predicted(model, X, len(y))
        own = np.array(found, dtype=np.float64).reshape(-1)
        never = np.isnan(own) | (own == 0.0)  # rows that every tree has seen
        if never.any():
            own[never] = predicted(model, X, len(y))[never]
        return model, own


def predicted(model: Any, X: Any, n: int) -> Vector:
    """Predictions, checked."""
    values = np.asarray(model.predict(X), dtype=np.float64)
    if values.shape == (n, 1):
        values = values[:, 0]
    if values.shape != (n,) or not np.isfinite(values).all():
        raise errors_forests.prediction_invalid(type(model).__name__, values.shape, n)
    return values


def basis_of(model: Any, X: Any) -> list[Vector | None]:
    """The columns of a least-squares regression, behind the transformers of a pipeline; otherwise a column of ones."""
    last = _last_step(model)
    if type(last) is not LinearRegression or last.positive:
        return [None]
    matrix = model[:-1].transform(X) if isinstance(model, Pipeline) and len(model) > 1 else X
    matrix = np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix, dtype=np.float64)
    columns: list[Vector | None] = [np.ascontiguousarray(column) for column in matrix.T]
    return [None, *columns] if last.fit_intercept else columns


def select_columns(X: Any, keep: list[int]) -> Any:
    """Some columns of a table or an array, in the form that regressors take."""
    names = frame_names(X)
    if hasattr(X, "iloc"):
        return X.iloc[:, keep]
    if names is None:
        return X[:, keep]
    chosen = X.select([names[k] for k in keep])
    return chosen.to_pandas() if hasattr(X, "column_names") else chosen


def accepts_missing(regressor: Any) -> bool:
    """Whether a regressor says that X may have missing values."""
    regressor = _or_forest(regressor)
    has_tags = hasattr(regressor, "__sklearn_tags__") and not isinstance(regressor, type)
    return has_tags and bool(regressor.__sklearn_tags__().input_tags.allow_nan)


def _or_forest(regressor: Any) -> Any:
    return RandomForestRegressor(n_estimators=TREES) if regressor is None else regressor


def _is_regressor(value: Any) -> bool:
    """Whether it learns and predicts numbers; some can say so only on their class before they are fitted."""
    if isinstance(value, type) or not hasattr(value, "fit") or is_classifier(value):
        return False
    return hasattr(value, "predict") or hasattr(type(value), "predict")


def _accepts_weights(regressor: Any) -> bool:
    """Whether fit has a sample_weight, or passes on what it is given."""
    parameters = inspect.signature(regressor.fit).parameters
    return "sample_weight" in parameters or any(each.kind is each.VAR_KEYWORD for each in parameters.values())


def _not_numbers(X: Any) -> list[str]:
    """Names of the columns of a table that are not numbers."""
    if not is_frame(X):
        return []
    table = read_columns(X)
    columns = ((name, table.column(name)) for name in table.names)
    return [name for name, column in columns if column is not None and column.kind not in ("number", "boolean")]


def _last_step(model: Any) -> Any:
    """The regressor at the end of pipelines."""
    return _last_step(model.steps[-1][1]) if isinstance(model, Pipeline) else model


def _last_name(model: Any) -> str:
    """What its parameters begin with."""
    return f"{model.steps[-1][0]}__{_last_name(model.steps[-1][1])}" if isinstance(model, Pipeline) else ""
