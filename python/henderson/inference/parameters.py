"""The parameters that intervals are given for, by lme4's names.

They are the standard deviations and correlations of the random effects, sigma and the fixed effects. Within a term they
come in the order of theta: ``sd_(Intercept)|Subject``, ``cor_Days.(Intercept)|Subject``, ``sd_Days|Subject``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from henderson import errors_intervals, theta

if TYPE_CHECKING:
    from henderson.design import RandomTerm
    from henderson.model import LinearMixedModel

Matrix = NDArray[np.float64]
Kind = Literal["sd", "cor", "sigma", "fixed"]

VARIANCES, FIXED = "theta_", "beta_"
"""lme4's names for all parameters of the covariance (sigma among them), and for all fixed effects."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a fit.

    Attributes
    ----------
    name
        As lme4's ``confint(oldNames = FALSE)`` gives it.
    kind
        "sd", "cor", "sigma" or "fixed".
    term
        Index of the random term of a standard deviation or correlation.
    row, column
        Its effects, row >= column; for a fixed effect `row` is its place among those kept.
    """

    name: str
    kind: Kind
    term: int = -1
    row: int = -1
    column: int = -1

    @property
    def is_fixed(self) -> bool:
        """Whether this is a fixed effect."""
        return self.kind == "fixed"


def parameters(model: LinearMixedModel) -> tuple[Parameter, ...]:
    """All parameters of a fitted model, in lme4's order."""
    design = model.design
    found = covariance_parameters(design.terms)
    found.append(Parameter("sigma", "sigma"))
    found += [Parameter(design.x_names[j], "fixed", row=place) for place, j in enumerate(model.kept)]
    return tuple(_distinct(found))


def covariance_parameters(terms: Sequence[RandomTerm]) -> list[Parameter]:
    """Standard deviations and correlations of the random effects, in the order of theta."""
    found = _of_terms(terms, [term.group for term in terms])
    if len({parameter.name for parameter in found}) < len(found):  # two terms share an effect: the terms' own labels
        found = _of_terms(terms, [term.label for term in terms])
    return found


def _of_terms(terms: Sequence[RandomTerm], groups: Sequence[str]) -> list[Parameter]:
    found = []
    for t, (term, group) in enumerate(zip(terms, groups, strict=True)):
        names = term.names
        columns, rows = (axis.tolist() for axis in np.triu_indices(len(names)))
        for row, column in zip(rows, columns, strict=True):
            if row == column:
                found.append(Parameter(f"sd_{names[row]}|{group}", "sd", t, row, column))
            else:
                found.append(Parameter(f"cor_{names[row]}.{names[column]}|{group}", "cor", t, row, column))
    return found


def _distinct(found: list[Parameter]) -> list[Parameter]:
    """A column of X may be called sigma: the fixed effect then is ``fixed_sigma``."""
    counts = Counter(parameter.name for parameter in found)
    return [
        replace(parameter, name=f"fixed_{parameter.name}")
        if parameter.is_fixed and counts[parameter.name] > 1
        else parameter
        for parameter in found
    ]


def selected(available: Sequence[Parameter], wanted: str | Iterable[str] | None) -> list[int]:
    """Places of the parameters asked for, in their own order.

    Parameters
    ----------
    available
        All parameters.
    wanted
        Names, ``"theta_"`` for those of the covariance, ``"beta_"`` for the fixed effects; None for all.
    """
    if wanted is None:
        return list(range(len(available)))
    listed: list[Any] = [wanted] if isinstance(wanted, str) else _listed(wanted)
    names = [parameter.name for parameter in available]
    places: set[int] = set()
    for name in listed:
        if name in names:
            places.add(names.index(name))
        elif name in (VARIANCES, FIXED):
            places.update(i for i, parameter in enumerate(available) if parameter.is_fixed == (name == FIXED))
        else:
            raise errors_intervals.parameter_unknown(name, [*names, VARIANCES, FIXED])
    return sorted(places)


def _listed(wanted: Any) -> list[Any]:
    try:
        return list(wanted)
    except TypeError:
        raise errors_intervals.parameters_type(wanted) from None


def values(covariances: Sequence[Matrix], sigma: NDArray[np.float64], beta: Matrix) -> Matrix:
    """Parameters of r fits, shape (r, k), in the order of `parameters`.

    Parameters
    ----------
    covariances
        Per term (r, s, s): covariance matrices of the random effects.
    sigma
        Residual standard deviations, shape (r,).
    beta
        Fixed effects kept, shape (r, p).

    Notes
    -----
    The correlation of an effect that does not vary is NaN.
    """
    parts = []
    for covariance in covariances:
        sd = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
        columns, rows = np.triu_indices(covariance.shape[1])
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation = covariance[:, rows, columns] / (sd[:, rows] * sd[:, columns])
        parts.append(np.where(rows == columns, sd[:, rows], np.clip(correlation, -1.0, 1.0)))
    result: Matrix = np.column_stack([*parts, sigma, beta])
    return result


def estimates(model: LinearMixedModel) -> NDArray[np.float64]:
    """The parameters of one fit, shape (k,)."""
    sizes = [len(term.columns) for term in model.design.terms]
    sigma, beta = model.sigma, model.solution.beta
    covariances = [sigma**2 * psi[None] for psi in theta.covariances(np.asarray(model.optimum.theta), sizes)]
    found: NDArray[np.float64] = values(covariances, np.array([sigma]), beta[None])[0]
    return found


def covariances_of(thetas: Matrix, sigma: NDArray[np.float64], sizes: Sequence[int]) -> list[Matrix]:
    """Per term (r, s, s): covariance matrices of r fits with the given theta (r, K) and sigma (r,)."""
    result, start = [], 0
    for size in sizes:
        columns, rows = np.triu_indices(size)
        lam = np.zeros((len(thetas), size, size))
        lam[:, rows, columns] = thetas[:, start : start + len(rows)] * sigma[:, None]
        result.append(lam @ lam.transpose(0, 2, 1))
        start += len(rows)
    return result
