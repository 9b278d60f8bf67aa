"""The power of a test of fixed effects, by simulating responses and fitting them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import draws, errors, errors_simulation, truth
from henderson.errors import DataError
from henderson.inference import power_designs
from henderson.inference.bootstrap import chunks
from henderson.inference.power_result import Power, SizeResult
from henderson.inference.power_tests import LRT, Experiment, Hypothesis, check_method, hypothesis
from henderson.optimum import GIVEN
from henderson.options import check_options
from henderson.progress import StepLine

if TYPE_CHECKING:
    from henderson.design import DesignMatrices
    from henderson.model import LinearMixedModel
    from henderson.truth import Truth

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Callback = Callable[[int, int], object]


def power(
    model: LinearMixedModel,
    test: Any,
    *,
    n: int = 1000,
    level: float = 0.05,
    ddf: str = "satterthwaite",
    effect: Any = None,
    sigma: float | None = None,
    varcorr: Any = None,
    along: Mapping[str, Any] | None = None,
    within: Mapping[str, Any] | None = None,
    newdata: Any = None,
    weights: Any = None,
    seed: int | None = None,
    threads: int = 0,
    progress: bool = False,
    callback: Callback | None = None,
) -> Power:
    """Simulate the power of a test of fixed effects, in this design or in one of another size.

    Parameters
    ----------
    test
        What is tested: the name of a coefficient (t test), of a term (F test of all its coefficients, type III), or
        contrasts as in `contrast` (``"recipeB - recipeC"``; several: a joint test).
    n
        Number of responses for each size.
    level
        Level of the test.
    ddf
        Which test: "satterthwaite", "kenward-roger", "residual", "normal" (z and chi-square tests), "lrt"
        (likelihood ratio).
    effect
        Fixed effects to simulate with, by name, the others as estimated: the smallest effects that matter. A number is
        that of the coefficient tested.
    sigma
        Residual standard deviation to simulate with.
    varcorr
        Covariances of the random effects to simulate with: ``{"sd_Days|Subject": 8}``, ``{"Subject": matrix}``, as in
        `henderson.simulate`; what is not named stays.
    along
        Numbers of levels of a grouping factor, ``{"Subject": [10, 20, 40]}``. Levels are copied with all their rows,
        as levels of their own (with those of factors nested in them), or left out so that what remains has the same
        proportions of conditions.
    within
        Numbers of rows in each level of a grouping factor, likewise. With several factors, all combinations.
    newdata
        A table with other rows to start from; its levels may be new, its response absent.
    weights
        Of its rows, as in `simulate`.
    seed
        The same seed gives the same result, for any number of threads, and at each size whatever others are asked for.
        None draws one, which the result names.
    threads
        Threads to use for the fits; 0 for as many as there are processors.
    progress
        Show a line on stderr.
    callback
        Called as ``callback(done, total)``; a true result stops, and what is done is the result.

    Returns
    -------
    Power
        Print it, or use ``.to_frame()``, ``.curve``, ``.smallest_size(0.8)``.

    Raises
    ------
    DataError
        An argument means nothing; a size at which the model cannot be fitted.

    Notes
    -----
    Power is the share of responses in which the p-value is at most the level, with Clopper and Pearson's exact
    confidence interval. A response that cannot be fitted counts as not significant. Random effects are always drawn
    afresh. The offset plays no part.

    References
    ----------
    Green, P. and MacLeod, C. J. (2016). SIMR: an R package for power analysis of generalized linear mixed models by
    simulation. Methods in Ecology and Evolution 7, 493-498.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> found = fit.power("Days", n=200, effect={"Days": 4}, along={"Subject": [10, 20, 30]}, ddf="normal", seed=1)
    >>> found.curve.round(2)
             power  conf_low  conf_high
    Subject
    10        0.52      0.45       0.60
    20        0.76      0.70       0.82
    30        0.93      0.89       0.96
    >>> found.smallest_size(0.9)
    {'Subject': 30}
    """
    check_method(ddf)
    check_options(200, 1e-10, None, threads)
    _check_level(level)
    if callback is not None and not callable(callback):
        raise errors.argument_type("callback", callback, "a function of (done, total)")
    tested = hypothesis(model, test)
    names = [model.design.x_names[j] for j in model.kept]
    own = truth.changed(
        truth.of_model(model), model.design, names, effect=_by_name(effect, tested, names), sigma=sigma, varcorr=varcorr
    )
    base = power_designs.base_design(model, newdata, weights)
    varied = power_designs.variations(base, along, within)
    job = _Job(model, tested, own, ddf, draws.checked_count(n), draws.checked_seed(seed), threads, varied)
    results = job.run(base, progress, callback)
    notes = [errors_simulation.lrt_note()] if ddf == LRT else []
    if effect is None and model.optimum.status != GIVEN:
        notes.append(errors_simulation.observed_power_note())
    return Power(
        tested.label,
        model.formula,
        tested.words(ddf),
        float(level),
        job.seed,
        dict(zip(tested.rows, (tested.contrasts @ own.beta).tolist(), strict=True)),
        tuple(variation.column for variation in varied),
        tuple(variation.words for variation in varied),
        results,
        tuple(notes),
    )


@dataclass(frozen=True, eq=False)
class _Job:
    model: LinearMixedModel
    tested: Hypothesis
    truth: Truth
    ddf: str
    n: int
    seed: int
    threads: int
    varied: tuple[power_designs.Variation, ...]

    def run(self, base: DesignMatrices, progress: bool, callback: Callback | None) -> tuple[SizeResult, ...]:
        """The results at each size, until the callback stops it."""
        planned = list(power_designs.designs(base, self.varied))
        total = self.n * len(planned)
        line = StepLine("power", total) if progress else None
        results: list[SizeResult] = []
        done = 0
        with nullcontext() if line is None else closing(line):
            for sizes, design in planned:
                words = power_designs.in_words(self.varied, sizes)
                p_values: list[Vector] = []
                is_singular: list[NDArray[np.bool_]] = []
                stop = False
                for values, flags in self._tests(design, words):
                    p_values.append(values)
                    is_singular.append(flags)
                    done += len(values)
                    if line is not None:
                        line(done, words if self.varied else "")
                    if callback is not None and callback(done, total):
                        stop = True
                        break
                singular = int(np.concatenate(is_singular).sum())
                results.append(SizeResult(sizes, design.n, np.concatenate(p_values), singular))
                if stop:
                    break
        return tuple(results)

    def _tests(self, design: DesignMatrices, words: str) -> Iterator[tuple[Vector, NDArray[np.bool_]]]:
        """P-values and flags of the responses to a design, some at a time."""
        source = self.truth.draws(design, self.model.kept)
        experiment: Experiment | None = None
        for _, responses in chunks(source, self.seed, design.n, self.n):
            if experiment is None:
                experiment = self._experiment(design, responses[0], words)
            yield from experiment.p_values(responses)

    def _experiment(self, design: DesignMatrices, response: Vector, words: str) -> Experiment:
        try:
            found = Experiment(self.model, design, self.tested, self.truth, self.ddf, self.threads, response)
        except DataError as reason:
            raise errors_simulation.design_impossible(words, reason) from None
        lost = [self.model.design.x_names[j] for j in self.model.kept if j not in set(found.kept)]
        if lost:
            raise errors_simulation.design_too_small(words, lost)
        return found


def _check_level(level: Any) -> None:
    if isinstance(level, bool) or not isinstance(level, int | float | np.floating) or not 0.0 < level < 1.0:
        raise errors_simulation.alpha_invalid(level)


def _by_name(effect: Any, tested: Hypothesis, names: list[str]) -> Any:
    """A number is the value of the coefficient that is tested."""
    if isinstance(effect, int | float | np.integer | np.floating) and not isinstance(effect, bool):
        if len(tested.contrasts) != 1 or np.count_nonzero(tested.contrasts) != 1 or tested.contrasts.sum() != 1.0:
            raise errors_simulation.effect_ambiguous(effect, tested.label)
        return {names[int(np.argmax(tested.contrasts[0]))]: effect}
    return effect
