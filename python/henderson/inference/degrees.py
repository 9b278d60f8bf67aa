"""Tests of the fixed effects: which covariance matrix, which degrees of freedom. Everything that tests asks here.

The rules, by name:

    satterthwaite   those of the estimated variance of each contrast, from the observed information of the variances
    kenward-roger   from the expected information, with a covariance matrix adjusted for small samples (needs REML)
    residual        rows minus fixed effects
    normal          infinitely many: z and chi-square tests
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from henderson import errors, errors_inference
from henderson.inference import robust
from henderson.inference.distributions import JointTest, f_tail, require_consistent, t_quantile, t_tail, wald

if TYPE_CHECKING:
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

DDF = ("satterthwaite", "kenward-roger", "residual", "normal")
METHOD_NAMES = {
    "satterthwaite": "Satterthwaite's method",
    "kenward-roger": "Kenward-Roger's method",
    "residual": "residual degrees of freedom",
    "normal": "the normal distribution",
}
KINDS = ("model", "kenward-roger", *robust.KINDS)


class Source(Protocol):
    """A covariance matrix of the fixed effects and the distribution of tests with it."""

    @property
    def covariance(self) -> Matrix:
        """Covariance matrix of the fixed effects kept, shape (p, p)."""

    def df(self, contrasts: Matrix, /) -> Vector:
        """Degrees of freedom of each row of `contrasts` (r, p), shape (r,)."""

    def f_test(self, contrasts: Matrix, difference: Vector, /) -> Any:
        """Test that L beta - rhs, the `difference` (r,), is zero: statistic, num_df and den_df."""


@dataclass(frozen=True, eq=False)
class WaldTests:
    """The same degrees of freedom for every contrast."""

    covariance: Matrix
    constant: float

    def df(self, contrasts: Matrix) -> Vector:
        """Degrees of freedom of each row of `contrasts`, shape (r,)."""
        return np.full(len(contrasts), self.constant)

    def f_test(self, contrasts: Matrix, difference: Vector) -> JointTest:
        """Test that L beta - rhs, the `difference` (r,), is zero."""
        statistic, rank = wald(contrasts, self.covariance, difference)
        return JointTest(statistic / rank if rank else float("nan"), float(rank), self.constant)


@dataclass(frozen=True, eq=False)
class TTests:
    """One test for each of r contrasts; all vectors are (r,).

    Attributes
    ----------
    estimate, std_error, df
        Of each contrast; df is infinite for z tests.
    statistic, p_value
        (estimate - rhs) / std_error and its two-sided p-value.
    """

    estimate: Vector
    std_error: Vector
    df: Vector
    statistic: Vector
    p_value: Vector

    def limits(self, level: float) -> Matrix:
        """Confidence limits of the estimates, shape (r, 2)."""
        reach = t_quantile(level, self.df) * self.std_error
        return np.column_stack([self.estimate - reach, self.estimate + reach])


@dataclass(frozen=True, eq=False)
class FixedEffectTests:
    """Estimates of the fixed effects kept, their covariance matrix, and the tests that go with them.

    Attributes
    ----------
    model
        The fit that the estimates are of: the model asked about, or its REML fit for Kenward-Roger.
    ddf, vcov
        Names of the rule for degrees of freedom and of the kind of covariance matrix.
    covariance_name
        A robust covariance matrix in words, "CR2 covariance by Subject"; empty for others.
    notes
        What the user should know about them.
    """

    model: LinearMixedModel
    ddf: str
    vcov: str
    source: Source
    covariance_name: str = ""
    notes: tuple[str, ...] = ()

    @property
    def beta(self) -> Vector:
        """Estimates of the fixed effects kept, shape (p,)."""
        return self.model.solution.beta

    @property
    def covariance(self) -> Matrix:
        """Their covariance matrix, shape (p, p)."""
        return self.source.covariance

    @property
    def is_normal(self) -> bool:
        """Whether the tests are z and chi-square tests."""
        return self.ddf == "normal"

    def df(self, contrasts: Matrix) -> Vector:
        """Degrees of freedom of each row of `contrasts` (r, p), shape (r,)."""
        return self.source.df(contrasts)

    def t_tests(self, contrasts: Matrix, rhs: Vector | float = 0.0) -> TTests:
        """Test that each row of L beta equals `rhs`."""
        estimate = contrasts @ self.beta
        variances = np.einsum("rp,pq,rq->r", contrasts, self.covariance, contrasts, optimize=True)
        std_error = np.sqrt(np.maximum(variances, 0.0))
        df = self.df(contrasts)
        with np.errstate(divide="ignore", invalid="ignore"):
            statistic = (estimate - rhs) / std_error
        return TTests(estimate, std_error, df, statistic, t_tail(statistic, df))

    def f_test(self, contrasts: Matrix, rhs: Vector | float = 0.0) -> tuple[JointTest, float]:
        """Test that all rows of L beta equal `rhs`: the F test and its p-value."""
        values = np.broadcast_to(np.asarray(rhs, dtype=float), len(contrasts))
        require_consistent(contrasts, self.covariance, values)
        found = self.source.f_test(contrasts, contrasts @ self.beta - values)
        test = JointTest(found.statistic, found.num_df, found.den_df)
        return test, f_tail(test.statistic, test.num_df, test.den_df)


def fixed_effect_tests(
    model: LinearMixedModel, ddf: str = "satterthwaite", vcov: Any = "model", cluster: Any = None
) -> FixedEffectTests:
    """Choose the covariance matrix of the fixed effects and the rule for degrees of freedom.

    Parameters
    ----------
    model
        A fitted model.
    ddf
        "satterthwaite", "kenward-roger", "residual" or "normal".
    vcov
        "model"; "kenward-roger", which goes with the ddf of that name; a cluster-robust kind such as "CR2", or a pair
        of a kind and a cluster, ("CR2", "Subject").
    cluster
        What the rows are clustered by, for a robust kind: see `henderson.inference.robust.sandwich`.

    Notes
    -----
    With a robust covariance matrix "satterthwaite" is the rule of Bell and McCaffrey that belongs to it.
    """
    check_ddf(ddf)
    if isinstance(vcov, tuple) and len(vcov) == 2:
        vcov, cluster = vcov
    check_kind(vcov, cluster)
    if vcov in robust.KINDS:
        return _robust_tests(model, ddf, vcov, cluster)
    if ddf == "kenward-roger" or vcov == "kenward-roger":
        return _kenward_roger_tests(model, ddf)
    if ddf == "satterthwaite":
        source: Source = model._satterthwaite
    else:
        source = WaldTests(model.sigma**2 * model.solution.unscaled_vcov, _constant_df(model, ddf))
    notes = _information_notes(model) if ddf == "satterthwaite" else ()
    return FixedEffectTests(model, ddf, "model", source, notes=notes)


def degrees_of_freedom(
    model: LinearMixedModel, contrasts: Matrix, ddf: str = "satterthwaite", *, vcov: Any = "model", cluster: Any = None
) -> Vector:
    """Degrees of freedom of the t test of each row of `contrasts` (r, p), shape (r,)."""
    return fixed_effect_tests(model, ddf, vcov, cluster).df(np.atleast_2d(np.asarray(contrasts, dtype=float)))


def method_name(tests: FixedEffectTests) -> str:
    """The rule for degrees of freedom in words, and the covariance matrix if it is a robust one."""
    return METHOD_NAMES[tests.ddf] + (f" and {tests.covariance_name}" if tests.covariance_name else "")


def check_ddf(ddf: Any) -> None:
    """Refuse what is not the name of a rule."""
    if not isinstance(ddf, str) or ddf not in DDF:
        raise errors.choice("ddf", ddf, DDF)


def check_kind(kind: Any, cluster: Any = None) -> None:
    """Refuse what is not the name of a kind of covariance matrix, or a cluster where none is used."""
    if not isinstance(kind, str) or kind not in KINDS:
        raise errors.choice("vcov", kind, KINDS)
    if cluster is not None and kind not in robust.KINDS:
        raise errors_inference.cluster_without_robust(kind, robust.KINDS)


def _constant_df(model: LinearMixedModel, ddf: str) -> float:
    return float(model.nobs - len(model.kept)) if ddf == "residual" else float("inf")


def _robust_tests(model: LinearMixedModel, ddf: str, kind: str, cluster: Any) -> FixedEffectTests:
    if ddf == "kenward-roger":
        raise errors_inference.kenward_roger_not_robust(kind)
    sandwich = robust.sandwich(model, kind, cluster)
    source: Source = sandwich
    if ddf != "satterthwaite":
        source = WaldTests(sandwich.covariance, _constant_df(model, ddf))
    name = f"{kind} covariance by {sandwich.cluster}"
    return FixedEffectTests(model, ddf, kind, source, name, sandwich.notes)


def _kenward_roger_tests(model: LinearMixedModel, ddf: str) -> FixedEffectTests:
    if ddf == "satterthwaite":
        raise errors_inference.kenward_roger_needs_its_ddf(ddf)
    found = model._kenward_roger
    notes = () if model.is_reml else (errors_inference.reml_refit_note(),)
    source: Source = found
    if ddf != "kenward-roger":
        source = WaldTests(found.covariance, _constant_df(model, ddf))
    return FixedEffectTests(found.model, ddf, "kenward-roger", source, notes=notes)


def _information_notes(model: LinearMixedModel) -> tuple[str, ...]:
    found = model.information
    missing = len(found.hessian) - found.rank
    return (errors_inference.information_singular_note(missing),) if missing else ()
