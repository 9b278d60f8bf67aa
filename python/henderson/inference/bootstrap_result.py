"""Bootstrap replicates, and what follows from them: bias, standard errors, intervals; a table and a file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from henderson import errors, errors_fit, errors_intervals
from henderson.formatting import format_column, matrix
from henderson.inference.bootstrap_intervals import METHODS
from henderson.inference.distributions import check_level, limit_names
from henderson.inference.parameters import FIXED, VARIANCES

if TYPE_CHECKING:
    from os import PathLike

    import pandas as pd

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

KINDS = {
    "parametric": "Parametric bootstrap",
    "residual": "Residual bootstrap",
    "cluster": "Cluster bootstrap",
}
_KEY = b"henderson"


class Accelerations(Protocol):
    """Computes the acceleration of each statistic, shape (k,), from its replicates (n, k)."""

    def __call__(self, replicates: Matrix, /) -> Vector:
        """Accelerations."""


@dataclass(frozen=True, eq=False, repr=False)
class Bootstrap:
    """Replicates of statistics of a fitted model.

    Prints a table of bias, standard error and percentile intervals.

    Attributes
    ----------
    formula
        Of the model.
    kind
        "parametric", "residual" or "cluster".
    seed
        With it and the same arguments the replicates come out the same.
    names
        What the k statistics are called.
    estimates
        Their values for the data, shape (k,).
    values
        Their replicates, shape (n, k).
    is_singular
        Replicates whose fit is singular, shape (n,).
    has_converged
        Replicates whose fit converged, shape (n,). The others are left out of everything below.
    is_fixed
        Which statistics are fixed effects of the model; None for statistics of the user's.
    """

    formula: str
    kind: str
    seed: int
    names: tuple[str, ...]
    estimates: Vector
    values: Matrix
    is_singular: NDArray[np.bool_]
    has_converged: NDArray[np.bool_]
    is_fixed: tuple[bool, ...] | None = None
    accelerations: Accelerations | Vector | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def n_singular(self) -> int:
        """Replicates with a singular fit."""
        return int(self.is_singular.sum())

    @property
    def n_failed(self) -> int:
        """Replicates that could not be fitted."""
        return int((~self.has_converged).sum())

    @cached_property
    def replicates(self) -> pd.DataFrame:
        """One row per replicate that was fitted, one column per statistic."""
        import pandas as pd

        index = pd.Index(np.flatnonzero(self.has_converged), name="replicate")
        return pd.DataFrame(self.values[self.has_converged], index=index, columns=list(self.names))

    def to_frame(self) -> pd.DataFrame:
        """Long table: replicate, parameter, value."""
        return self.replicates.melt(var_name="parameter", ignore_index=False).reset_index()

    @property
    def bias(self) -> pd.Series[float]:
        """Mean of the replicates minus the estimate."""
        return self._series(self.replicates.mean().to_numpy() - self.estimates, "bias")

    @property
    def std_error(self) -> pd.Series[float]:
        """Standard deviation of the replicates."""
        return self._series(self.replicates.std().to_numpy(), "std_error")

    def confint(
        self, level: float = 0.95, *, method: str = "percentile", parameters: str | Iterable[str] | None = None
    ) -> pd.DataFrame:
        """Confidence intervals, columns named by their percentages as in R.

        Parameters
        ----------
        level
            Confidence level.
        method
            "percentile"; "basic" (errors taken off the estimate); "bca" (bias-corrected and accelerated); "shortest"
            (the shortest interval that holds so many replicates).
        parameters
            Names, ``"theta_"`` or ``"beta_"``; None for all.

        Notes
        -----
        Replicates without a value (the correlation of an effect that did not vary) are left out. A BCa interval is NaN
        where all replicates lie on one side of the estimate.

        References
        ----------
        Davison, A. C. and Hinkley, D. V. (1997). Bootstrap Methods and Their Application. Cambridge, chapter 5.
        """
        import pandas as pd

        check_level(level)
        if method not in METHODS:
            raise errors.choice("method", method, list(METHODS))
        chosen = self._selected(parameters)
        accelerations = self._accelerations() if method == "bca" else np.zeros(len(self.names))
        limits = []
        for place in chosen:
            values = self.values[self.has_converged, place]
            known = values[~np.isnan(values)]
            limits.append(METHODS[method](known, float(self.estimates[place]), level, float(accelerations[place])))
        table = np.array(limits, dtype=np.float64).reshape(len(chosen), 2)
        return pd.DataFrame(table, index=[self.names[place] for place in chosen], columns=limit_names(level))

    def summary(self, level: float = 0.95, *, method: str = "percentile") -> pd.DataFrame:
        """One row per statistic: estimate, bias, std_error, conf_low, conf_high."""
        import pandas as pd

        limits = self.confint(level, method=method).to_numpy()
        columns = [self.estimates, self.bias.to_numpy(), self.std_error.to_numpy(), limits[:, 0], limits[:, 1]]
        names = ["estimate", "bias", "std_error", "conf_low", "conf_high"]
        return pd.DataFrame(np.column_stack(columns), index=list(self.names), columns=names)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the replicates to a Parquet file, with all that `load` needs; other programs read it as a table."""
        arrow, parquet = _pyarrow()
        columns = {name: self.values[:, place] for place, name in enumerate(self.names)}
        flags = {"is_singular": self.is_singular, "has_converged": self.has_converged}
        about = {
            "formula": self.formula,
            "kind": self.kind,
            "seed": str(self.seed),
            "names": self.names,
            "estimates": self.estimates.tolist(),
            "is_fixed": self.is_fixed,
            "accelerations": None if self.accelerations is None else self._accelerations().tolist(),
        }
        table = arrow.table(list((columns | flags).values()), names=[*self.names, *flags])
        parquet.write_table(table.replace_schema_metadata({_KEY: json.dumps(about)}), path)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Bootstrap:
        """Read what `save` wrote."""
        _, parquet = _pyarrow()
        try:
            table = parquet.read_table(path)
        except (OSError, ValueError) as reason:
            raise errors_fit.file_unreadable(str(path), reason) from None
        metadata = (table.schema.metadata or {}).get(_KEY)
        if metadata is None:
            raise errors_intervals.not_a_bootstrap(str(path))
        about: dict[str, Any] = json.loads(metadata)
        columns = [np.asarray(column, dtype=np.float64) for column in table.columns]
        known = about["accelerations"]
        return cls(
            about["formula"],
            about["kind"],
            int(about["seed"]),
            tuple(about["names"]),
            np.array(about["estimates"], dtype=np.float64),
            np.column_stack(columns[:-2]),
            columns[-2].astype(bool),
            columns[-1].astype(bool),
            None if about["is_fixed"] is None else tuple(about["is_fixed"]),
            None if known is None else np.array(known, dtype=np.float64),
        )

    def _accelerations(self) -> Vector:
        if self.accelerations is None:
            raise errors_intervals.no_acceleration(self.kind)
        if isinstance(self.accelerations, np.ndarray):
            return self.accelerations
        found = self.accelerations(self.values)
        object.__setattr__(self, "accelerations", found)  # computed once
        return found

    def _selected(self, wanted: str | Iterable[str] | None) -> list[int]:
        if wanted is None:
            return list(range(len(self.names)))
        places: set[int] = set()
        for name in [wanted] if isinstance(wanted, str) else list(wanted):
            if name in self.names:
                places.add(self.names.index(name))
            elif self.is_fixed is not None and name in (VARIANCES, FIXED):
                places.update(i for i, is_fixed in enumerate(self.is_fixed) if is_fixed == (name == FIXED))
            else:
                raise errors_intervals.parameter_unknown(name, self.names)
        return sorted(places)

    def _series(self, values: Vector, name: str) -> pd.Series[float]:
        import pandas as pd

        return pd.Series(values, index=list(self.names), name=name)

    def _counts(self) -> str:
        parts = [f"{len(self)} replicates", f"seed {self.seed}"]
        if self.n_singular:
            parts.append(f"{self.n_singular} singular")
        if self.n_failed:
            parts.append(f"{self.n_failed} not fitted")
        return ", ".join(parts)

    def __str__(self) -> str:
        table = self.summary()
        header = ["Estimate", "Bias", "Std. Error", "2.5 %", "97.5 %"]
        columns = [format_column(table[name].tolist(), 4) for name in table.columns]
        lines = [f"{KINDS[self.kind]} of {self.formula}", self._counts(), ""]
        lines += matrix(list(self.names), header, columns)
        return "\n".join(line.rstrip() for line in lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<div class='henderson'><p>{KINDS[self.kind]}: {self._counts()}</p>{self.summary().to_html()}</div>"


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise errors_fit.dependency_missing("pyarrow", "Saving a bootstrap as Parquet", "arrow") from None
    return pyarrow, pyarrow.parquet
