"""The parameters that responses are drawn from: those of a fit, changed by the user, or all given by the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors_simulation, theta
from henderson.conversion import as_float
from henderson.draws import DrawnTerm, NormalDraws, residual_sd
from henderson.inference.parameters import Parameter, covariance_parameters
from henderson.options import checked_theta
from henderson.varcorr import VarCorr

if TYPE_CHECKING:
    from henderson.design import DesignMatrices, RandomTerm
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

NOT_POSITIVE = 1e-8
"""A covariance matrix may have eigenvalues as negative as this, relative to the largest."""
ROUNDING = 1e-13
"""Eigenvalues smaller than this, relative to the largest, are zero: their square roots would not be small."""


@dataclass(frozen=True, eq=False)
class Truth:
    """Parameters of a linear mixed model.

    Attributes
    ----------
    beta
        Fixed effects, shape (p,).
    factors
        Per random term F (s, s), lower triangular, with covariance matrix F F'.
    sigma
        Residual standard deviation.
    """

    beta: Vector
    factors: tuple[Matrix, ...]
    sigma: float

    @property
    def theta(self) -> Vector:
        """The factors relative to sigma, in lme4's order."""
        parts = [(factor / self.sigma).T[np.triu_indices(len(factor))] for factor in self.factors]
        return np.concatenate(parts)

    @property
    def ranks(self) -> tuple[int, ...]:
        """Ranks of the covariance matrices."""
        return tuple(int(np.linalg.matrix_rank(factor, tol=NOT_POSITIVE * _size(factor))) for factor in self.factors)

    def draws(self, design: DesignMatrices, columns: Sequence[int]) -> NormalDraws:
        """Responses to a design without its offset; `columns` are those of X that the fixed effects belong to."""
        mean = np.zeros(design.n)
        for j, coefficient in zip(columns, self.beta, strict=True):
            column = design.x[j]
            mean += coefficient if column is None else coefficient * column
        terms = tuple(
            DrawnTerm(design.factors[term.factor].codes, term.columns, design.factors[term.factor].n_levels, factor)
            for term, factor in zip(design.terms, self.factors, strict=True)
        )
        return NormalDraws(mean, residual_sd(self.sigma, design.weights), terms)


def of_model(model: LinearMixedModel) -> Truth:
    """The estimates of a fit; fixed effects of the columns kept."""
    sizes = [len(term.columns) for term in model.design.terms]
    relative = theta.relative_factors(np.asarray(model.optimum.theta), sizes)
    return Truth(model.solution.beta, tuple(model.sigma * lam for lam in relative), model.sigma)


def changed(
    truth: Truth, design: DesignMatrices, names: Sequence[str], *, effect: Any, sigma: Any, varcorr: Any
) -> Truth:
    """Other values for some parameters; what is not named stays. `names` are those of the fixed effects."""
    beta = truth.beta
    if effect is not None:
        beta = beta.copy()
        for name, value in _items("effect", effect):
            if name not in names:
                raise errors_simulation.coefficient_unknown("effect", name, names)
            beta[names.index(name)] = _number(f"effect[{name!r}]", value)
    factors = truth.factors
    if varcorr is not None:
        factors = _covariance_factors(design.terms, varcorr, [factor @ factor.T for factor in factors])
    return replace(truth, beta=beta, factors=factors, sigma=truth.sigma if sigma is None else checked_sigma(sigma))


def given(design: DesignMatrices, *, fixef: Any, theta: Any, varcorr: Any, sigma: Any) -> Truth:
    """Parameters that are all given by the user; fixed effects of all columns of X."""
    scale = checked_sigma(sigma)
    if theta is not None and varcorr is not None:
        raise errors_simulation.covariance_twice()
    if theta is not None:
        return Truth(_coefficients(fixef, design.x_names), _from_theta(theta, scale, design.terms), scale)
    if varcorr is None:
        raise errors_simulation.covariance_missing()
    return Truth(_coefficients(fixef, design.x_names), _covariance_factors(design.terms, varcorr, None), scale)


def checked_sigma(value: Any) -> float:
    """A residual standard deviation."""
    if not _is_number(value) or not 0 < float(value) < np.inf:
        raise errors_simulation.sigma_invalid(value)
    return float(value)


# ------------------------------------------------------------------------------------------------------- fixed effects


def _coefficients(fixef: Any, names: Sequence[str]) -> Vector:
    """One value for each column of X, from a dict or Series by name, or in their order."""
    if isinstance(fixef, Mapping) or (hasattr(fixef, "index") and hasattr(fixef, "to_numpy")):
        found = dict(_items("fixef", fixef))
        for name in found:
            if name not in names:
                raise errors_simulation.coefficient_unknown("fixef", name, names)
        missing = [name for name in names if name not in found]
        if missing:
            raise errors_simulation.coefficients_missing(missing)
        return np.array([_number(f"fixef[{name!r}]", found[name]) for name in names], dtype=np.float64)
    values = np.atleast_1d(as_float("fixef", fixef))
    if values.shape != (len(names),):
        raise errors_simulation.coefficients_length(values.size, names)
    if not np.isfinite(values).all():
        raise errors_simulation.not_a_number("fixef", values[~np.isfinite(values)][0])
    return np.array(values)


