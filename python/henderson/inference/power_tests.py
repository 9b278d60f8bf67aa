"""P-values of one hypothesis about the fixed effects in many responses to one design."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors, errors_simulation
from henderson.compiled import CONVERGED_CODE, CompiledProblem
from henderson.compiling import compile_design
from henderson.errors import MixedModelError
from henderson.inference.degrees import DDF, METHOD_NAMES, fixed_effect_tests
from henderson.inference.distributions import f_tail, t_tail, wald
from henderson.inference.linear_forms import linear_forms
from henderson.inference.mixtures import chi_square_tail
from henderson.optimum import CONVERGED, Optimum

if TYPE_CHECKING:
    from henderson.design import DesignMatrices
    from henderson.model import LinearMixedModel
    from henderson.truth import Truth

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

LRT = "lrt"
METHODS = (*DDF, LRT)
SAME = 1e-6
"""Deviances that differ by less than this are those of the same optimum."""
BATCH = 32
"""P-values that need a model each come so many at a time."""


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """L beta = rhs, over the fixed effects kept: label, L (r, p), rhs (r,), and what each row is called."""

    label: str
    contrasts: Matrix
    rhs: Vector
    rows: tuple[str, ...]

    def words(self, ddf: str) -> str:
        """The test in words: ``t test with Satterthwaite's method``."""
        count = len(self.contrasts)
        if ddf == LRT:
            return "likelihood-ratio test" + (f" of {count} coefficients" if count > 1 else "")
        if ddf == "normal":
            return "z test" if count == 1 else f"chi-square test of {count} coefficients"
        return f"{'t test' if count == 1 else f'F test of {count} coefficients'} with {METHOD_NAMES[ddf]}"


def hypothesis(model: LinearMixedModel, test: Any) -> Hypothesis:
    """What is tested: a coefficient or a term by name, or contrasts.

    Raises
    ------
    DataError
        There is no such coefficient, term or contrast, or it cannot be estimated.
    """
    kept = model.kept
    names = [model.design.x_names[j] for j in kept]
    if isinstance(test, str):
        if test in names:
            return Hypothesis(test, np.eye(len(names))[[names.index(test)]], np.zeros(1), (test,))
        terms = [term.label for term in model.design.formula.fixed_terms]
        if test in terms:
            rows = dict(model.row_facts.term_contrasts(3))[test]
            if not len(rows):
                raise errors_simulation.power_test_aliased(test)
            return Hypothesis(test, rows, np.zeros(len(rows)), _row_names(rows, test, names))
        if test in model.design.x_names:
            raise errors_simulation.power_test_aliased(test)
        if not set("+-*/=") & set(test):
            raise errors_simulation.power_test_unknown(test, names, terms)
    elif test is None or isinstance(test, bool | int | float):
        raise errors_simulation.power_test_type(test)
    forms = linear_forms(test, model.design.x_names, kept)
    aliased = [j for j in range(len(model.design.x_names)) if j not in set(kept)]
    if forms.weights[:, aliased].any():
        raise errors_simulation.power_test_aliased(", ".join(forms.labels))
    return Hypothesis(", ".join(forms.labels), forms.weights[:, kept], forms.rhs, forms.labels)


def _row_names(rows: Matrix, label: str, names: Sequence[str]) -> tuple[str, ...]:
    """What the rows of a term's hypothesis are called: by their coefficients, where they are just these."""
    places = rows.argmax(axis=1)
    if np.array_equal(rows, np.eye(rows.shape[1])[places]):
        return tuple(names[place] for place in places)
    return tuple(f"{label}[{i + 1}]" for i in range(len(rows)))


