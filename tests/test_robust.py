"""Cluster-robust covariances: clubSandwich's numbers, the same matrices written down densely, laws, and bad input."""

import json
import tracemalloc
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import henderson
from cases import BY_NAME
from henderson import DataError
from henderson.inference import cluster_blocks, clusters, robust

REFERENCE = json.loads((Path(__file__).parent / "reference" / "robust" / "clubsandwich.json").read_text())
PAIRS = np.repeat(np.arange(9), 20)  # two subjects of sleepstudy together
TENTHS = np.arange(180) % 10 // 3  # clusters that the subjects cross


@cache
def fitted(name):
    case = BY_NAME[name]
    return henderson.lmer(case.formula, case.data(), **case.options())


# --------------------------------------------------------------------------------------------------------- clubSandwich


@pytest.mark.parametrize("kind", robust.KINDS)
@pytest.mark.parametrize("name", REFERENCE)
def test_covariances_and_tests_are_those_of_clubsandwich(name, kind):
    """The weighted fit in R has the columns multiplied by the roots of the weights: CR2 is defined by that model."""
    reference = REFERENCE[name]["kinds"][kind]
    fit = fitted("sleepstudy" if name == "sleepstudy_pairs" else name)
    found = robust.sandwich(fit, kind, PAIRS if name == "sleepstudy_pairs" else None)
    p = len(fit.kept)
    np.testing.assert_allclose(found.covariance, np.reshape(reference["vcov"], (p, p)), rtol=1e-6)
    np.testing.assert_allclose(found.df(np.eye(p)), np.atleast_1d(reference["df"]), rtol=1e-6)
    if p > 1:
        joint = robust.f_test(fit, np.eye(p)[1:], kind, PAIRS if name == "sleepstudy_pairs" else None)
        assert joint.statistic == pytest.approx(reference["joint"]["statistic"], rel=1e-6)
        assert joint.num_df == reference["joint"]["num_df"]
        assert joint.den_df == pytest.approx(reference["joint"]["den_df"], rel=1e-6)


# -------------------------------------------------------------------------------------------------------- dense algebra


def matrices(fit):
    """X, V and y with every row multiplied by the root of its weight."""
    design = fit.design
    root = np.ones(design.n) if design.weights is None else np.sqrt(design.weights)
    spread = root[:, None] * (fit.Z @ fit.Lambda).toarray()
    y = design.y if design.offset is None else design.y - design.offset
    return root[:, None] * design.x_matrix()[:, fit.kept], np.eye(design.n) + spread @ spread.T, root * y


def inverse_root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    used = values > 1e-9 * values.max()
    return (vectors[:, used] / np.sqrt(values[used])) @ vectors[:, used].T


def dense(fit, kind, codes):
    """The covariance without simple factors, what each cluster's residuals are multiplied by, and their covariance."""
    X, V, y = matrices(fit)
    n, p = X.shape
    weights = np.linalg.inv(V)
    K = np.linalg.solve(X.T @ weights @ X, X.T @ weights)
    phi = np.where(codes[:, None] == codes, V, 0.0)
    annihilator = np.eye(n) - X @ K
    residual_covariance = annihilator @ phi @ annihilator.T
    used = np.zeros((codes.max() + 1, n, p))
    for g in range(codes.max() + 1):
        rows = np.flatnonzero(codes == g)
        adjustment = np.eye(len(rows))
        if kind == "CR2":
            D = np.linalg.cholesky(phi[np.ix_(rows, rows)]).T
            adjustment = D.T @ inverse_root(D @ residual_covariance[np.ix_(rows, rows)] @ D.T) @ D
        elif kind == "CR3":
            adjustment = np.linalg.inv(np.eye(len(rows)) - X[rows] @ K[:, rows])
        used[g, rows] = adjustment.T @ K[:, rows].T
    scores = used.transpose(0, 2, 1) @ (y - X @ K @ y)
    return scores.T @ scores, used, residual_covariance


def dense_df(used, residual_covariance, contrast):
    own = used @ contrast
    P = own @ residual_covariance @ own.T
    return np.trace(P) ** 2 / np.sum(P**2)


def dense_hotelling(used, residual_covariance, C):
    """q (q + 1) over the summed variances of the elements of the standardised covariance of C beta."""
    mean = sum(C @ u.T @ residual_covariance @ u @ C.T for u in used)
    own = [used @ row for row in inverse_root(mean) @ C]
    P = [[a @ residual_covariance @ b.T for b in own] for a in own]
    q = len(C)
    total = sum(np.sum(P[s][s] * P[t][t] + P[s][t] * P[t][s]) for s in range(q) for t in range(q))
    return q * (q + 1) / total


