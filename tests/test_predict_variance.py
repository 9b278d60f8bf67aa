"""Standard errors, intervals and degrees of freedom of predictions against n x n algebra and differences of it."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats
from scipy.sparse import linalg as splinalg

import dense_inference
import henderson as hd
from cases import BY_NAME
from dense_prediction import DensePrediction
from henderson.inference import prediction_blocks, prediction_variance
from henderson.inference.prediction_variance import Variances
from henderson.newdata import design_for
from henderson.random_selection import select

ROWS = 90


def table(seed=3, groups=7, items=6):
    rng = np.random.default_rng(seed)
    g, h = rng.integers(0, groups, ROWS), rng.integers(0, items, ROWS)
    x = rng.normal(size=ROWS)
    a = rng.choice(list("ABC"), ROWS)
    effects = rng.normal(size=(groups, 2)) @ np.array([[1.0, 0.3], [0.0, 0.6]])
    y = 2 + x + (a == "B") + effects[g, 0] + effects[g, 1] * x + rng.normal(size=items)[h] + rng.normal(size=ROWS)
    return pd.DataFrame(
        {"y": y, "x": x, "a": a, "b": np.where(a == "B", 1.0, 0.0), "g": [f"g{k}" for k in g], "h": h}
        | {"w": rng.uniform(0.4, 2.5, ROWS), "off": rng.normal(size=ROWS), "flat": rng.normal(size=ROWS)}
    )


DATA = table()
NEW = pd.DataFrame(
    {
        "x": [0.3, -1.1, 2.0, 0.0, 0.7, 0.7],
        "a": list("ABCABB"),
        "b": [0.0, 1.0, 0.0, 0.0, 1.0, 1.0],
        "g": ["g0", "g3", "new", "g5", "new", "other"],
        "h": [0, 4, 2, 99, 99, 1],
        "w": [1.0, 0.5, 2.0, 1.5, 1.0, 0.7],
        "off": [0.5, 0.0, -1.0, 2.0, 0.1, 0.2],
    }
)
MODELS = {
    "one factor": ("y ~ x + a + (1 | g)", {}),
    "slopes": ("y ~ x + a + (x | g)", {}),
    "slopes, ML": ("y ~ x + a + (x | g)", {"reml": False}),
    "several terms on one factor": ("y ~ x + (1 | g) + (0 + x + b | g)", {}),
    "uncorrelated": ("y ~ x + (x || g)", {}),
    "crossed": ("y ~ x + a + (1 | g) + (1 | h)", {}),
    "crossed, ML": ("y ~ a + (1 | g) + (1 | h)", {"reml": False}),
    "crossed slopes": ("y ~ x + (x | g) + (1 | h)", {}),
    "several terms on crossed factors": ("y ~ x + (x || g) + (0 + b | h) + (1 | h)", {}),
    "nested": ("y ~ x + (1 | g/h)", {}),
    "weighted": ("y ~ x + (x | g) + (1 | h)", {"weights": "w"}),
    "offset": ("y ~ x + offset(2 * x) + (1 | g)", {"offset": "off"}),
    "aliased": ("y ~ a + b + x + (1 | g) + (1 | h)", {}),
    "no intercept": ("y ~ 0 + x + (1 | g)", {}),
    "no fixed effects": ("y ~ 0 + (1 | g) + (1 | h)", {}),
    "interaction": ("y ~ a * x + (a | g)", {}),
}


def fitted(name):
    formula, options = MODELS[name]
    model = hd.lmer(formula, DATA, **options)
    given = {key: value for key, value in options.items() if key != "reml"}
    return model, DensePrediction(model, DATA, NEW, **given)


def predicted(model, **options):
    """Without the warning about new levels."""
    with pytest.warns(hd.PredictionWarning):
        return model.predict(NEW, **options)


def expected_df(model, dense, chosen, **options):
    """2 v² / (g'Ag) with g from differences of the dense variance; A is tested elsewhere."""

    def variance(_, theta, sigma):
        return dense.variance(theta, sigma, chosen, **options)

    of_kept, at = dense_inference.at_kept(model, variance)
    steps = 1e-3 * np.maximum(np.abs(at), 0.1)
    slopes = dense_inference.gradient(of_kept, at, steps)
    return 2 * of_kept(at) ** 2 / np.einsum("im,ij,jm->m", slopes, model.information.covariance, slopes)


@pytest.mark.parametrize("name", MODELS)
def test_intervals_of_the_mean_are_those_of_dense_algebra(name):
    model, dense = fitted(name)
    found = predicted(model, interval="confidence", level=0.9)
    theta, chosen = model.optimum.theta, select(model.design, "all").chosen
    variance = dense.variance(theta, model.sigma, chosen)
    np.testing.assert_allclose(found["estimate"], dense.estimate(theta, chosen), rtol=1e-9)
    np.testing.assert_allclose(found["std_error"], np.sqrt(variance), rtol=1e-8)
    np.testing.assert_allclose(found["df"], expected_df(model, dense, chosen), rtol=2e-5)
    reach = stats.t.ppf(0.95, found["df"]) * found["std_error"]
    np.testing.assert_allclose(found["conf_high"] - found["estimate"], reach, rtol=1e-9)
    np.testing.assert_allclose(found["estimate"] - found["conf_low"], reach, rtol=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_prediction_intervals_add_residuals_and_the_effects_left_out(name):
    model, dense = fitted(name)
    for re in (None, "g"):
        selection = select(model.design, re)
        options = {"of_observations": True, "left_out": selection.left_out}
        call = {"re": re, "interval": "prediction"}
        found = model.predict(NEW, **call) if re is None else predicted(model, **call)
        theta = model.optimum.theta
        np.testing.assert_allclose(found["estimate"], dense.estimate(theta, selection.chosen), rtol=1e-9)
        variance = dense.variance(theta, model.sigma, selection.chosen, **options)
        np.testing.assert_allclose(found["std_error"], np.sqrt(variance), rtol=1e-8)
        np.testing.assert_allclose(found["df"], expected_df(model, dense, selection.chosen, **options), rtol=2e-5)


SINGULAR = {  # seed of the table, formula of a response without effects, ranks of the covariance matrices
    "a correlation of one": (0, "flat ~ x + (x | g)", (1,)),
    "a correlation of one among crossed factors": (0, "flat ~ x + (x | g) + (1 | h)", (1, 1)),
    "one variance zero": (4, "flat ~ x + (1 | g) + (1 | h)", (0, 1)),
    "no variance": (2, "flat ~ x + (1 | g) + (1 | h)", (0, 0)),
    "no variance of slopes either": (2, "flat ~ x + (x | g)", (0,)),
}


@pytest.mark.parametrize("name", SINGULAR)
def test_singular_fits_have_the_variances_of_dense_algebra_too(name):
    seed, formula, ranks = SINGULAR[name]
    data = table(seed)
    model = hd.lmer(formula, data)
    assert model.optimum.ranks == ranks
    new = NEW[NEW["g"].isin(data["g"]) & NEW["h"].isin(data["h"])]
    dense = DensePrediction(model, data, new)
    chosen = select(model.design, "all").chosen
    found = model.predict(new, interval="confidence")
    variance = dense.variance(model.optimum.theta, model.sigma, chosen)
    np.testing.assert_allclose(found["std_error"], np.sqrt(variance), rtol=1e-8)
    np.testing.assert_allclose(found["df"], expected_df(model, dense, chosen), rtol=2e-5)


@pytest.mark.parametrize(
    "name", ["crossed", "crossed slopes", "weighted", "several terms on crossed factors", "nested", "no fixed effects"]
)
def test_many_rows_are_predicted_as_each_of_them(name, monkeypatch):
    """Entries of H, summed over pairs of levels, and a solution for each row are two ways to the same variances."""
    model = fitted(name)[0]
    columns = sorted(name for name in DATA.columns if name in NEW.columns)
    rows = pd.concat([DATA[columns], NEW[columns]], ignore_index=True)
    rows.loc[3, "x"] = np.nan
    with pytest.warns(hd.PredictionWarning):
        one_by_one = model.predict(rows, interval="confidence")
    monkeypatch.setattr(Variances, "prepares", lambda *_, **__: True)
    for block in (2**22, 300):
        monkeypatch.setattr(prediction_blocks, "BLOCK_VALUES", block)
        with pytest.warns(hd.PredictionWarning):
            pd.testing.assert_frame_equal(model.predict(rows, interval="confidence"), one_by_one, rtol=1e-8)


def test_many_rows_of_a_singular_fit(monkeypatch):
    seed, formula, _ = SINGULAR["a correlation of one among crossed factors"]
    data = table(seed)
    model = hd.lmer(formula, data)
    one_by_one = model.predict(interval="confidence")
    monkeypatch.setattr(Variances, "prepares", lambda *_, **__: True)
    pd.testing.assert_frame_equal(model.predict(interval="confidence"), one_by_one, rtol=1e-7)


@pytest.mark.parametrize(
    "name", ["crossed", "crossed slopes", "weighted", "crossed, ML", "no fixed effects", "singular"]
)
def test_rows_of_the_fit_have_the_variances_of_the_same_rows_given_as_new(name, monkeypatch):
    """By their leverages and differences of these, or by solving for each."""
    seed, formula, _ = SINGULAR["a correlation of one among crossed factors"]
    data = table(seed) if name == "singular" else DATA
    model = hd.lmer(formula, data) if name == "singular" else fitted(name)[0]
    monkeypatch.setattr(prediction_variance, "FEW", 0)
    for call in ({"interval": "confidence"}, {"interval": "prediction"}, {"std_error": True, "ddf": "normal"}):
        pd.testing.assert_frame_equal(model.predict(**call), model.predict(data, **call), rtol=1e-5)


def test_rows_are_worked_on_in_chunks_of_bounded_size(monkeypatch):
    for name in ("slopes", "crossed slopes"):
        whole = fitted(name)[0].predict(interval="prediction")
        monkeypatch.setattr(prediction_variance, "CHUNK_VALUES", 150)
        pd.testing.assert_frame_equal(fitted(name)[0].predict(interval="prediction"), whole, rtol=1e-10)


def test_the_first_cask_of_the_pastes_data():
    """lme4 1.1-35 to 2.1 says 1.2513, see the docs."""
    fit = hd.lmer("strength ~ 1 + (1 | batch/cask)", hd.datasets.load_pastes())
    cask = pd.DataFrame({"batch": ["A"], "cask": ["a"]})
    assert fit.predict(cask, std_error=True)["std_error"].iloc[0] == pytest.approx(0.5725, abs=5e-5)


def test_a_new_subject_has_the_variance_of_subjects():
    fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    with pytest.warns(hd.PredictionWarning):
        stranger = fit.predict({"Days": [0.0], "Subject": ["999"]}, std_error=True)
    assert stranger["std_error"].iloc[0] == pytest.approx(25.66, abs=0.005)
    population = fit.predict({"Days": [0.0]}, re=None, std_error=True)
    assert population["std_error"].iloc[0] == pytest.approx(6.8246, abs=5e-5)
    observed = fit.predict({"Days": [0.0]}, re=None, interval="prediction")
    assert observed["std_error"].iloc[0] ** 2 == pytest.approx(stranger["std_error"].iloc[0] ** 2 + fit.sigma**2)


@pytest.mark.parametrize("name", ["slopes", "crossed", "weighted", "aliased", "interaction"])
def test_means_of_the_population_are_tested_as_contrasts_are(name):
    model = fitted(name)[0]
    new = pd.concat([DATA, NEW], ignore_index=True).iloc[[3, 10, 20, -6]]
    rows = design_for(new, model.design, terms=[]).x_matrix()
    if model.design.offset is not None:
        return
    for ddf in ("satterthwaite", "kenward-roger", "residual", "normal"):
        found = model.predict(new, re=None, interval="confidence", ddf=ddf)
        expected = model.contrast(rows, ddf=ddf).to_frame()
        for column in ("estimate", "std_error", "df"):
            np.testing.assert_allclose(found[column], expected[column], rtol=1e-8)


def test_kenward_rogers_covariance_takes_the_place_of_the_models():
    model, dense = fitted("crossed")
    found = predicted(model, interval="confidence", ddf="kenward-roger")
    plain = predicted(model, interval="confidence")
    chosen = select(model.design, "all").chosen
    linear = dense.weights_of_y(model.optimum.theta, chosen)
    v, c = linear[1], linear[2]
    d = dense.x[dense.n :] - c.T @ np.linalg.solve(v, dense.x[: dense.n])
    change = model.vcov(kind="kenward-roger").to_numpy() - model.vcov.to_numpy()
    np.testing.assert_allclose(
        found["std_error"] ** 2 - plain["std_error"] ** 2, np.einsum("mp,pq,mq->m", d, change, d), rtol=1e-6
    )
    np.testing.assert_allclose(found["df"], plain["df"])


def test_simple_degrees_of_freedom():
    model = fitted("crossed")[0]
    assert (predicted(model, interval="confidence", ddf="normal")["df"] == np.inf).all()
    residual = predicted(model, interval="prediction", ddf="residual")
    assert (residual["df"] == ROWS - 4).all()
    np.testing.assert_allclose(
        residual["conf_high"] - residual["estimate"], stats.t.ppf(0.975, ROWS - 4) * residual["std_error"]
    )


@pytest.mark.parametrize("shift", [2000.0, 1e5])
def test_the_origin_of_a_predictor_does_not_matter(shift):
    for formula in ("y ~ {0} + ({0} | g)", "y ~ {0} + ({0} | g) + (1 | h)"):
        moved = DATA.assign(year=DATA["x"] + shift)
        near = hd.lmer(formula.format("x"), DATA).predict(interval="confidence")
        far = hd.lmer(formula.format("year"), moved).predict(interval="confidence")
        np.testing.assert_allclose(far["std_error"], near["std_error"], rtol=1e-4)
        np.testing.assert_allclose(far["df"], near["df"], rtol=1e-3)


@pytest.mark.parametrize(
    "formula, options",
    [
        ("y ~ x + a + (x | g)", {}),
        ("y ~ a + b + x + (x | g) + (1 | h)", {"weights": "w"}),
        ("y ~ x + offset(2 * x) + (1 | g/h)", {"offset": "off", "reml": False}),
        ("flat ~ x + (x | g) + (1 | h)", {}),
    ],
)
def test_a_fit_that_was_loaded_without_its_rows_predicts_the_same(formula, options, tmp_path):
    model = hd.lmer(formula, table(0), **options)
    model.save(tmp_path / "fit")
    loaded = hd.load(tmp_path / "fit")
    for call in ({"interval": "confidence"}, {"re": None, "interval": "prediction"}, {"re": "g", "std_error": True}):
        new = NEW.iloc[[0, 1, 3]].assign(h=[0, 1, 2])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", hd.PredictionWarning)  # of combinations in the nested model
            pd.testing.assert_frame_equal(loaded.predict(new, **call), model.predict(new, **call), rtol=1e-7)
    with pytest.raises(hd.DataError, match="loaded without its rows"):
        loaded.predict()


def test_rows_of_a_large_crossed_table_have_the_variances_of_the_mixed_model_equations():
    """By a sparse solution of Henderson's equations as a whole."""
    case = BY_NAME["insteval"]
    data = case.data()
    model = hd.lmer(case.formula, data, **case.options())
    rows = [0, 500, 12345, 70000]
    x, z = sparse.csc_array(model.model_matrix().to_numpy()), model.Z
    lam = model.Lambda.diagonal()
    equations = sparse.block_array([[x.T @ x, x.T @ z], [z.T @ x, z.T @ z + sparse.diags_array(lam**-2)]], format="csc")
    wanted = sparse.hstack([x, z], format="csr")[rows].toarray().T
    variance = model.sigma**2 * np.einsum("cm,cm->m", wanted, splinalg.splu(equations).solve(wanted))
    found = model.predict(data.iloc[rows], interval="confidence")
    np.testing.assert_allclose(found["std_error"], np.sqrt(variance), rtol=1e-8)
    whole = model.predict(interval="confidence").iloc[rows]
    pd.testing.assert_frame_equal(whole, found, rtol=1e-6)
