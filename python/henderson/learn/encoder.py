"""Target encoding of categorical columns by the BLUPs of their levels."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from henderson import errors, errors_learn
from henderson.learn.encoded_columns import MISSING, UNKNOWN, encoded_column
from henderson.learn.folds import folds
from henderson.learn.inputs import (
    ColumnsTable,
    any_array,
    check_features,
    frame_names,
    is_frame,
    is_pandas,
    positions,
    raw_column,
    read_columns,
)
from henderson.learn.level_effects import LevelEffects, Vector, level_effects
from henderson.learn.steps import steps
from henderson.learn.targets import Target, read_target

HANDLINGS = ("value", "return_nan", "error")


class MixedEffectsEncoder(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Encode the levels of categorical columns by the mean of the target, shrunken as a mixed model says.

    A level with few rows is pulled towards the mean of all levels, one with many rows hardly; how far is estimated by
    REML, without a smoothing parameter to tune. `fit_transform` encodes each row by a model fitted to other rows, so
    that no row's own target leaks into its encoding.

    Parameters
    ----------
    cols
        Columns to encode, by name or position; the others pass through. None: text and categorical columns, or all
        columns if there are none. "all" for all.
    crossed
        Whether all columns are effects of one model, which tells apart what columns that go together contribute; False
        for a model per column.
    target_type
        "continuous", "binary" (two values or labels, encoded by the linear-probability model: the mean of a 0/1
        target) or "auto": binary for two values, otherwise continuous.
    add_mean
        Encode by mean of all levels plus effect, as scikit-learn's TargetEncoder; False for the effect alone, as
        ``category_encoders.GLMMEncoder``.
    handle_unknown
        Levels that the fit has not seen: "value" for an effect of zero, "return_nan" or "error".
    handle_missing
        Missing values: "value" makes them a level of their own, "return_nan" or "error".
    cv
        Folds of `fit_transform`: a number, a splitter of scikit-learn or pairs of index arrays; rows that no fold holds
        out get NaN. None: the effects of all rows, as `transform` gives them. These leak.
    shuffle
        Whether a number of folds is of shuffled rows.
    random_state
        Of the shuffling.
    return_df
        Give a pandas DataFrame; otherwise what ``set_output`` says, an array by default.
    progress
        Show a line on stderr.

    Attributes
    ----------
    encodings_
        Per encoded column the encoding of each level, (levels,).
    categories_
        Per encoded column its levels, (levels,), None for missing values.
    counts_
        Per encoded column the rows of each level, (levels,).
    intercepts_
        Mean of all levels in the model of each encoded column, which encodes new levels.
    between_variances_, within_variances_
        Variance of the effects of each encoded column, and the residual variance of its model.
    encoded_
        Positions of the encoded columns.
    target_mean_, target_type_, classes_
        Mean of the target; "continuous" or "binary"; the two classes, of which the second counts as 1, or None.
    n_features_in_, feature_names_in_
        Number of columns of X, and their names if all are text.

    Notes
    -----
    With n_j rows of level j, their mean m_j, and variances tau² between and sigma² within levels, the effect is

        lambda_j (m_j - intercept)        lambda_j = tau² / (tau² + sigma² / n_j)

    for one column. With `crossed` it is the conditional mode of the effect given all columns.

    References
    ----------
    Micci-Barreca, D. (2001). A preprocessing scheme for high-cardinality categorical attributes in classification and
    prediction problems. SIGKDD Explorations 3(1), 27-32.
    Pargent, F., Pfisterer, F., Thomas, J. and Bischl, B. (2022). Regularized target encoding outperforms traditional
    methods in supervised machine learning with high cardinality features. Computational Statistics 37, 2671-2692.

    Examples
    --------
    >>> import henderson as hd
    >>> from henderson.learn import MixedEffectsEncoder
    >>> batches = hd.datasets.load_dyestuff()
    >>> encoder = MixedEffectsEncoder().fit(batches[["Batch"]], batches["Yield"])
    >>> encoder.transform(batches[["Batch"]].iloc[::5]).ravel().round(1).tolist()
    [1509.9, 1527.9, 1556.1, 1504.4, 1584.2, 1482.5]
    >>> encoder.transform(batches[["Batch"]].head(1).assign(Batch="Z")).tolist()  # a level that is new
    [[1527.5]]
    """

    _names: list[str]

    def __init__(
        self,
        *,
        cols: Any = None,
        crossed: bool = False,
        target_type: str = "auto",
        add_mean: bool = True,
        handle_unknown: str = "value",
        handle_missing: str = "value",
        cv: Any = 5,
        shuffle: bool = True,
        random_state: Any = None,
        return_df: bool = False,
        progress: bool = False,
    ) -> None:
        self.cols = cols
        self.crossed = crossed
        self.target_type = target_type
        self.add_mean = add_mean
        self.handle_unknown = handle_unknown
        self.handle_missing = handle_missing
        self.cv = cv
        self.shuffle = shuffle
        self.random_state = random_state
        self.return_df = return_df
        self.progress = progress

    def fit(self, X: Any, y: ArrayLike) -> MixedEffectsEncoder:
        """Fit the model to all rows.

        Parameters
        ----------
        X
                A pandas, polars or pyarrow table or an array, (n, columns).
        y
            (n,) target.

        Returns
        -------
        MixedEffectsEncoder
            This encoder.

        Raises
        ------
        DataError
            The target is missing somewhere or has several classes; `cols` names columns that X lacks.
        """
        self._fit(X, y, None)
        return self

    def fit_transform(self, X: Any, y: ArrayLike, groups: Any = None) -> Any:
        """Fit the model to all rows, and encode each by a model of other rows (`cv`).

        Parameters
        ----------
        X, y
            As in `fit`.
        groups
            (n,) labels for a splitter such as ``GroupKFold`` as `cv`.

        Returns
        -------
        ndarray or DataFrame
            (n, columns), as `transform`; differs from ``fit(X, y).transform(X)`` unless `cv` is None.
        """
        table, values = self._fit(X, y, self.cv, groups)
        return self._output(X, table, values)

    def transform(self, X: Any) -> Any:
        """Encode new rows.

        Returns
        -------
        ndarray or DataFrame
            (n, columns): encoded columns in place, others as they are. Always a DataFrame if some of these are not
            numbers.

        Warns
        -----
        PredictionWarning
            A new level is one of the fit, but for its type: text in place of a number.
        """
        check_is_fitted(self)
        table = self._read(X, reset=False)
        values = [self._encoded(i, table) for i in range(len(self.encoded_))]
        return self._output(X, table, values)

    # ------------------------------------------------------------------------------------------------------------ fit

    def _fit(self, X: Any, y: Any, cv: Any, groups: Any = None) -> tuple[ColumnsTable, list[Vector]]:
        """Fit to all rows; give the encodings of the rows, cross-fitted unless `cv` is None."""
        self._check_options()
        table = self._read(X, reset=True)
        target = read_target(y, self.target_type)
        check_consistent_length(target.values, np.empty(table.n_rows))
        self.encoded_ = self._columns_to_encode(X, table)
        self._columns = [encoded_column(table, table.names[i], self.handle_missing) for i in self.encoded_]
        codes = [column.codes for column in self._columns]
        sizes = [column.size for column in self._columns]
        pairs = []
        if cv is not None:
            is_binary = target.classes is not None
            options = {"shuffle": self.shuffle, "random_state": self.random_state, "groups": groups}
            pairs = folds(cv, target.values, is_binary=is_binary, **options)
        n_models = (len(pairs) + 1) * (1 if self.crossed else len(codes))
        with steps("encoding", n_models, progress=self.progress) as step:
            fitted = level_effects(target.values, codes, sizes, crossed=self.crossed, step=step)
            self._keep(fitted, target)
            if cv is None:
                return table, [own[code] for own, code in zip(self.encodings_, codes, strict=True)]
            values = [np.full(table.n_rows, np.nan) for _ in codes]
            for train, held_out in pairs:
                some = [code[train] for code in codes]
                fitted = level_effects(target.values[train], some, sizes, crossed=self.crossed, step=step)
                for own, code, encoding in zip(values, codes, self._encodings(fitted), strict=True):
                    own[held_out] = encoding[code[held_out]]
        return table, values

    def _encodings(self, fitted: list[LevelEffects]) -> list[Vector]:
        """Encoding of each level of each column."""
        found = [own.blups + (own.intercept if self.add_mean else 0.0) for own in fitted]
        for column, encoding in zip(self._columns, found, strict=True):
            if column.has_missing and self.handle_missing == "return_nan":
                encoding[-1] = np.nan
        return found

    def _keep(self, fitted: list[LevelEffects], target: Target) -> None:
        self.encodings_ = self._encodings(fitted)
        self.categories_ = [column.labels for column in self._columns]
        self.counts_ = [np.bincount(column.codes, minlength=column.size) for column in self._columns]
        self._columns = [column.without_rows() for column in self._columns]
        self.intercepts_ = np.array([own.intercept for own in fitted])
        self.between_variances_ = np.array([own.between for own in fitted])
        self.within_variances_ = np.array([own.within for own in fitted])
        self.target_mean_ = float(target.values.mean())
        self.target_type_ = "continuous" if target.classes is None else "binary"
        self.classes_ = target.classes

    def _check_options(self) -> None:
        options = {"handle_unknown": self.handle_unknown, "handle_missing": self.handle_missing}
        for what, value in options.items():
            if value not in HANDLINGS:
                raise errors.choice(what, value, HANDLINGS)

    # ----------------------------------------------------------------------------------------------- columns in and out

    def _read(self, X: Any, *, reset: bool) -> ColumnsTable:
        X = X if is_frame(X) else any_array(X)
        check_features(self, X, reset=reset)
        table = read_columns(X, None if reset else self._names)
        if reset:
            self._names = table.names
        return table

    def _columns_to_encode(self, X: Any, table: ColumnsTable) -> list[int]:
        everything = list(range(len(table.names)))
        if isinstance(self.cols, str) and self.cols == "all" and "all" not in table.names:
            return everything
        if self.cols is not None:
            chosen = positions("cols", self.cols, frame_names(X), len(everything))
            if not chosen:
                raise errors_learn.no_columns_to_encode()
            return chosen
        columns = [table.column(name) for name in table.names]
        return [i for i, column in enumerate(columns) if column is not None and column.kind == "category"] or everything

    def _encoded(self, k: int, table: ColumnsTable) -> Vector:
        """Encodings of one column of new rows."""
        own, encoding = self._columns[k], self.encodings_[k]
        default = self.intercepts_[k] if self.add_mean else 0.0
        codes = own.find(table)
        unknown = codes == UNKNOWN
        if unknown.any():
            unseen = own.unseen(table)
            if self.handle_unknown == "error":
                raise errors_learn.unknown_levels(own.name, unseen)
            alike = own.alike(unseen)
            if alike is not None:
                warnings.warn(errors_learn.levels_alike(own.name, alike), stacklevel=4)
        missing = codes == MISSING
        if self.handle_missing == "error" and missing.any():
            raise errors_learn.missing_level(own.name, int(np.argmax(missing)))
        of_unknown = np.nan if self.handle_unknown == "return_nan" else default
        of_missing = encoding[-1] if own.has_missing else default
        if self.handle_missing == "return_nan":
            of_missing = np.nan
        return np.asarray(np.append(encoding, [of_missing, of_unknown])[codes])

    def _output(self, X: Any, table: ColumnsTable, values: list[Vector]) -> Any:
        """Encoded columns in place, the others as they are."""
        encoded = dict(zip(self.encoded_, values, strict=True))
        columns = {name: table.column(name) for i, name in enumerate(table.names) if i not in encoded}
        are_numbers = all(column is not None and column.kind in ("number", "boolean") for column in columns.values())
        if are_numbers and not self.return_df:
            numbers = [column.numbers(name) for name, column in columns.items() if column is not None]
            others = iter(numbers)
            return np.column_stack([encoded[i] if i in encoded else next(others) for i in range(len(table.names))])
        import pandas

        raw = {i: raw_column(X, i) for i in range(len(table.names))}
        frame = X.copy(deep=False) if is_pandas(X) else pandas.DataFrame(raw).set_axis(table.names, axis=1)
        for i, own in encoded.items():
            frame.isetitem(i, own)
        return frame

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn, from 1.6 on, what X and y may be."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.categorical = tags.input_tags.allow_nan = True
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _more_tags(self) -> dict[str, Any]:
        """Tell scikit-learn 1.4 and 1.5 the same."""
        return {
            "X_types": ["2darray", "string", "categorical"],
            "allow_nan": True,
            "requires_y": True,
            "preserves_dtype": [],
        }