DENSE = [
    ("sleepstudy", TENTHS),
    ("weighted", None),
    ("weighted", TENTHS),
    ("offset", None),
    ("penicillin", "plate"),
    ("penicillin", "sample"),
    ("pastes_nested", "cask:batch"),
    ("ratpup_uncorrelated", "Litter:sex"),
    ("ratpup_slope", None),
    ("dyestuff2_singular", None),
]


@pytest.mark.parametrize("kind", ["CR0", "CR2", "CR3"])
@pytest.mark.parametrize("name, cluster", DENSE, ids=lambda value: value if isinstance(value, str) else "")
def test_any_clusters_nested_or_crossed_are_the_dense_sandwich(name, cluster, kind):
    fit = fitted(name)
    found = robust.sandwich(fit, kind, cluster)
    chosen = (
        clusters.outermost(fit.design) if cluster is None else clusters.resolve(fit.design, cluster, what="cluster")
    )
    covariance, used, residual_covariance = dense(fit, kind, chosen.codes)
    p = len(covariance)
    contrasts = np.vstack([np.eye(p), np.arange(1.0, p + 1)])
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-9)
    want = [dense_df(used, residual_covariance, row) for row in contrasts]
    np.testing.assert_allclose(found.df(contrasts), want, rtol=1e-9)
    if p > 1:
        size = dense_hotelling(used, residual_covariance, contrasts[1:])
        rank = len(contrasts) - 1
        if size > rank:
            joint = found.f_test(contrasts[1:], contrasts[1:] @ fit.solution.beta)
            assert joint.den_df == pytest.approx(size - rank + 1, rel=1e-8)


def test_cr2_is_unbiased_if_the_model_is_right():
    for name in ("sleepstudy", "weighted", "ratpup_slope"):
        fit = fitted(name)
        codes = clusters.outermost(fit.design).codes
        _, used, residual_covariance = dense(fit, "CR2", codes)
        expected = sum(u.T @ residual_covariance @ u for u in used)
        np.testing.assert_allclose(fit.sigma**2 * expected, fit.vcov, rtol=1e-9)


def test_a_coefficient_that_one_cluster_determines_has_the_generalised_inverse():
    data = BY_NAME["sleepstudy"].data()
    first = (data["Subject"].astype(str) == "308") * 1.0
    fit = henderson.lmer("Reaction ~ Days + first + (Days | Subject)", data.assign(first=first))
    found = robust.sandwich(fit, "CR2")
    covariance, used, residual_covariance = dense(fit, "CR2", fit.design.factors[0].codes)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-7)
    assert found.df(np.eye(3))[1] == pytest.approx(dense_df(used, residual_covariance, np.eye(3)[1]), rel=1e-7)
    with pytest.raises(DataError, match="without cluster '308' some fixed effect cannot be"):
        robust.vcov(fit, "CR3")


def test_several_factors_count_rows_that_share_any_level_as_dependent():
    fit = fitted("penicillin")
    plate, sample = (factor.codes for factor in fit.design.factors)
    X, V, y = matrices(fit)
    K = np.linalg.solve(X.T @ np.linalg.solve(V, X), np.linalg.solve(V, X).T)
    e = y - X @ K @ y
    is_dependent = (plate[:, None] == plate) | (sample[:, None] == sample)
    want = K @ np.where(is_dependent, np.outer(e, e), 0.0) @ K.T
    found = robust.sandwich(fit, "CR0", ["plate", "sample"])
    np.testing.assert_allclose(found.covariance, want, rtol=1e-9)
    assert found.df(np.eye(1)) == [5.0]
    assert robust.f_test(fit, np.eye(1), "CR1", ["plate", "sample"]).den_df == 5.0
    assert not found.notes


def test_several_factors_with_simple_corrections_each():
    fit = fitted("penicillin")
    single = {name: robust.vcov(fit, "CR1", name)[0, 0] for name in ("plate", "sample")}
    both = robust.vcov(fit, "CR0", np.arange(144))[0, 0] * 144 / 143  # each cell has one row
    found = robust.vcov(fit, "CR1", ["plate", "sample"])[0, 0]
    assert found == pytest.approx(single["plate"] + single["sample"] - both, rel=1e-12)


# --------------------------------------------------------------------------------------------- how it is computed, laws


