"""Averages over chunks: values, intervals, predictions, and how they print."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors_chunks
from henderson.chunks.estimates import FIXED, STATISTIC, VARIANCE, Parameter
from henderson.formatting import WIDTH, coefficient_cells, format_column, matrix, right_align
from henderson.inference.distributions import check_level, limit_names, t_quantile

if TYPE_CHECKING:
    import pandas as pd

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
ENOUGH_CHUNKS, ENOUGH_GROUPS = 5, 30


@dataclass(frozen=True, eq=False, repr=False)
class ChunkedFit:
    """Estimates averaged over random chunks of groups, as `henderson.chunked_fit` gives them.

    It prints as a table. Standard errors are those of a mean of independent estimates: the standard deviation over
    chunks, divided by the root of their number r.

    Attributes
    ----------
    call
        What was fitted.
    by
        The factor whose groups were dealt out to chunks.
    parameters
        What was estimated, k parameters.
    values
        Estimates of each chunk, shape (r, k).
    chunk_variances
        Squared standard errors as the fit of each chunk gives them, shape (r, k); NaN where it gives none.
    nobs, n_groups
        Rows and groups of each chunk, shape (r,).
    is_singular, has_converged
        Of the fit of each chunk, shape (r,).
    fits
        The fits of the chunks; empty unless they were kept.
    """

    call: str
    by: str
    parameters: tuple[Parameter, ...]
    values: Matrix
    chunk_variances: Matrix
    nobs: NDArray[np.int64]
    n_groups: NDArray[np.int64]
    is_singular: NDArray[np.bool_]
    has_converged: NDArray[np.bool_]
    fits: tuple[Any, ...] = field(default=())

    @property
    def n_chunks(self) -> int:
        """Number of chunks."""
        return len(self.values)

    @property
    def estimate(self) -> Vector:
        """Means over chunks, shape (k,)."""
        return np.asarray(self.values.mean(axis=0))

    @cached_property
    def covariance(self) -> Matrix:
        """Covariance matrix of the means, shape (k, k), of rank r - 1 at most: that over chunks, divided by r."""
        centred = self.values - self.estimate
        return np.asarray(centred.T @ centred / (self.n_chunks - 1) / self.n_chunks)

    @property
    def std_error(self) -> Vector:
        """Standard errors of the means, shape (k,)."""
        return np.asarray(np.sqrt(np.diag(self.covariance)))

    @property
    def model_std_error(self) -> Vector:
        """Standard errors by those that the fits of the chunks give, shape (k,); NaN where they give none."""
        return np.asarray(np.sqrt(self.chunk_variances.mean(axis=0) / self.n_chunks))

    @property
    def fixef(self) -> pd.Series[float]:
        """Fixed effects, averaged."""
        import pandas as pd

        chosen = self._rows(FIXED)
        return pd.Series(self.estimate[chosen], index=[self.parameters[k].term for k in chosen], name="fixef")

    def to_frame(self, level: float = 0.95) -> pd.DataFrame:
        """One row per parameter: effect, group, term, estimate, std_error, model_std_error, df, conf_low, conf_high.

        Parameters
        ----------
        level
            Of the confidence intervals, which are Student's with r - 1 degrees of freedom.
        """
        import pandas as pd

        check_level(level)
        df = np.full(len(self.parameters), float(self.n_chunks - 1))
        reach = t_quantile(level, df) * self.std_error
        columns = {
            "effect": [parameter.effect for parameter in self.parameters],
            "group": pd.Series([parameter.group or None for parameter in self.parameters], dtype=object),
            "term": [parameter.term for parameter in self.parameters],
        }
        numbers = {
            "estimate": self.estimate,
            "std_error": self.std_error,
            "model_std_error": self.model_std_error,
            "df": df,
            "conf_low": self.estimate - reach,
            "conf_high": self.estimate + reach,
        }
        return pd.DataFrame(columns | numbers)

    def confint(self, level: float = 0.95) -> pd.DataFrame:
        """Confidence intervals of the fixed effects or statistics, columns named by their percentages."""
        table = self.to_frame(level)
        chosen = table[table["effect"] != VARIANCE].set_index("term")[["conf_low", "conf_high"]]
        return chosen.set_axis(limit_names(level), axis=1).rename_axis(None)

    def by_chunk(self) -> pd.DataFrame:
        """One row per chunk and parameter: chunk, nobs, n_groups, effect, group, term, estimate."""
        import pandas as pd

        k, r = len(self.parameters), self.n_chunks
        names = [list(column) for column in zip(*((p.effect, p.group, p.term) for p in self.parameters), strict=True)]
        table = {"chunk": np.repeat(np.arange(1, r + 1), k), "nobs": np.repeat(self.nobs, k)}
        table |= {"n_groups": np.repeat(self.n_groups, k)}
        labels = dict(zip(("effect", "group", "term"), (column * r for column in names), strict=True))
        return pd.DataFrame(table | labels | {"estimate": self.values.ravel()})

    def predict(self, newdata: Any, *, std_error: bool = False) -> Any:
        """Predict the mean of new groups: the average of the predictions of the chunks' fits.

        Parameters
        ----------
        newdata
            As the fits take it.
        std_error
            Give a table with estimate and std_error, from the spread of the predictions.

        Raises
        ------
        DataError
            The fits were not kept.
        """
        import pandas as pd

        if not self.fits:
            raise errors_chunks.not_averaged()
        if not hasattr(self.fits[0], "predict"):
            raise errors_chunks.no_predictions(self.fits[0])
        every = np.array([_population(fit, newdata) for fit in self.fits])
        index = getattr(newdata, "index", None)
        mean = pd.Series(every.mean(axis=0), index=index, name="estimate")
        if not std_error:
            return mean
        spread = every.std(axis=0, ddof=1) / np.sqrt(len(every))
        return pd.DataFrame({"estimate": mean, "std_error": pd.Series(spread, index=index)})

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader should know."""
        found = []
        singular, failed = int(self.is_singular.sum()), int((~self.has_converged).sum())
        if self.n_groups.min() < ENOUGH_GROUPS:
            found.append(errors_chunks.few_groups_note(int(self.n_groups.min())))
        if self.n_chunks < ENOUGH_CHUNKS:
            found.append(errors_chunks.few_chunks_note(self.n_chunks))
        if singular:
            found.append(errors_chunks.singular_note(singular, self.n_chunks))
        if failed:
            found.append(errors_chunks.not_converged_note(failed, self.n_chunks))
        return tuple(found)

    def _rows(self, effect: str) -> list[int]:
        return [k for k, parameter in enumerate(self.parameters) if parameter.effect == effect]

    def _heading(self) -> list[str]:
        low, high = int(self.n_groups.min()), int(self.n_groups.max())
        size = f"{low}" if low == high else f"{low} to {high}"
        return [
            f"Averages of fits to {self.n_chunks} random chunks of groups",
            self.call,
            f"Number of obs: {int(self.nobs.sum())}, groups: {self.by}, {int(self.n_groups.sum())} ({size} in a chunk)",
        ]

    def _variance_columns(self, chosen: list[int]) -> tuple[list[str], list[list[str]]]:
        groups = [self.parameters[k].group for k in chosen]
        shown = [group if k == 0 or groups[k - 1] != group else "" for k, group in enumerate(groups)]
        terms = [_term(self.parameters[k]) for k in chosen]
        numbers = [format_column(values[chosen].tolist(), 4) for values in (self.estimate, self.std_error)]
        cells = [right_align([title, *own])[1:] for title, own in zip(("Variance", "Std. Error"), numbers, strict=True)]
        return ["Groups", "Name", "Variance", "Std. Error"], [shown, terms, *cells]

    def _table(self, chosen: list[int]) -> tuple[list[str], list[str], list[list[str]]]:
        estimate, spread = self.estimate[chosen], self.std_error[chosen]
        model = self.model_std_error[chosen]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = estimate / spread
        columns = [estimate, spread, *([model] if np.isfinite(model).any() else []), ratio]
        header = ["Estimate", "Std. Error", *(["Model SE"] if np.isfinite(model).any() else []), "t value"]
        return [self.parameters[k].term for k in chosen], header, coefficient_cells([c.tolist() for c in columns])

    def __str__(self) -> str:
        lines = self._heading()
        variances = self._rows(VARIANCE)
        if variances:
            header, columns = self._variance_columns(variances)
            lines += ["", "Random effects:", *matrix([""] * len(variances), header, columns, left=True)]
        for effect, title in ((FIXED, "Fixed effects:"), (STATISTIC, "Statistics:")):
            if chosen := self._rows(effect):
                lines += ["", title, *matrix(*self._table(chosen))]
        for note in self.notes:
            lines += ["", *textwrap.wrap(note, WIDTH)]
        return "\n".join(line.rstrip() for line in lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from henderson.markup import table_html

        parts = [f"<p>{'<br>'.join(map(escape, self._heading()))}</p>"]
        variances = self._rows(VARIANCE)
        if variances:
            header, columns = self._variance_columns(variances)
            parts.append(table_html("Random effects", header, list(zip(*columns, strict=True))))
        for effect, title in ((FIXED, "Fixed effects"), (STATISTIC, "Statistics")):
            if chosen := self._rows(effect):
                names, header, columns = self._table(chosen)
                parts.append(table_html(title, ["", *header], list(zip(names, *columns, strict=True))))
        parts += [f"<p>{escape(note)}</p>" for note in self.notes]
        return "<div class='henderson'>" + "\n".join(parts) + "</div>"


def _term(parameter: Parameter) -> str:
    """``(Intercept)`` of a variance, ``(Intercept), x`` of a covariance, nothing of the residual variance."""
    kind, _, name = parameter.term.partition("__")
    return {"var": "" if name == "Observation" else name, "cov": name.replace(".", ", ")}[kind]


def _population(fit: Any, newdata: Any) -> Vector:
    """Predictions without random effects."""
    model = getattr(fit, "fit_", None)  # the model inside a scikit-learn estimator
    has_groups = model is not None or hasattr(fit, "fixef") or hasattr(fit, "varcorr_")
    options: dict[str, Any] = {"re": None} if has_groups else {}
    return np.asarray((model or fit).predict(newdata, **options), dtype=np.float64)
