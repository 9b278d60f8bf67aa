"""The marginal view: blocks of V as dense algebra has them, and the multivariate normal density without V."""

import pickle
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from scipy import sparse
from scipy.stats import multivariate_normal

import dense_inference
import henderson as hd
from cases import read_table
from henderson import RandomTerm, marginal_loglik
from oracle import relative_factors
from strategies import LAWS, models

# ------------------------------------------------------------------------------------------------------- marginal_cov


@cache
def crossed(formula="y ~ x + (x | g) + (1 | h)", weights=None, reml=True):
    rng = np.random.default_rng(8)
    n = 90
    g, h, x = rng.integers(0, 9, n), rng.integers(0, 6, n), rng.normal(size=n)
    y = 1 + 0.5 * x + rng.normal(size=9)[g] * (1 + x) + rng.normal(size=6)[h] + rng.normal(size=n)
    y[[3, 40]] = np.nan
    data = {"y": y, "x": x, "g": g, "h": np.array(list("abcdef"))[h], "w": rng.uniform(0.2, 3, n)}
    return hd.lmer(formula, pd.DataFrame(data, index=[f"r{i}" for i in range(n)]), weights=weights, reml=reml)


MODELS = {
    "crossed": ("y ~ x + (x | g) + (1 | h)", None),
    "weighted": ("y ~ 1 + (x || g) + (1 | h)", "w"),
    "nested": ("y ~ 0 + (1 | g/h)", None),
    "categorical": ("y ~ x + (h | g)", "w"),
}


@pytest.mark.parametrize("name", MODELS)
def test_all_rows_give_the_whole_covariance_matrix(name):
    fit = crossed(*MODELS[name])
    found = fit.marginal_cov(slice(None))
    dense = dense_inference.covariance(fit, fit.optimum.theta, fit.sigma)
    np.testing.assert_allclose(found, dense, rtol=1e-12, atol=1e-12)
    assert found.index.equals(fit.index)
    assert found.columns.equals(fit.index)
    z, lam = fit.Z.toarray(), fit.Lambda.toarray()
    noise = np.ones(fit.nobs) if fit.design.weights is None else 1 / fit.design.weights
    np.testing.assert_allclose(found, fit.sigma**2 * (z @ lam @ lam.T @ z.T + np.diag(noise)), rtol=1e-9, atol=1e-9)


def test_rows_are_chosen_by_label_position_mask_slice_and_level():
    fit = crossed()
    whole = fit.marginal_cov(slice(None))
    labels = ["r7", "r2", "r88"]
    positions = fit.index.get_indexer(labels)
    assert positions[2] == 86  # two rows were left out
    pd.testing.assert_frame_equal(fit.marginal_cov(labels), whole.loc[labels, labels])
    pd.testing.assert_frame_equal(fit.marginal_cov(positions, by="position"), whole.loc[labels, labels])
    pd.testing.assert_frame_equal(fit.marginal_cov("r7"), whole.loc[["r7"], ["r7"]])
    pd.testing.assert_frame_equal(fit.marginal_cov(pd.Index(labels)), whole.loc[labels, labels])
    pd.testing.assert_frame_equal(fit.marginal_cov(slice(2, 9, 3)), whole.iloc[2:9:3, 2:9:3])
    mask = np.isin(np.asarray(fit.index), labels)
    for given_mask in (mask, mask.tolist(), pd.Series(mask, index=fit.index)):
        pd.testing.assert_frame_equal(fit.marginal_cov(given_mask), whole.loc[mask, mask])
    factor = next(factor for factor in fit.design.factors if factor.name == "g")
    of_level = factor.labels[factor.codes] == 4
    for level in (4, "4", np.int64(4)):
        pd.testing.assert_frame_equal(fit.marginal_cov({"g": level}), whole.loc[of_level, of_level])
    other = next(factor for factor in fit.design.factors if factor.name == "h")
    both = of_level & (other.labels[other.codes] == "b")
    assert 0 < both.sum() < of_level.sum()
    pd.testing.assert_frame_equal(fit.marginal_cov({"g": 4, "h": "b"}), whole.loc[both, both])


