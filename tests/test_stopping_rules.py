"""Callbacks and rules that stop a fit by what is of interest."""

import warnings

import numpy as np
import pytest

import henderson as hd
from cases import read_table
from henderson.solvers.loop import METHODS, SOLVERS
from solver_problems import PROBLEMS, simulated

SLOW = tuple(SOLVERS)


@pytest.mark.parametrize("method", METHODS)
def test_a_callback_sees_every_accepted_point_and_stops(method):
    seen = []

    def callback(theta, criterion, evaluation, decrement):
        seen.append((np.array(theta), criterion, evaluation, decrement))
        return len(seen) == 3

    formula, table, options = PROBLEMS["nested"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = hd.lmer(formula, read_table(table), method=method, callback=callback, **options)
    assert fit.optimum.status == "stopped by callback"
    assert not fit.converged
    assert len(seen) == 3
    np.testing.assert_array_equal(fit.optimum.theta, seen[-1][0])
    if method != "newton":
        np.testing.assert_array_equal([theta for theta, *_ in fit.optimum.steps], [theta for theta, *_ in seen])
        assert fit.optimum.trace["decrement"].tolist() == [decrement for *_, decrement in seen]


@pytest.mark.parametrize("method", METHODS)
def test_a_rule_sees_the_fixed_effects_and_sigma_of_each_iterate(method):
    paths = []
    rule = hd.StoppingRule(lambda path: paths.append(list(path)))
    options = {"weights": "w", "offset": "o", "method": method, "callback": rule, "tolerance": 1e-4}
    fit = hd.lmer("y ~ x + I(2 * x) + (1 | g) + (1 | h)", simulated(), start=[0.2, 0.2], **options)
    path = paths[-1]
    assert fit.converged
    assert [len(each) for each in paths] == list(range(1, len(path) + 1))
    for at in (path[0], path[-1]):
        solution = fit._problem.solve(fit._y, at.theta, True)
        assert at.fixef == dict(zip(fit.fixef.index, solution.beta.tolist(), strict=True))
        assert at.sigma == solution.sigma
        assert at.criterion == pytest.approx(fit.criterion_at(at.theta), rel=1e-12)
    if method != "newton":  # which takes one more step when it has converged
        assert path[-1].fixef == fit.fixef.to_dict()
    assert path[0].fixef != path[-1].fixef


@pytest.mark.parametrize("method", SLOW)
def test_a_fit_stops_when_the_named_effect_has_settled(method):
    formula = "weight ~ Treatment + Lsize + (1 | Litter)"
    path = []
    options = {"method": method, "start": [5.0], "tolerance": 1e-12}
    watch = hd.StoppingRule(lambda iterates: path.append(iterates[-1].fixef["TreatmentHigh"]))
    hd.lmer(formula, read_table("RatPupWeight"), callback=watch, **options)
    rule = hd.stop_when_stable("TreatmentHigh", by=1e-3, over=2)
    fit = hd.lmer(formula, read_table("RatPupWeight"), callback=rule, **options)
    ranges = [np.ptp(path[k - 2 : k + 1]) for k in range(2, len(path))]
    expected = 2 + next(k for k, size in enumerate(ranges) if size < 1e-3)
    assert fit.optimum.iterations == expected < len(path) - 1
    again = hd.lmer(formula, read_table("RatPupWeight"), callback=rule, **options)
    assert again.optimum.iterations == expected  # a rule keeps nothing of a fit
    sooner = hd.stop_when_stable("Lsize", by=1e-3, over=2)
    assert hd.lmer(formula, read_table("RatPupWeight"), callback=sooner, **options).optimum.iterations < expected
    both = hd.stop_when_stable(["TreatmentHigh", "Lsize"], by=1e-3, over=2)
    assert hd.lmer(formula, read_table("RatPupWeight"), callback=both, **options).optimum.iterations == expected


@pytest.mark.parametrize("method", METHODS)
def test_a_callback_cannot_change_the_path(method):
    def callback(theta, *_):
        theta[:] = 99.0

    formula, table, options = PROBLEMS["nested"]
    fit = hd.lmer(formula, read_table(table), method=method, callback=callback, **options)
    plain = hd.lmer(formula, read_table(table), method=method, **options)
    np.testing.assert_array_equal(fit.optimum.trace, plain.optimum.trace)


@pytest.mark.parametrize("method", METHODS)
def test_rules_stop_refits_and_fits_of_arrays(method):
    """These know columns of X by their numbers, also where an earlier one is aliased."""
    data = read_table("RatPupWeight")
    fit = hd.lmer("weight ~ Treatment + Lsize + (1 | Litter)", data)
    options = {"method": method, "start": [5.0]}
    rule = hd.stop_when_stable("TreatmentHigh", by=1e-2, over=1)
    expected = hd.lmer(fit.formula, data, callback=rule, **options)
    again = fit.refit(data["weight"], callback=rule, **options)
    x = np.column_stack([fit.model_matrix(), np.zeros(len(data))])[:, [0, 4, 1, 2, 3]]
    number = int(np.flatnonzero((x == fit.model_matrix()["TreatmentHigh"].to_numpy()[:, None]).all(axis=0))[0])
    terms = hd.RandomTerm(np.unique(data["Litter"], return_inverse=True)[1])
    arrays = hd.fit_arrays(
        data["weight"], x, terms=terms, callback=hd.stop_when_stable(number, by=1e-2, over=1), **options
    )
    third = arrays.refit(data["weight"], callback=hd.stop_when_stable([number], by=1e-2, over=1), **options)
    for other in (again, arrays, third):
        assert other.optimum.status == expected.optimum.status == "stopped by callback"
        assert other.optimum.evaluations == expected.optimum.evaluations
        np.testing.assert_allclose(other.optimum.theta, expected.optimum.theta, rtol=1e-10)
    with pytest.raises(hd.DataError, match=r"the effect 1, which is no fixed effect of this model\. It has: 0, 2"):
        hd.fit_arrays(data["weight"], x, terms=terms, callback=hd.stop_when_stable(1, by=1.0), **options)


def test_rules_show_progress_too(capsys):
    rule = hd.stop_when_stable("Days", by=1e9, over=1)
    options = {"method": "em", "start": [3.0], "callback": rule, "progress": True}
    hd.lmer("Reaction ~ Days + (1 | Subject)", read_table("sleepstudy"), **options)
    assert "evaluation   2" in capsys.readouterr().err


FORMULA = "Reaction ~ Days + (1 | Subject)"


@pytest.mark.parametrize(
    "options, message",
    [
        ({"method": "EM "}, r"method is 'EM '; it must be one of 'newton', 'em', 'px-em', 'mm'.*Did you mean 'em'"),
        ({"method": None}, "method is None; it must be one of"),
        ({"method": ["em"]}, r"method is \['em'\]; it must be one of"),
        ({"method": "em", "max_evaluations": 0}, "max_evaluations is 0"),
        ({"method": "em", "tolerance": -1}, "tolerance is -1"),
        ({"method": "em", "callback": 3}, "callback is 3"),
        ({"method": "em", "start": [1, 2]}, "start is"),
        ({"method": "em", "start": [np.nan]}, "start is"),
        ({"callback": hd.stop_when_stable("Day", by=1)}, "no fixed effect of this model. Did you mean 'Days'"),
        ({"callback": hd.stop_when_stable(1, by=1)}, r"names the effect 1, .* It has: \(Intercept\), Days"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(hd.DataError, match=message):
        hd.lmer(FORMULA, read_table("sleepstudy"), **options)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: hd.stop_when_stable("Days", by=0), "by is 0; it must be a positive number"),
        (lambda: hd.stop_when_stable("Days", by=float("nan")), "by is nan"),
        (lambda: hd.stop_when_stable("Days", by=True), "by is True"),
        (lambda: hd.stop_when_stable("Days", by=1, over=0), "over is 0"),
        (lambda: hd.stop_when_stable("Days", by=1, over=1.5), "over is 1.5"),
        (lambda: hd.stop_when_stable([], by=1), r"effect is \[\]"),
        (lambda: hd.stop_when_stable(2.5, by=1), "effect is 2.5"),
        (lambda: hd.stop_when_stable(True, by=1), "effect is True"),
        (lambda: hd.stop_when_stable(["Days", None], by=1), "effect is"),
        (lambda: hd.stop_when_stable({"Days"}, by=1), "effect is"),
        (lambda: hd.StoppingRule("soon"), "made of 'soon'"),
    ],
)
def test_rules_that_mean_nothing_are_refused(call, message):
    with pytest.raises(hd.DataError, match=message):
        call()
