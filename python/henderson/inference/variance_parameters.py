"""Standard errors of variances, standard deviations and correlations, by the delta method."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors, errors_models, theta
from henderson.formatting import WIDTH, format_number, matrix, right_align
from henderson.varcorr import RESIDUAL

if TYPE_CHECKING:
    import pandas as pd

    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Label = tuple[str, str | None, str | None]

TITLES = {
    "vcov": "Variances and covariances",
    "sdcor": "Standard deviations and correlations",
    "theta": "Relative covariance factors and residual standard deviation",
}
ZERO = 1e-6
"""Effects whose standard deviation is smaller than this, in units of sigma, have a variance of zero."""


@dataclass(frozen=True, eq=False)
class VarianceParameters:
    """Estimates and standard errors of the parameters of the random effects and of the residuals.

    Attributes
    ----------
    scale
        "vcov": variances and covariances; "sdcor": standard deviations and correlations; "theta": relative factors and
        residual standard deviation.
    labels
        Group and one or two effects for each parameter.
    estimates
        Shape (k,).
    vcov
        Asymptotic covariance matrix of the estimates, shape (k, k); NaN for those at the boundary.
    notes
        What is at the boundary.
    """

    scale: str
    labels: tuple[Label, ...]
    estimates: Vector
    vcov: Matrix
    notes: tuple[str, ...]

    @property
    def std_errors(self) -> Vector:
        """Standard errors, NaN at the boundary, shape (k,)."""
        return np.sqrt(np.diag(self.vcov))

    @property
    def covariance(self) -> pd.DataFrame:
        """Asymptotic covariance matrix of the estimates with names such as "Subject.(Intercept).Days"."""
        import pandas as pd

        names = [".".join(part for part in label if part is not None) for label in self.labels]
        return pd.DataFrame(self.vcov, index=names, columns=names)

    def to_frame(self) -> pd.DataFrame:
        """One row per parameter, with the columns grp, var1, var2, estimate and std_error."""
        import pandas as pd

        names = zip(("grp", "var1", "var2"), zip(*self.labels, strict=True), strict=True)
        columns: dict[str, Any] = {name: pd.Series(list(values), dtype=object) for name, values in names}
        return pd.DataFrame(columns | {"estimate": self.estimates, "std_error": self.std_errors})

    def to_text(self, digits: int = 4) -> str:
        """The table as text, with `digits` significant digits."""
        lines = matrix([""] * len(self.labels), _HEADER, self._cells(digits), left=True)
        notes = [line for note in self.notes for line in ("", *textwrap.wrap(note, WIDTH))]
        return "\n".join(line.rstrip() for line in [TITLES[self.scale], *lines, *notes])

    def _cells(self, digits: int) -> list[list[str]]:
        groups = [label[0] for label in self.labels]
        shown = ["" if i and groups[i - 1] == group else group for i, group in enumerate(groups)]
        names = [", ".join(name for name in label[1:] if name is not None) for label in self.labels]
        columns = (_aligned(self.estimates, digits), _aligned(self.std_errors, digits))
        padded = [right_align([title, *cells])[1:] for title, cells in zip(_HEADER[2:], columns, strict=True)]
        return [shown, names, *padded]

    def __str__(self) -> str:
        return self.to_text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html(index=False, na_rep=""))


_HEADER = ("Groups", "Name", "Estimate", "Std. Error")


def variance_parameters(model: LinearMixedModel, *, scale: str = "vcov") -> VarianceParameters:
    """Estimates and standard errors of the parameters of the random effects and of the residuals.

    Parameters
    ----------
    scale
        "vcov": variances and covariances; "sdcor": standard deviations and correlations; "theta": relative factors and
        residual standard deviation.

    Returns
    -------
    VarianceParameters
        Print it, or use ``.to_frame()`` and ``.covariance``.

    Notes
    -----
    From the observed information of (theta, sigma), `information`, by the delta method: J A J' with A its inverse and J
    the derivatives of the parameters asked for. Parameters at the boundary (a variance of zero, a correlation of one)
    have no standard error, and are held where they are for the standard errors of the others. The estimate of a
    variance is skewed: an interval of plus and minus two standard errors is a poor one; use
    ``confint(method="profile")``.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> print(fit.variance_parameters())
    Variances and covariances
     Groups   Name              Estimate Std. Error
     Subject  (Intercept)        612.1       288.8
              Days                35.07       14.78
              (Intercept), Days    9.604      46.68
     Residual                    654.9        77.19
    """
    if scale not in TITLES:
        raise errors.choice("scale", scale, tuple(TITLES))
    if scale == "theta":
        return _relative(model)
    labels: list[Label] = []
    estimates, jacobian, fixed = [], [], []
    start = 0
    information = model.information
    for t, (term, covariance) in enumerate(zip(model.design.terms, model.varcorr.terms, strict=True)):
        size = len(term.names)
        stop = start + size * (size + 1) // 2
        rows = _symmetric(information.jacobian[start:stop], size)
        zero, flat = _at_boundary(model, t)
        for a, b in [*((i, i) for i in range(size)), *combinations(range(size), 2)]:
            labels.append((term.label, term.names[a], None if a == b else term.names[b]))
            value, slopes = _entry(covariance.covariance, rows, a, b, scale)
            estimates.append(value)
            jacobian.append(slopes)
            fixed.append(bool(zero[a] or zero[b] or (scale == "sdcor" and a != b and flat[a, b])))
        start = stop
    last = np.zeros(information.jacobian.shape[1])
    last[-1] = 2.0 * model.sigma if scale == "vcov" else 1.0
    labels.append((RESIDUAL, None, None))
    values = np.array([*estimates, model.sigma**2 if scale == "vcov" else model.sigma])
    return _result(scale, labels, values, np.array([*jacobian, last]), np.array([*fixed, False]), model)


def _relative(model: LinearMixedModel) -> VarianceParameters:
    """The parameters as they are in the information."""
    information = model.information
    labels: list[Label] = []
    for term in model.design.terms:
        columns, rows = np.triu_indices(len(term.names))
        labels += [
            (term.label, term.names[c], None if r == c else term.names[r]) for c, r in zip(columns, rows, strict=True)
        ]
    labels.append((RESIDUAL, None, None))
    total = len(information.theta)
    places = [*information.kept, total]
    fixed = np.ones(total + 1, dtype=bool)
    fixed[places] = False
    selection = np.eye(total + 1)[:, places]
    return _result("theta", labels, np.append(information.theta, model.sigma), selection, fixed, model)


def _aligned(values: Vector, digits: int) -> list[str]:
    """Numbers with `digits` significant digits each, their decimal points below each other; NaN is blank."""
    pieces = [("" if np.isnan(value) else format_number(value, digits)).partition(".") for value in values]
    left, right = (max(len(piece[i]) for piece in pieces) for i in (0, 2))
    return [f"{whole:>{left}}{point or ' '}{rest:<{right}}" for whole, point, rest in pieces]


def _symmetric(entries: Matrix, size: int) -> NDArray[np.float64]:
    """Derivatives of the lower triangle, column by column, as those of the matrix, shape (s, s, k)."""
    columns, rows = np.triu_indices(size)
    full = np.empty((size, size, entries.shape[1]))
    full[rows, columns] = full[columns, rows] = entries
    return full


def _entry(covariance: Matrix, slopes: NDArray[np.float64], a: int, b: int, scale: str) -> tuple[float, Vector]:
    """A parameter of a term and its derivatives."""
    value = float(covariance[a, b])
    if scale == "vcov":
        return value, slopes[a, b]
    sd = np.sqrt(np.diag(covariance))
    with np.errstate(divide="ignore", invalid="ignore"):
        if a == b:
            return float(sd[a]), slopes[a, a] / (2.0 * sd[a])
        correlation = value / (sd[a] * sd[b])
        shrink = 0.5 * correlation * (slopes[a, a] / sd[a] ** 2 + slopes[b, b] / sd[b] ** 2)
        return float(correlation), slopes[a, b] / (sd[a] * sd[b]) - shrink


def _at_boundary(model: LinearMixedModel, t: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Of a term: which variances are zero (s,), and which correlations plus or minus one (s, s)."""
    optimum = model.optimum
    lam = theta.relative_factors(optimum.theta, optimum.sizes)[t]
    relative = lam @ lam.T
    if optimum.ranks[t] == optimum.sizes[t]:
        return np.zeros(len(lam), dtype=bool), np.zeros(lam.shape, dtype=bool)
    mean = np.diag(model.row_facts.mean_products[t])
    zero = np.sqrt(np.diag(relative) * np.where(mean > 0, mean, 1.0)) < ZERO
    sd = np.where(zero, 1.0, np.sqrt(np.diag(relative)))
    return zero, np.abs(relative / np.outer(sd, sd)) > 1.0 - ZERO


def _in_words(label: Label, scale: str) -> str:
    group, one, other = label
    what, both = {"vcov": ("variance", "covariance"), "sdcor": ("standard deviation", "correlation")}.get(
        scale, ("theta", "theta")
    )
    return f"the {what} of {one} ({group})" if other is None else f"the {both} of {one} and {other} ({group})"


def _result(
    scale: str, labels: Sequence[Label], estimates: Vector, jacobian: Matrix, fixed: Any, model: LinearMixedModel
) -> VarianceParameters:
    vcov = np.full((len(labels), len(labels)), np.nan)
    free = np.flatnonzero(~fixed)
    along = jacobian[free] @ model.information.basis
    vcov[np.ix_(free, free)] = along @ model.information.covariance_along @ along.T
    held = [_in_words(label, scale) for label, is_fixed in zip(labels, fixed, strict=True) if is_fixed]
    notes = (errors_models.held_at_boundary_note(held),) if held else ()
    return VarianceParameters(scale, tuple(labels), estimates, vcov, notes)