@pytest.fixture
def nested():
    """Large clusters that contain smaller ones, some of these large too."""
    rng = np.random.default_rng(8)
    outer = np.repeat(np.arange(6), [30, 200, 61, 120, 90, 300])
    inner = outer * 10 + rng.integers(0, 1 + outer, len(outer))
    x = rng.normal(size=len(outer)) + outer % 2
    effects = rng.normal(size=(2, 60))
    y = 1 + x + effects[0][outer] + effects[1][inner] * (1 + x) + rng.normal(size=len(outer))
    data = pd.DataFrame({"y": y, "x": x, "outer": outer, "inner": inner, "w": rng.uniform(0.5, 2, len(outer))})
    return henderson.lmer("y ~ x + (1 | outer) + (x | inner)", data, weights="w")


def test_rotated_clusters_are_the_dense_sandwich(nested, monkeypatch):
    monkeypatch.setattr(cluster_blocks, "CHUNK_ROWS", 7)  # more than one chunk
    found = robust.sandwich(nested, "CR2")
    assert found.cluster == "outer"
    blocks = list(cluster_blocks.dense_blocks(cluster_blocks.cluster_rows(nested), clusters.outermost(nested.design)))
    assert max(block.x.shape[1] for block in blocks) < 100
    covariance, used, residual_covariance = dense(nested, "CR2", clusters.outermost(nested.design).codes)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-9)
    want = [dense_df(used, residual_covariance, row) for row in np.eye(2)]
    np.testing.assert_allclose(found.df(np.eye(2)), want, rtol=1e-9)


def test_a_large_cluster_needs_no_matrix_of_its_size():
    rng = np.random.default_rng(3)
    n = 60_000
    group = rng.integers(0, 3, n)
    data = {
        "y": rng.normal(size=n) + group,
        "x": rng.normal(size=n),
        "g": group,
        "h": rng.integers(0, 40, n) + 40 * group,
    }
    fit = henderson.lmer("y ~ x + (1 | g) + (1 | h)", data)
    tracemalloc.start()
    robust.vcov(fit, "CR2")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6  # one cluster squared would be 3.2e9


def test_order_of_rows_scale_and_labels_do_not_matter():
    data = BY_NAME["ratpup_slope"].data()
    shuffled = data.sample(frac=1.0, random_state=1).assign(weight=lambda table: 10 * table["weight"])
    formula = BY_NAME["ratpup_slope"].formula
    one, other = (
        fitted("ratpup_slope"),
        henderson.lmer(formula, shuffled.assign(Litter="L" + shuffled["Litter"].astype(str))),
    )
    for kind in ("CR1", "CR2"):
        np.testing.assert_allclose(robust.vcov(other, kind), 100 * robust.vcov(one, kind), rtol=1e-6)
        L = np.eye(len(one.kept))
        np.testing.assert_allclose(robust.df(other, L, kind), robust.df(one, L, kind), rtol=1e-6)


def test_the_model_uses_it():
    fit = fitted("ratpup_slope")
    found = robust.sandwich(fit, "CR2")
    np.testing.assert_array_equal(fit.vcov(kind="CR2"), found.covariance)
    table = fit.summary(vcov="CR2").coefficients
    np.testing.assert_allclose(table["std_error"], np.sqrt(np.diag(found.covariance)))
    np.testing.assert_allclose(table["df"], found.df(np.eye(len(table))))
    joint = fit.anova(vcov="CR2").to_frame().loc["Treatment"]
    assert joint["den_df"] == pytest.approx(found.f_test(np.eye(5)[2:4], np.zeros(2)).den_df)
    assert "CR2 covariance by Litter" in " ".join(str(fit.summary(vcov="CR2")).split())


def test_no_fixed_effects_and_dependent_contrasts():
    data = BY_NAME["sleepstudy"].data()
    none = henderson.lmer("Reaction ~ 0 + (1 | Subject)", data)
    assert robust.vcov(none, "CR2").shape == (0, 0)
    assert robust.df(none, np.empty((0, 0)), "CR2").shape == (0,)
    fit = fitted("ratpup_slope")
    L = np.eye(5)[[2, 3, 2]]
    assert robust.f_test(fit, L, "CR2") == robust.f_test(fit, L[:2], "CR2")
    assert np.isnan(robust.f_test(fit, np.zeros((1, 5)), "CR2").statistic)
    few = robust.f_test(fit, np.eye(5), "CR2", np.arange(fit.nobs) % 3)
    assert np.isnan(few.statistic)
    assert np.isnan(few.den_df)


# ---------------------------------------------------------------------------------------------------- what clusters are