def test_a_mask_of_the_table_is_aligned_with_the_rows_that_were_used():
    fit = crossed()
    whole = fit.marginal_cov(slice(None))
    of_table = pd.Series(np.arange(90) % 4 == 3, index=[f"r{i}" for i in range(90)])  # rows 3 and 40 were left out
    chosen = [f"r{i}" for i in range(7, 90, 4)]
    for mask in (of_table, of_table.iloc[::-1], of_table.astype("boolean")):
        pd.testing.assert_frame_equal(fit.marginal_cov(mask), whole.loc[chosen, chosen])


def test_a_row_asked_for_twice_has_its_own_variance_as_covariance():
    fit = crossed(*MODELS["weighted"])
    found = fit.marginal_cov([5, 5, 6], by="position").to_numpy()
    assert found[0, 1] == found[0, 0] == found[1, 1]
    assert found[0, 2] != found[0, 0]


def test_a_label_of_several_rows_gives_all_of_them():
    data = read_table("sleepstudy").set_index("Subject")
    fit = hd.lmer("Reaction ~ Days + (1 | id)", data.assign(id=data.index.to_numpy()))
    assert fit.marginal_cov([data.index[0]]).shape == (10, 10)
    np.testing.assert_array_equal(fit.marginal_cov(data.index[0]), fit.marginal_cov({"id": data.index[0]}))


def test_a_level_of_a_combination_is_named_as_in_ranef():
    fit = hd.lmer("strength ~ 1 + (1 | batch/cask)", read_table("Pastes"))
    label = fit.ranef["cask:batch"].index[4]
    found = fit.marginal_cov({"cask:batch": label})
    between = sum(float(fit.varcorr[name].iloc[0, 0]) for name in ("batch", "cask:batch"))
    np.testing.assert_allclose(found, between + fit.sigma**2 * np.eye(2), rtol=1e-12)


def test_rows_without_a_common_level_are_independent():
    found = hd.lmer("Reaction ~ Days + (Days | Subject)", read_table("sleepstudy")).marginal_cov(
        [0, 179], by="position"
    )
    assert found.iloc[0, 1] == 0.0


@pytest.mark.parametrize(
    "rows, options, message",
    [
        (["r7", "q"], {}, "label 'q', which is not in the index"),
        (3, {}, "label 3, which is not in the index.*by='position'"),
        ([[1, 2]], {}, r"label \[1, 2\]"),
        (np.eye(2), {}, r"ndarray\); it must be labels"),
        (slice("a", "b"), {}, "it must be labels"),
        ([0, 88], {"by": "position"}, "position 88; positions are integers from 0 to 87"),
        ([-1], {"by": "position"}, "position -1"),
        ([0.5], {"by": "position"}, "position 0.5"),
        ([0], {"by": "row"}, "by is 'row'"),
        ([0], {"by": np.zeros(2)}, "by is array"),
        ([True, False], {}, "mask of 2 values; this fit used 88 rows"),
        ([True] * 87 + [None], {}, "a mask with values other than True and False"),
        (pd.Series([True, pd.NA] * 44, dtype="boolean"), {}, "a mask with values other than True and False"),
        (pd.Series(np.ones(88, dtype=bool)), {}, "a mask whose index lacks rows"),
        (pd.Series(True, index=["r0"] * 88), {}, "has labels twice"),
        ({}, {}, "names no grouping factor.*{'g'"),
        ({"gg": 1}, {}, "names 'gg', which is no grouping factor of this model. Did you mean 'g'"),
        ({"h": "z"}, {}, "'h' has no level 'z'.*a, b, c, d, e, f"),
        ([], {}, "chooses no rows"),
        (np.zeros(88, dtype=bool), {}, "chooses no rows"),
        (np.zeros(20_001, dtype=int), {"by": "position"}, "chooses 20001 rows"),
    ],
)
def test_rows_that_are_not_there_are_refused(rows, options, message):
    with pytest.raises(hd.DataError, match=message):
        crossed().marginal_cov(rows, **options)


