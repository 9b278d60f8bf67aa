"""Equations in LaTeX: their terms are the columns of the design, and what is written can be typeset."""

import re

import numpy as np
import pandas as pd
import pytest

import henderson as hd
from cases import BY_NAME

CASES = (
    "sleepstudy",
    "sleepstudy_uncorrelated",
    "pastes_nested",
    "penicillin",
    "cake",
    "ratpup_slope",
    "weighted",
    "offset",
)


def fit(name):
    case = BY_NAME[name]
    return hd.lmer(case.formula, case.data(), **case.options())


def table(seed=1):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "y": rng.gamma(5.0, size=160),
            "x": rng.uniform(0.5, 2.0, size=160),
            "z 1": rng.normal(size=160),
            "f": pd.Categorical(rng.choice(["lo", "mid", "hi"], 160), ["lo", "mid", "hi"]),
            "o": pd.Categorical(rng.choice(["a", "b", "c"], 160), ["a", "b", "c"], ordered=True),
            "my_g#": np.tile(np.arange(16), 10),
            "h": np.repeat(np.arange(8), 20),
            "off": rng.normal(size=160),
        }
    )


def lmer(formula, **options):
    return hd.lmer(formula, table(), **options)


def parts(line):
    """What mathtext can read of a line: the sides without the alignment mark."""
    return [side for side in re.split(r"&", line) if side.strip()]


def typeset(line):
    matplotlib = pytest.importorskip("matplotlib")
    from matplotlib.mathtext import MathTextParser

    assert matplotlib
    for side in parts(line.replace(r"\left(0,", r"\left( 0,")):
        MathTextParser("path").parse(f"${side.strip()}$")


def is_balanced(text):
    depth = 0
    for character in re.sub(r"\\[{}]", "", text):
        depth += (character == "{") - (character == "}")
        if depth < 0:
            return False
    left, right = len(re.findall(r"\\left\b", text)), len(re.findall(r"\\right\b", text))
    return depth == 0 and left == right and text.count(r"\begin") == text.count(r"\end")


# ------------------------------------------------------------------------------------------------------ what is written


def test_a_model_with_correlated_slopes():
    assert fit("sleepstudy").equation().lines == (
        r"\mathrm{Reaction}_{i} &= \beta_{0} + \beta_{1} \, \mathrm{Days}_{i} + u_{0j[i]} + u_{1j[i]} \, "
        r"\mathrm{Days}_{i} + \varepsilon_{i}",
        r"\begin{pmatrix} u_{0j} \\ u_{1j} \end{pmatrix} &\sim \mathcal{N}\left(\mathbf{0}, \begin{pmatrix} "
        r"\sigma_{u_{0}}^{2} & \rho_{u_{0} u_{1}} \sigma_{u_{0}} \sigma_{u_{1}} \\ "
        r"\rho_{u_{0} u_{1}} \sigma_{u_{0}} \sigma_{u_{1}} & \sigma_{u_{1}}^{2} \end{pmatrix}\right), "
        r"\quad \text{for } \mathrm{Subject}\ j = 1, \dots, 18",
        r"\varepsilon_{i} &\sim \mathcal{N}\left(0, \sigma^{2}\right), \quad \text{for } i = 1, \dots, 180",
    )


def test_numbers_in_place_of_symbols():
    model = fit("sleepstudy")
    first, second, third = model.equation(estimates=True).lines
    assert "&= 251.41 + 10.47 \\, \\mathrm{Days}_{i} + u_{0j[i]}" in first
    covariance = model.varcorr["Subject"].to_numpy()
    shown = [float(value) for value in re.findall(r"\d+\.?\d*", second.partition(r"\mathbf{0}")[2])[:4]]
    np.testing.assert_allclose(shown, covariance.ravel(), rtol=5e-3)
    assert rf"\left(0, {model.sigma**2:.0f}\right)" in third
    negative = fit("ratpup_slope").equation(estimates=True).lines[0]
    assert r"7.806 - 0.1196 \, \mathrm{Lsize}_{i}" in negative
    assert "+ -" not in negative


def test_estimates_have_the_digits_of_their_standard_errors():
    model = fit("cake")
    line = " ".join(model.equation(estimates=True, digits=2).lines[:2])
    for name in ("temp", "recipeB:temp"):
        assert f"{abs(model.fixef[name]):.3f}" in line
    assert f"{model.fixef['(Intercept)']:.1f}" in line