def _items(argument: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [(str(name), entry) for name, entry in value.items()]
    if hasattr(value, "index") and hasattr(value, "to_numpy"):  # a Series
        return list(zip(map(str, value.index), value.to_numpy().tolist(), strict=True))
    raise errors_simulation.argument_not_named(argument, value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _number(what: str, value: Any) -> float:
    if not _is_number(value) or not np.isfinite(value):
        raise errors_simulation.not_a_number(what, value)
    return float(value)


# --------------------------------------------------------------------------------------------------------- covariances


def _from_theta(value: Any, sigma: float, terms: Sequence[RandomTerm]) -> tuple[Matrix, ...]:
    sizes = [len(term.columns) for term in terms]
    at = checked_theta("theta", value, sum(size * (size + 1) // 2 for size in sizes))
    return tuple(sigma * lam for lam in theta.relative_factors(at, sizes))


def _covariance_factors(
    terms: Sequence[RandomTerm], varcorr: Any, known: Sequence[Matrix] | None
) -> tuple[Matrix, ...]:
    """Lower-triangular factors of the covariance matrices; `known` are those before, None if all must be given."""
    if isinstance(varcorr, VarCorr):
        varcorr = {term.group: term.covariance for term in varcorr.terms}
    if not isinstance(varcorr, Mapping):
        raise errors_simulation.varcorr_type(varcorr)
    labels = [term.label for term in terms]
    parameters = {parameter.name: parameter for parameter in covariance_parameters(terms)}
    matrices: list[Matrix | None] = [None] * len(terms) if known is None else list(known)
    named: dict[Parameter, float] = {}
    for name, value in varcorr.items():
        if name in labels:
            place = labels.index(name)
            matrices[place] = _covariance(name, value, terms[place].names)
        elif name in parameters:
            named[parameters[name]] = _deviation(name, value)
        else:
            raise errors_simulation.covariance_unknown(name, labels, list(parameters))
    for place in {parameter.term for parameter in named}:
        own = {name: parameter for name, parameter in parameters.items() if parameter.term == place}
        matrices[place] = _from_deviations(labels[place], own, named, matrices[place])
    missing = [name for name, own in parameters.items() if matrices[own.term] is None and own.kind == "sd"]
    if missing:
        raise errors_simulation.deviations_missing(missing)
    return tuple(lower_factor(matrix) for matrix in matrices if matrix is not None)


def _covariance(label: str, value: Any, names: Sequence[str]) -> Matrix:
    """A covariance matrix given as one, or as the variance of a single effect."""
    matrix = as_float(f"varcorr[{label!r}]", value)
    size = len(names)
    if matrix.ndim == 0 and size == 1:
        matrix = matrix.reshape(1, 1)
    if matrix.shape != (size, size):
        raise errors_simulation.covariance_shape(label, matrix.shape, names)
    if not np.isfinite(matrix).all():
        raise errors_simulation.covariance_invalid(label, "it has entries that are not finite")
    scale = float(np.abs(matrix).max())
    if np.abs(matrix - matrix.T).max() > NOT_POSITIVE * scale:
        raise errors_simulation.covariance_invalid(label, "it is not symmetric")
    return _positive(label, 0.5 * (matrix + matrix.T))


def _positive(label: str, matrix: Matrix) -> Matrix:
    smallest = float(np.linalg.eigvalsh(matrix)[0])
    if smallest < -NOT_POSITIVE * float(np.abs(matrix).max()):
        raise errors_simulation.covariance_invalid(label, f"it has a negative eigenvalue, {smallest:.3g}")
    return matrix


def _deviation(name: str, value: Any) -> float:
    """A standard deviation or a correlation."""
    is_correlation = name.startswith("cor_")
    if not _is_number(value) or not np.isfinite(value) or (abs(value) > 1 if is_correlation else value < 0):
        raise errors_simulation.deviation_invalid(name, value)
    return float(value)


def _from_deviations(
    label: str, own: Mapping[str, Parameter], given: Mapping[Parameter, float], before: Matrix | None
) -> Matrix:
    """A covariance matrix with some standard deviations and correlations changed, or with all of them given."""
    missing = [name for name, parameter in own.items() if parameter.kind == "sd" and parameter not in given]
    if before is None and missing:
        raise errors_simulation.deviations_missing(missing)
    size = 1 + max(parameter.row for parameter in own.values())
    sd, correlation = np.zeros(size), np.eye(size)
    if before is not None:
        sd = np.sqrt(np.diag(before))
        scale = np.where(sd > 0, sd, 1.0)
        correlation = before / np.outer(scale, scale)
    for parameter in own.values():
        if parameter in given:
            if parameter.kind == "sd":
                sd[parameter.row] = given[parameter]
            else:
                correlation[parameter.row, parameter.column] = given[parameter]
                correlation[parameter.column, parameter.row] = given[parameter]
    np.fill_diagonal(correlation, 1.0)
    return np.outer(sd, sd) * _positive(label, correlation)


def lower_factor(matrix: Matrix) -> Matrix:
    """L, lower triangular with a non-negative diagonal, of a positive semidefinite matrix L L'."""
    values, vectors = np.linalg.eigh(matrix)
    root = vectors * np.sqrt(np.where(values > ROUNDING * values[-1], values, 0.0))
    lower: Matrix = np.asarray(np.linalg.qr(root.T, mode="r")).T
    signs = np.where(np.diag(lower) < 0, -1.0, 1.0)
    return np.tril(lower * signs)


def _size(factor: Matrix) -> float:
    return float(np.abs(factor).max())