def test_the_default_is_the_factor_that_contains_the_others():
    assert robust.sandwich(fitted("pastes_nested"), "CR0").cluster == "batch"
    assert robust.sandwich(fitted("ratpup_uncorrelated"), "CR0").cluster == "Litter"
    inner = robust.sandwich(fitted("pastes_nested"), "CR0", "cask:batch")
    assert "share the random effects of batch" in inner.notes[0]


def test_labels_of_any_type_for_rows_used_or_rows_of_the_table():
    data = BY_NAME["sleepstudy"].data().copy()
    data["pair"] = [f"p{code}" for code in PAIRS]
    data.loc[[3, 50], "Reaction"] = np.nan
    fit = henderson.lmer("Reaction ~ Days + (Days | Subject)", data)
    want = robust.vcov(fit, "CR2", PAIRS[data["Reaction"].notna()])
    for labels in (data["pair"], PAIRS, PAIRS.tolist(), data["pair"].astype("category"), data["pair"].loc[fit.index]):
        np.testing.assert_allclose(robust.vcov(fit, "CR2", labels), want, rtol=1e-12)
    assert robust.sandwich(fit, "CR2", data["pair"]).cluster == "pair"


def test_predictors_have_names_too():
    fit, data = fitted("ratpup_slope"), BY_NAME["ratpup_slope"].data()
    for name in ("Treatment", "Lsize"):
        np.testing.assert_array_equal(robust.vcov(fit, "CR1", name), robust.vcov(fit, "CR1", data[name]))


@pytest.mark.parametrize(
    "name, cluster, message",
    [
        (
            "penicillin",
            None,
            "plate, sample are crossed.*cluster=: one of 'plate', 'sample'.*cluster=..plate', 'sample'",
        ),
        ("sleepstudy", "subject", "neither a grouping factor nor a predictor.*.Subject, Days.*Did you mean 'Subject'"),
        ("sleepstudy", 3, "cluster is 3 .int.; it must be the name"),
        ("sleepstudy", np.zeros(180), "all rows into one group"),
        ("sleepstudy", np.arange(10), "cluster has 10 values; it must have one for each of the 180 rows used"),
        ("sleepstudy", [None, *range(179)], "cluster is missing in row 0"),
        ("sleepstudy", pd.Series(range(180), index=range(1, 181)), "index differs"),
        ("penicillin", ["plate", "box"], "'box'.*neither a grouping factor"),
    ],
)
def test_clusters_that_do_not_fit(name, cluster, message):
    with pytest.raises(DataError, match=message):
        robust.sandwich(fitted(name), "CR1", cluster)


def test_kinds_that_do_not_exist_or_do_not_fit(monkeypatch):
    with pytest.raises(DataError, match="'HC3'; choose one of 'CR0'"):
        robust.sandwich(fitted("sleepstudy"), "HC3")
    with pytest.raises(DataError, match="'CR0' or 'CR1'; 'CR2' has no accepted definition"):
        robust.sandwich(fitted("penicillin"), "CR2", ["plate", "sample"])
    with pytest.raises(DataError, match="2 clusters and 2 fixed effects"):
        robust.sandwich(fitted("sleepstudy"), "CR1p", np.arange(180) // 90)
    monkeypatch.setattr(cluster_blocks, "LARGEST_BLOCK", 4)
    with pytest.raises(DataError, match="CR2 needs the square root of a 7 x 7 matrix for cluster"):
        robust.sandwich(fitted("sleepstudy"), "CR2")


def test_a_covariance_that_is_not_positive_is_made_so():
    rng = np.random.default_rng(0)
    a, b = np.divmod(np.arange(36), 6)
    x = (a + b) % 2 - 0.5  # constant within cells, opposite in neighbouring ones: negative within a and b
    for _ in range(50):
        fit = henderson.lmer("y ~ x + (1 | a) + (1 | b)", {"y": rng.normal(size=36), "x": x, "a": a, "b": b})
        found = robust.sandwich(fit, "CR0", ["a", "b"])
        assert np.linalg.eigvalsh(found.covariance).min() >= -1e-15
        if found.notes:
            assert "not positive semidefinite" in found.notes[0]
            break
    else:
        pytest.fail("no covariance needed it")


def test_intersections_are_the_combinations_that_occur():
    fit = fitted("pastes_nested")
    parts = [clusters.resolve(fit.design, name, what="group") for name in ("batch", "cask:batch")]
    assert len(clusters.intersection(parts)) == 30
    crossed = [clusters.resolve(fitted("penicillin").design, name, what="group") for name in ("plate", "sample")]
    both = clusters.intersection(crossed)
    assert len(both) == 144
    assert both.labels[0] == "a:A"
    assert both.name == "plate:sample"
    assert len(set(both.labels)) == 144