def test_uncorrelated_effects_have_distributions_of_their_own():
    lines = fit("sleepstudy_uncorrelated").equation().lines
    assert lines[1].startswith(r"u_{0j} &\sim \mathcal{N}\left(0, \sigma_{u_{0}}^{2}\right)")
    assert lines[2].startswith(r"u_{1j} &\sim \mathcal{N}\left(0, \sigma_{u_{1}}^{2}\right)")


def test_each_grouping_factor_has_an_index_and_a_letter():
    lines = fit("pastes_nested").equation().lines
    assert r"u_{0j[i]} + v_{0k[i]}" in lines[0]
    assert r"\mathrm{cask{:}batch}\ j = 1, \dots, 30" in lines[1]
    assert r"\mathrm{batch}\ k = 1, \dots, 10" in lines[2]


def test_an_effect_that_a_factor_gives_twice_gets_another_letter():
    lines = lmer("y ~ x + (1 | h) + (1 + x | h)").equation(terms_per_line=9).lines
    assert r"u_{0j[i]} + v_{0j[i]} + v_{1j[i]} \, \mathrm{x}_{i}" in lines[0]


def test_weights_and_offsets():
    assert r"\sigma^{2} / \mathrm{w}_{i}" in fit("weighted").equation().lines[-1]
    assert r"+ \mathrm{off}_{i} +" in fit("offset").equation().lines[0]
    both = lmer("y ~ x + offset(log(x) + off) + (1 | h)", offset=np.ones(160), weights=np.full(160, 2.0)).equation()
    assert r"+ \left(\log\left(\mathrm{x}_{i}\right) + \mathrm{off}_{i}\right) + \mathrm{offset}_{i}" in both.lines[0]
    assert r"\sigma^{2} / w_{i}" in both.lines[-1]


def test_treatment_dummies_are_indicators_and_other_contrasts_are_named():
    line = " ".join(lmer("y ~ f + (1 | h)").equation().lines[:2])
    assert r"\beta_{1} \, \mathbb{1}\left(\mathrm{f}_{i} = \mathrm{mid}\right)" in line
    assert r"\beta_{2} \, \mathbb{1}\left(\mathrm{f}_{i} = \mathrm{hi}\right)" in line
    ordered = " ".join(lmer("y ~ o + (1 | h)").equation().lines[:2])
    assert r"\operatorname{contrast}_{\mathrm{.L}}\left(\mathrm{o}_{i}\right)" in ordered
    sums = " ".join(lmer("y ~ f + (1 | h)", contrasts={"f": "sum"}).equation().lines[:2])
    assert r"\operatorname{contrast}_{\mathrm{1}}\left(\mathrm{f}_{i}\right)" in sums
    plain = lmer("y ~ f + (1 | h)").equation(indicator=r"\mathbf{1}").source
    assert r"\mathbf{1}\left(\mathrm{f}_{i} = \mathrm{hi}\right)" in plain
    assert "mathbb" not in plain


def test_without_an_intercept_coefficients_count_from_one():
    line = " ".join(lmer("y ~ 0 + f + (1 | h)").equation().lines[:2])
    assert r"&= \beta_{1} \, \mathbb{1}\left(\mathrm{f}_{i} = \mathrm{lo}\right)" in line
    assert r"\beta_{0}" not in line
    assert lmer("y ~ 0 + (1 | h)").equation().lines[0] == r"\mathrm{y}_{i} &= u_{0j[i]} + \varepsilon_{i}"
    slope = lmer("y ~ 1 + (0 + x | h)").equation().lines
    assert slope[0] == r"\mathrm{y}_{i} &= \beta_{0} + u_{1j[i]} \, \mathrm{x}_{i} + \varepsilon_{i}"


def test_aliased_columns_are_left_out():
    line = lmer("y ~ x + I(2 * x) + (1 | h)").equation().lines[0]
    assert line.count(r"\beta") == 2


def test_transformations_are_written_as_mathematics():
    model = lmer("sqrt(y) ~ log(x) + I(x^2) + I(x + h) + poly(x, 2) + scale(off) + I(off / x) + (1 | h)")
    source = model.equation(terms_per_line=20).lines[0]
    for piece in (
        r"\sqrt{\mathrm{y}_{i}} &=",
        r"\log\left(\mathrm{x}_{i}\right)",
        r"\beta_{2} \, \mathrm{x}_{i}^{2}",
        r"\left(\mathrm{x}_{i} + \mathrm{h}_{i}\right)",
        r"\operatorname{poly}_{1}\left(\mathrm{x}_{i}, 2\right)",
        r"\operatorname{scale}\left(\mathrm{off}_{i}\right)",
        r"\frac{\mathrm{off}_{i}}{\mathrm{x}_{i}}",
    ):
        assert piece in source
    typeset(source)