def test_a_fit_without_its_rows_says_so(tmp_path):
    fit = crossed()
    fit.save(tmp_path / "fit.henderson")
    with pytest.raises(hd.DataError, match="rows"):
        hd.load(tmp_path / "fit.henderson").marginal_cov(slice(None))
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(fit)).marginal_cov({"g": 1}), fit.marginal_cov({"g": 1}))


# ---------------------------------------------------------------------------------------------------- marginal_loglik


def dense_parts(design, theta, sigma):
    """V and Z, Lambda of a design, n x n."""
    terms = zip(design.terms, relative_factors(theta, design.sizes), strict=True)
    z, lam = zip(*((term.matrix(), np.kron(np.eye(term.levels), lam)) for term, lam in terms), strict=True)
    size = sum(map(len, lam))
    factor, start = np.zeros((size, size)), 0
    for block in lam:
        factor[start : start + len(block), start : start + len(block)] = block
        start += len(block)
    z = np.hstack(z)
    return sigma**2 * (z @ factor @ factor.T @ z.T + np.diag(1 / design.w)), z, factor


@LAWS
@given(models())
def test_it_is_the_multivariate_normal_density(model):
    design, theta, _ = model
    sigma = 0.5 + abs(float(np.sin(theta.sum())))
    v, z, lam = dense_parts(design, theta, sigma)
    beta = np.cos(np.arange(design.x.shape[1]))
    offset = np.sin(np.arange(design.n))
    expected = multivariate_normal(design.x @ beta + offset, v).logpdf(design.y)
    options = {"beta": beta, "weights": design.weights, "offset": offset}
    tight = {"rel": 1e-8, "abs": 1e-6}
    by_core = marginal_loglik(design.y, design.x, design.random_terms(), theta, sigma, **options)
    assert by_core == pytest.approx(expected, **tight)
    assert marginal_loglik(design.y, design.x, z, lam, sigma, **options) == pytest.approx(expected, **tight)
    given_sparse = sparse.csr_array(z), sparse.csc_array(lam)
    assert marginal_loglik(design.y, design.x, *given_sparse, sigma, **options) == pytest.approx(expected, **tight)


@LAWS
@given(models())
def test_without_beta_it_is_the_largest_density_or_the_restricted_one(model):
    design, theta, reml = model
    sigma = 0.7
    v, z, lam = dense_parts(design, theta, sigma)
    inverse = np.linalg.inv(v)
    information = design.x.T @ inverse @ design.x
    beta = np.linalg.solve(information, design.x.T @ inverse @ design.y)
    expected = multivariate_normal(design.x @ beta, v).logpdf(design.y)
    if reml:
        p = design.x.shape[1]
        expected += 0.5 * (p * np.log(2 * np.pi) - np.linalg.slogdet(information)[1])
    options = {"reml": reml, "weights": design.weights}
    tight = {"rel": 1e-7, "abs": 1e-5}
    by_core = marginal_loglik(design.y, design.x, design.random_terms(), theta, sigma, **options)
    assert by_core == pytest.approx(expected, **tight)
    assert marginal_loglik(design.y, design.x, z, lam, sigma, **options) == pytest.approx(expected, **tight)
    if not reml and design.x.shape[1]:
        for shift in (0.1, -0.1):
            off = marginal_loglik(design.y, design.x, z, lam, sigma, beta=beta + shift, weights=design.weights)
            assert off < by_core


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_at_the_estimates_it_is_the_log_likelihood_of_the_fit(name, reml):
    fit = crossed(*MODELS[name], reml=reml)
    y, x, weights = fit.design.y, fit.model_matrix() if len(fit.fixef) else None, fit.design.weights
    found = marginal_loglik(y, x, fit.Z, fit.Lambda, fit.sigma, reml=reml, weights=weights)
    assert found == pytest.approx(fit.loglik, rel=1e-10)
    if not reml and x is not None:
        again = marginal_loglik(y, x, fit.Z, fit.Lambda, fit.sigma, beta=fit.fixef, weights=weights)
        assert again == pytest.approx(fit.loglik, rel=1e-10)