class Experiment:
    """One design, to which responses are fitted and in which a hypothesis is tested.

    Parameters
    ----------
    model
        Whose type and fixed effects the fits have.
    design
        Without offset.
    tested
        The hypothesis.
    truth
        Fits start at its theta.
    ddf
        Which test, one of `METHODS`.
    threads
        For the fits.
    response
        Any response to the design.
    """

    def __init__(
        self,
        model: LinearMixedModel,
        design: DesignMatrices,
        tested: Hypothesis,
        truth: Truth,
        ddf: str,
        threads: int,
        response: Vector,
    ) -> None:
        self._type = type(model)
        self._design, self._tested, self._ddf, self._threads = design, tested, ddf, threads
        self._reml = ddf != LRT and (model.is_reml or ddf == "kenward-roger")
        self._response = np.ascontiguousarray(response)
        self._problem = compile_design(design, self._response, threads)
        self._start = np.clip(truth.theta, -self._problem.theta_limits, self._problem.theta_limits)
        self._smaller = self._without() if ddf == LRT else None

    @property
    def kept(self) -> list[int]:
        """Columns of X that can be estimated."""
        return self._problem.kept

    def p_values(self, responses: Matrix) -> Iterator[tuple[Vector, NDArray[np.bool_]]]:
        """P-values of responses (count, n), NaN where no model could be fitted, and singular fits; some at a time."""
        found = self._fits(self._problem, responses, self._start)
        has_converged = found["status"] == CONVERGED_CODE
        is_singular = found["is_singular"] != 0
        if self._smaller is not None:
            yield self._likelihood_ratio(self._smaller, responses, found, has_converged), is_singular
        elif self._ddf in ("normal", "residual"):
            yield self._with_constant_df(found, has_converged), is_singular
        else:
            for first in range(0, len(responses), BATCH):
                places = range(first, min(first + BATCH, len(responses)))
                values = [self._of_model(responses[r], found, r) if has_converged[r] else np.nan for r in places]
                yield np.array(values), is_singular[places.start : places.stop]

    def _fits(self, problem: CompiledProblem, responses: Matrix, start: Vector | None) -> dict[str, NDArray[Any]]:
        return problem.fit_responses(np.asfortranarray(responses.T), self._reml, start, 1e-10, 200, self._threads)

    # ------------------------------------------------------------------------------------------------------ Wald tests

    def _with_constant_df(self, found: dict[str, NDArray[Any]], has_converged: NDArray[np.bool_]) -> Vector:
        """Tests whose degrees of freedom are known before: infinitely many, or rows minus fixed effects."""
        L, rhs = self._tested.contrasts, self._tested.rhs
        df = float("inf") if self._ddf == "normal" else float(self._design.n - len(self.kept))
        result = np.full(len(has_converged), np.nan)
        for r in np.flatnonzero(has_converged):
            at = self._problem.solve(self._response, found["theta"][r], self._reml)
            covariance = found["sigma"][r] ** 2 * at.unscaled_vcov
            statistic, rank = wald(L, covariance, L @ found["beta"][r] - rhs)
            result[r] = statistic if len(L) == 1 else f_tail(statistic / rank, rank, df)
        return t_tail(np.sqrt(result), df) if len(L) == 1 else result

    def _of_model(self, response: Vector, found: dict[str, NDArray[Any]], place: int) -> float:
        """The test of one response, by a fitted model of its own."""
        y = np.ascontiguousarray(response)
        theta = np.ascontiguousarray(found["theta"][place])
        try:
            model = self._type(replace(self._design, y=y), self._problem, None, y, self._reml, ())
            model.optimum = self._optimum(y, theta, found, place)
            tests = fixed_effect_tests(model, self._ddf)
            if len(self._tested.contrasts) == 1:
                return float(tests.t_tests(self._tested.contrasts, self._tested.rhs).p_value[0])
            return tests.f_test(self._tested.contrasts, self._tested.rhs)[1]
        except (MixedModelError, np.linalg.LinAlgError):
            return float("nan")

    def _optimum(self, y: Vector, theta: Vector, found: dict[str, NDArray[Any]], place: int) -> Optimum:
        """Where the fit ended; the ranks of a singular one come from fitting it again."""
        sizes = tuple(len(term.columns) for term in self._design.terms)
        if found["is_singular"][place]:
            return Optimum.from_core(self._problem.fit(y, self._reml, theta), sizes)
        nan = float("nan")
        value, count = float(found["criterion"][place]), int(found["evaluations"][place])
        return Optimum(theta, value, count, count, CONVERGED, nan, nan, nan, sizes, sizes, ())

    # ----------------------------------------------------------------------------------------- likelihood-ratio tests

    def _without(self) -> CompiledProblem:
        """The problem under the hypothesis: X N with the columns of N a basis of what L leaves out."""
        L = self._tested.contrasts
        kept = [self._design.x[j] for j in self.kept]
        if all(np.count_nonzero(row) == 1 for row in L):
            columns = [column for j, column in enumerate(kept) if not L[:, j].any()]
        else:
            basis = np.linalg.qr(L.T, mode="complete")[0][:, np.linalg.matrix_rank(L) :]
            whole = np.column_stack([np.ones(self._design.n) if column is None else column for column in kept])
            columns = list(np.ascontiguousarray((whole @ basis).T))
        return compile_design(replace(self._design, x=columns), self._response, self._threads)

    def _likelihood_ratio(
        self, smaller: CompiledProblem, responses: Matrix, found: dict[str, NDArray[Any]], has_converged: Any
    ) -> Vector:
        L, rhs = self._tested.contrasts, self._tested.rhs
        if rhs.any():  # the hypothesis is about beta minus any solution of L beta = rhs
            solution = np.linalg.lstsq(L, rhs, rcond=None)[0]
            for j, coefficient in zip(self.kept, solution, strict=True):
                column = self._design.x[j]
                responses = responses - (coefficient if column is None else coefficient * column)
        below = self._fits(smaller, responses, self._start)
        above = np.array(found["criterion"])
        again = np.flatnonzero(above > below["criterion"] + SAME)
        if len(again):
            above[again] = np.fmin(above[again], self._fits(self._problem, responses[again], None)["criterion"])
        df = int(np.linalg.matrix_rank(L))
        known = has_converged & (below["status"] == CONVERGED_CODE)
        statistics = np.maximum(below["criterion"] - above, 0.0)
        return np.array([chi_square_tail(s, df) if ok else np.nan for s, ok in zip(statistics, known, strict=True)])


def check_method(ddf: Any) -> None:
    """Refuse what is not the name of a test."""
    if not isinstance(ddf, str) or ddf not in METHODS:
        raise errors.choice("ddf", ddf, METHODS)