def test_names_are_escaped():
    model = lmer("y ~ `z 1` + (1 + `z 1` | `my_g#`)")
    source = model.equation().source
    assert r"\mathrm{z\ 1}_{i}" in source
    assert r"\mathrm{my\_g\#}\ j" in source
    assert is_balanced(source)
    data = table().rename(columns={"x": "größe_%"})
    accents = hd.lmer("y ~ `größe_%` + (1 | h)", data).equation().lines[0]
    assert r"\text{größe\_\%}_{i}" in accents


def test_long_sums_are_broken_after_the_terms_asked_for():
    model = fit("cake")
    counts = [line.count(r"\beta") + line.count("u_") + line.count(r"\varepsilon_") for line in model.equation().lines]
    assert counts[:2] == [4, 4]
    two = model.equation(terms_per_line=2).lines
    assert [line.startswith(r"&\quad {} + ") for line in two[:4]] == [False, True, True, True]
    assert " ".join(two[:4]).replace(r" &\quad {}", "") == model.equation(terms_per_line=99).lines[0]


# ------------------------------------------------------------------------------------------ laws of all these equations


@pytest.mark.parametrize("estimates", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_every_equation_is_well_formed(name, estimates):
    found = fit(name).equation(estimates=estimates)
    assert is_balanced(found.source)
    assert all(line.count("&") - line.count(" & ") == 1 for line in found.lines)
    for line in found.lines:
        if "pmatrix" not in line:
            typeset(line)
    assert "nan" not in found.source.lower().replace(r"\mathrm", "")


@pytest.mark.parametrize("name", CASES)
def test_every_coefficient_and_every_random_effect_is_there_once(name):
    model = fit(name)
    lines = model.equation(terms_per_line=99).lines
    assert re.findall(r"\\beta_\{(\d+)\}", lines[0]) == [str(i) for i in range(len(model.fixef))]
    effects = sum(len(term.names) for term in model.design.terms)
    assert len(re.findall(r"[u-w]_\{\d+[j-l]\[i\]\}", lines[0])) == effects
    assert len(lines) == 2 + len(model.design.terms)


FORMULAS = (
    "y ~ f * x + (1 | h)",
    "y ~ 0 + f:x + o + (0 + f | h)",
    "y ~ f / x + poly(x, 2):f + (x || h)",
    "y ~ f * o * x + (1 + x | h) + (1 | `my_g#`)",
    "y ~ factor(h) + (1 | `my_g#`)",
)


@pytest.mark.parametrize("formula", FORMULAS)
def test_the_columns_of_any_formula_find_their_terms(formula):
    """Indicators and numbers multiplied as written give the columns of X."""
    model = lmer(formula)
    line = model.equation(terms_per_line=99).lines[0]
    written = re.split(r" \+ ", line.partition("&= ")[2])
    data = table()
    for number, text in enumerate(written[: len(model.fixef)]):
        if "contrast" in text or "poly" in text:
            continue
        column = np.ones(len(data))
        for name, level in re.findall(
            r"\\mathbb\{1\}\\left\(\\mathrm\{(\w+)\}_\{i\} = \\mathrm\{(\w+)\}\\right\)", text
        ):
            column = column * (data[name].astype(str) == level)
        if re.search(r"(?<!\\left\()\\mathrm\{x\}_\{i\}", text):
            column = column * data["x"]
        np.testing.assert_allclose(model.design.x_matrix()[:, model.kept[number]], column, err_msg=text)


def test_notebooks_and_documents_get_displayed_equations():
    found = fit("penicillin").equation()
    assert str(found) == repr(found) == found.source
    assert found.to_latex() == f"\\[\n{found.source}\n\\]\n"
    assert found.to_markdown() == found._repr_latex_() == found._repr_markdown_() == f"$$\n{found.source}\n$$\n"


@pytest.mark.parametrize(
    "options, message",
    [
        ({"digits": 0}, "digits is 0"),
        ({"terms_per_line": 0}, "terms_per_line is 0; it must be a whole number of at least 1"),
        ({"indicator": 1}, "indicator"),
    ],
)
def test_bad_choices_are_refused(options, message):
    with pytest.raises(hd.DataError, match=message):
        fit("penicillin").equation(**options)