def test_a_single_number_or_one_for_each_effect_may_stand_for_lambda():
    rng = np.random.default_rng(2)
    z, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    whole = marginal_loglik(y, None, z, 0.7 * np.eye(3), 1.2)
    assert marginal_loglik(y, None, z, 0.7, 1.2) == pytest.approx(whole, rel=1e-13)
    assert marginal_loglik(y, None, z.tolist(), [0.7] * 3, 1.2) == pytest.approx(whole, rel=1e-13)
    assert marginal_loglik(y, None, sparse.coo_array(z), 0.7, 1.2) == pytest.approx(whole, rel=1e-13)


@pytest.mark.parametrize("codes", [np.zeros(5, dtype=int), np.arange(5)], ids=["one level", "a level for each row"])
def test_a_density_needs_no_variance_that_could_be_estimated(codes):
    y = np.array([1.0, 2, 4, 3, 7])
    v = 1.5**2 * (0.49 * (codes[:, None] == codes) + np.eye(5))
    expected = multivariate_normal(np.zeros(5), v).logpdf(y)
    assert marginal_loglik(y, None, RandomTerm(codes), 0.7 * np.ones(1), 1.5) == pytest.approx(expected, rel=1e-12)


def test_a_response_that_x_fits_exactly_has_a_density():
    """sigma is given, so that no residual is needed to estimate it."""
    rng = np.random.default_rng(3)
    codes, x = np.arange(20) % 4, np.column_stack([np.ones(20), rng.normal(size=20)])
    z, weights, beta = (codes[:, None] == np.arange(4)).astype(float), rng.uniform(0.5, 2, 20), np.array([2.0, -1.0])
    v = 1.3**2 * (0.64 * z @ z.T + np.diag(1 / weights))
    expected = multivariate_normal(np.zeros(20), v).logpdf(np.zeros(20))
    for random_part, theta in ((RandomTerm(codes), [0.8]), (z, 0.8)):
        for y, X, options in ((x @ beta, x, {"beta": beta}), (x @ beta, x, {}), (np.zeros(20), None, {})):
            found = marginal_loglik(y, X, random_part, theta, 1.3, weights=weights, **options)
            assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("scale", [1.0, 1e-12])
def test_what_x_can_fit_costs_no_digits(scale):
    rng = np.random.default_rng(4)
    codes, y = np.arange(30) % 5, rng.normal(size=30)
    x = np.column_stack([np.ones(30), scale * rng.normal(size=30)])
    z = (codes[:, None] == np.arange(5)).astype(float)
    for random_part, theta in ((RandomTerm(codes), [0.8]), (z, 0.8)):
        expected = marginal_loglik(y, x, random_part, theta, 1.3)
        assert marginal_loglik(y + 1e8, x, random_part, theta, 1.3) == pytest.approx(expected, abs=1e-6)


def test_sigma_may_be_an_array_without_axes():
    expected = marginal_loglik(Y, X, Z, 1.0, 1.5)
    for sigma in (np.array(1.5), np.float32(1.5)):
        assert marginal_loglik(Y, X, Z, 1.0, sigma) == expected


def test_no_matrix_of_rows_by_rows_is_needed():
    """A million rows: V would have 8 TB."""
    rng = np.random.default_rng(1)
    n, groups = 1_000_000, 1000
    codes = rng.integers(0, groups, n)
    y = rng.normal(size=groups)[codes] + rng.normal(size=n)
    counts = np.bincount(codes, minlength=groups)
    sums, squares = np.bincount(codes, y), float(y @ y)
    theta, sigma = 0.9, 1.1
    shrunk = theta**2 / (1 + theta**2 * counts)
    expected = -0.5 * (n * np.log(2 * np.pi * sigma**2) + np.log1p(theta**2 * counts).sum())
    expected -= 0.5 * (squares - (shrunk * sums**2).sum()) / sigma**2
    assert marginal_loglik(y, None, RandomTerm(codes), [theta], sigma) == pytest.approx(expected, rel=1e-12)
    z = sparse.csr_array((np.ones(n), codes, np.arange(n + 1)), shape=(n, groups))
    assert marginal_loglik(y, None, z, theta, sigma) == pytest.approx(expected, rel=1e-12)


Y, X, CODES = np.arange(6.0), np.ones((6, 1)), np.array([0, 0, 1, 1, 2, 2])
Z = (CODES[:, None] == np.arange(3)).astype(float)
NAN = np.where(Z == 1, np.nan, Z)


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        ((Y, X, RandomTerm(CODES), [1.0, 2.0], 1.0), {}, "theta is .*it must be 1 finite number"),
        ((Y, X, RandomTerm(CODES), [np.nan], 1.0), {}, "theta is"),
        ((Y[:5], X, RandomTerm(CODES), [1.0], 1.0), {}, r"y has shape \(5,\)"),
        ((Y[:5], X, Z, 1.0, 1.0), {}, r"y has shape \(5,\)"),
        ((Y, X[:5], Z, 1.0, 1.0), {}, r"X has shape \(5, 1\)"),
        ((Y, X, Z, [1.0, 2.0], 1.0), {}, r"theta has shape \(2,\); with a matrix Z of 3 columns"),
        ((Y, X, Z, np.inf, 1.0), {}, "theta is inf"),
        ((Y, X, Z, np.full((3, 3), np.nan), 1.0), {}, "theta is not finite in row 0"),
        ((Y, X, NAN, 1.0, 1.0), {}, "Z is not finite in row 0"),
        ((Y, X, sparse.csr_array(NAN), 1.0, 1.0), {}, "Z is not finite in row 0"),
        ((Y * np.nan, X, Z, 1.0, 1.0), {}, "y is not finite"),
        ((Y, X * np.nan, Z, 1.0, 1.0), {}, "column 0 of X is not finite"),
        ((Y, X, Y, 1.0, 1.0), {}, r"Z has shape \(6,\)"),
        ((Y, X, None, 1.0, 1.0), {}, "Z is a NoneType; it must be a RandomTerm"),
        ((Y, X, "(1 | g)", 1.0, 1.0), {}, "Z is a str"),
        ((Y, X, Z, 1e160, 1.0), {}, "theta is too large"),
        ((Y, X, sparse.csr_array(Z), 1e160, 1.0), {}, "theta is too large"),
        ((Y, X, RandomTerm(CODES), [1e160], 1.0), {}, "theta is too large"),
        ((Y, sparse.csr_array(X), Z, 1.0, 1.0), {}, "X cannot be read as numbers: it is a sparse matrix"),
        ((Y, X, Z, 1.0, 0.0), {}, "sigma is 0.0"),
        ((Y, X, Z, 1.0, 1e-200), {}, "from 1e-150 to 1e150"),
        ((Y, X, Z, 1.0, np.inf), {}, "sigma is inf"),
        ((Y, X, Z, 1.0, [1.0]), {}, r"sigma is \[1.0\]"),
        ((Y, X, Z, 1.0, True), {}, "sigma is True"),
        ((Y, X, Z, 1.0, 1.0), {"beta": [1.0, 2.0]}, r"beta has shape \(2,\)"),
        ((Y, X, Z, 1.0, 1.0), {"beta": [np.nan]}, "beta is not finite"),
        ((Y, X, Z, 1.0, 1.0), {"beta": [1.0], "reml": True}, "beta is given with reml=True"),
        ((Y, None, Z, 1.0, 1.0), {"beta": []}, "X is None"),
        ((Y, X, Z, 1.0, 1.0), {"reml": "ML"}, "reml is 'ML'"),
        ((Y, X, Z, 1.0, 1.0), {"weights": np.zeros(6)}, r"weights\[0\] is 0"),
        ((Y, X, Z, 1.0, 1.0), {"weights": [1.0]}, r"weights has shape \(1,\)"),
        ((Y, X, Z, 1.0, 1.0), {"offset": Y * np.nan}, "offset is not finite"),
        ((Y, np.hstack([X, 2 * X]), Z, 1.0, 1.0), {}, "2 columns of which only 1 are independent"),
        ((Y, X, [RandomTerm(CODES), 3], [1.0], 1.0), {}, r"terms\[1\] is a int"),
    ],
)
def test_what_has_no_density_is_refused(arguments, options, message):
    with pytest.raises(hd.DataError, match=message):
        marginal_loglik(*arguments, **options)
