"""chunked_fit: what is averaged, its standard errors, which chunks are allowed, every estimator and executor."""

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

import henderson as hd
from henderson.chunks.splitting import deal, group_codes


def simulated(groups=120, seed=2, rows=(3, 9)):
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), rng.integers(*rows, groups))
    data = pd.DataFrame({"g": g, "x": rng.normal(size=len(g))})
    data["h"] = rng.integers(0, 2, len(g))
    data["item"] = rng.integers(0, 15, len(g))
    data["y"] = 1 + 2 * data["x"] + rng.normal(size=groups)[g] + rng.normal(size=len(g))
    return data


DATA = simulated()
FORMULA = "y ~ x + (1 | g)"


def by_terms(table):
    return table.drop(columns=["effect", "group", "term"]).astype(float)


# --------------------------------------------------------------------------------------------------------------- chunks


@pytest.mark.parametrize("n_chunks", [2, 7, 60])
def test_each_row_is_in_one_chunk_with_all_of_its_group(n_chunks):
    _, codes = group_codes(DATA, "g")
    chunks = deal(codes, n_chunks, "g", np.random.default_rng(1))
    np.testing.assert_array_equal(np.sort(np.concatenate(chunks)), np.arange(len(DATA)))
    groups = [set(DATA["g"].iloc[rows]) for rows in chunks]
    assert sum(map(len, groups)) == DATA["g"].nunique()
    assert max(map(len, groups)) - min(map(len, groups)) <= 1


def test_groups_are_named_by_columns_lists_of_columns_or_labels():
    _, by_name = group_codes(DATA, "g")
    _, by_labels = group_codes(DATA, DATA["g"].to_numpy())
    name, by_both = group_codes(DATA, ["g", "h"])
    np.testing.assert_array_equal(by_name, by_labels)
    assert name == "g:h"
    assert by_both.max() + 1 == len(DATA[["g", "h"]].drop_duplicates())


# ------------------------------------------------------------------------------------------------------------- averages


def test_estimates_are_means_of_the_fits_of_the_chunks():
    found = hd.chunked_fit(FORMULA, DATA, 4, by="g", random_state=1, keep_fits=True)
    assert sorted(fit.nobs for fit in found.fits) == sorted(found.nobs)
    fixed = pd.DataFrame([fit.fixef for fit in found.fits])
    np.testing.assert_allclose(found.fixef, fixed.mean())
    np.testing.assert_allclose(found.std_error[:2], fixed.std() / 2)
    np.testing.assert_allclose(found.covariance[:2, :2], fixed.cov() / 4)
    variances = [[*fit.varcorr.to_frame()["vcov"]] for fit in found.fits]
    np.testing.assert_allclose(found.estimate[2:], np.mean(variances, axis=0))
    own = np.mean([fit.stderror**2 for fit in found.fits], axis=0)
    np.testing.assert_allclose(found.model_std_error[:2], np.sqrt(own / 4))


def test_the_seed_decides_the_chunks():
    one, two, other = (hd.chunked_fit(FORMULA, DATA, 4, by="g", random_state=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.values, two.values)
    assert (one.values != other.values).all()


def test_standard_errors_are_right_and_nothing_is_lost_against_the_fit_of_all_rows():
    rng = np.random.default_rng(0)
    groups, rows, chunks = 160, 5, 4
    g = np.repeat(np.arange(groups), rows)

    def fit(part):
        codes = np.unique(part["g"], return_inverse=True)[1]
        return hd.fit_arrays(part["y"], part["X"], terms=hd.RandomTerm(codes))

    averages, errors, full = [], [], []
    for _ in range(150):
        X = np.column_stack([np.ones(len(g)), rng.normal(size=len(g)), rng.normal(size=groups)[g]])
        y = X @ [1.0, 2.0, 3.0] + rng.normal(size=groups)[g] + rng.normal(size=len(g))
        part = {"y": y, "X": X, "g": g}
        found = hd.chunked_fit(fit, part, chunks, by="g", random_state=rng)
        averages.append(found.estimate)
        errors.append(found.std_error**2)
        whole = fit(part)
        full.append([*whole.beta, whole.covariances[0][0, 0], whole.sigma**2])
    spread = np.std(averages, axis=0)
    np.testing.assert_allclose(np.sqrt(np.mean(errors, axis=0)), spread, rtol=0.2)
    np.testing.assert_allclose(spread, np.std(full, axis=0), rtol=0.1)
    np.testing.assert_allclose(np.mean(averages, axis=0), [1, 2, 3, 1, 1], atol=0.03)


# --------------------------------------------------------------------------------------------------- estimators, tables


def test_other_estimators_are_averaged_too():
    expected = hd.chunked_fit(FORMULA, DATA, 4, by="g", random_state=1)

    def arrays(part):
        codes = np.unique(part["g"], return_inverse=True)[1]
        X = np.column_stack([np.ones(len(part)), part["x"]])
        return hd.fit_arrays(part["y"], X, terms=hd.RandomTerm(codes))

    found = hd.chunked_fit(arrays, DATA, 4, by="g", random_state=1)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-6)
    np.testing.assert_allclose(found.model_std_error[:2], expected.model_std_error[:2], rtol=1e-6)
    assert found.to_frame()["group"].dropna().tolist() == ["terms[0]", "Residual"]


def test_moments_average_their_raw_variances():
    found = hd.chunked_fit(FORMULA, DATA, 5, by="g", random_state=1, keep_fits=True, method="moments")
    raw = np.mean([fit.variance_components.raw for fit in found.fits], axis=0)
    np.testing.assert_allclose(found.estimate[2:], raw)
    assert np.isfinite(found.model_std_error).all()


def test_scikit_learn_estimators_are_averaged():
    pytest.importorskip("sklearn")
    from sklearn.linear_model import LinearRegression

    from henderson.learn import LinearMixedRegressor, MixedEffectsRegressor

    expected = hd.chunked_fit(FORMULA, DATA, 4, by="g", random_state=1, keep_fits=True)
    rows = DATA[["x", "g", "y"]]
    one = LinearMixedRegressor(random_effects="(1 | g)")
    found = hd.chunked_fit(one, rows, 4, by="g", target="y", random_state=1)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-6)
    learner = MixedEffectsRegressor(LinearRegression(), "(1 | g)")
    found = hd.chunked_fit(learner, rows, 4, by="g", target="y", random_state=1, keep_fits=True)
    np.testing.assert_allclose(found.values, expected.values[:, 2:], rtol=1e-6)
    np.testing.assert_allclose(found.predict(rows.drop(columns="y")), expected.predict(rows), atol=1e-6)
    assert not hasattr(learner, "n_iter_")


def test_predictions_are_averages_for_new_groups():
    found = hd.chunked_fit(FORMULA, DATA, 4, by="g", random_state=1, keep_fits=True)
    new = pd.DataFrame({"x": [0.0, 1.0]}, index=["a", "b"])
    table = found.predict(new, std_error=True)
    np.testing.assert_allclose(table["estimate"], [found.fixef.iloc[0], found.fixef.sum()])
    np.testing.assert_allclose(table["std_error"].iloc[0], found.std_error[0])
    assert table.index.tolist() == ["a", "b"]


def test_the_user_may_choose_what_is_averaged():
    def ratio(fit):
        return {"ratio": fit.fixef["x"] / fit.sigma}

    found = hd.chunked_fit(FORMULA, DATA, 4, by="g", estimates=ratio, random_state=1)
    assert "ratio" in str(found)
    assert found.estimate[0] == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize("kind", ["dict", "polars", "pyarrow", "index", "text"])
def test_any_table_gives_the_same(kind):
    expected = hd.chunked_fit(FORMULA, DATA, 4, by="g", random_state=1).values
    given = DATA
    if kind == "dict":
        given = {name: DATA[name].tolist() for name in DATA}
    elif kind == "index":
        given = DATA.set_index(np.arange(len(DATA))[::-1] * 3)
    elif kind == "text":
        given = DATA.assign(g="group " + DATA["g"].astype(str))
    elif kind == "polars":
        given = pytest.importorskip("polars").from_pandas(DATA)
    else:
        given = pytest.importorskip("pyarrow").Table.from_pandas(DATA)
    np.testing.assert_allclose(hd.chunked_fit(FORMULA, given, 4, by="g", random_state=1).values, expected, rtol=1e-9)


def test_options_go_to_lmer():
    ml = hd.chunked_fit(FORMULA, DATA, 4, by="g", random_state=1, reml=False)
    reml = hd.chunked_fit(FORMULA, DATA, 4, by="g", random_state=1)
    assert (ml.estimate[2:] < reml.estimate[2:]).all()


# ------------------------------------------------------------------------------------------------------------ executors


def test_executors_change_nothing(capsys):
    expected = hd.chunked_fit(FORMULA, DATA, 4, by="g", random_state=1, progress=True)
    assert capsys.readouterr().err.count("chunk") == 4
    with ThreadPoolExecutor(2) as pool:
        for executor in ("threads", pool):
            found = hd.chunked_fit(FORMULA, DATA, 4, by="g", random_state=1, executor=executor, workers=2)
            np.testing.assert_array_equal(found.values, expected.values)


def test_joblib_changes_nothing():
    joblib = pytest.importorskip("joblib")
    expected = hd.chunked_fit(FORMULA, DATA, 4, by="g", random_state=1).values
    for executor, workers in (("joblib", 1), (joblib.Parallel(n_jobs=2, backend="threading"), None)):
        found = hd.chunked_fit(FORMULA, DATA, 4, by="g", random_state=1, executor=executor, workers=workers)
        np.testing.assert_array_equal(found.values, expected)


@pytest.mark.slow
def test_processes_change_nothing():
    expected = hd.chunked_fit(FORMULA, DATA, 4, by="g", random_state=1).values
    found = hd.chunked_fit(FORMULA, DATA, 4, by="g", random_state=1, executor="processes", workers=2)
    np.testing.assert_allclose(found.values, expected, rtol=1e-9)


# ------------------------------------------------------------------------------------------------------ crossed factors


@pytest.mark.parametrize("formula", ["y ~ x + (1 | g) + (1 | item)", "y ~ x + (1 | item:h)", "y ~ x + (x | h)"])
def test_chunks_that_split_a_crossed_factor_are_refused_before_anything_is_fitted(formula):
    with pytest.raises(hd.DataError, match="split the grouping factor"):
        hd.chunked_fit(formula, DATA, 4, by="g")
    with pytest.warns(hd.ChunkWarning, match="would be in several chunks"):
        hd.chunked_fit(formula, DATA, 2, by="g", allow_crossed=True, random_state=1)


def test_functions_and_estimators_are_refused_too():
    with pytest.raises(hd.DataError, match="'item': 15 levels"):
        hd.chunked_fit(lambda part: hd.lmer("y ~ x + (1 | item)", part), DATA, 4, by="g")


@pytest.mark.parametrize("formula", ["y ~ x + (1 | g/h)", "y ~ x + (1 | g:h)", "y ~ x + (1 | factor(g))"])
def test_nested_factors_are_whole(formula):
    found = hd.chunked_fit(formula, DATA, 2, by="g", random_state=1)
    assert np.isfinite(found.estimate).all()


def test_levels_used_again_in_other_groups_are_one_level():
    classes = DATA.assign(school=DATA["g"] // 4, room=DATA["g"] % 4)
    with pytest.raises(hd.DataError, match="'room': 4 levels"):
        hd.chunked_fit("y ~ x + (1 | school) + (1 | room)", classes, 3, by="school")
    hd.chunked_fit("y ~ x + (1 | school/room)", classes, 3, by="school", random_state=1)


# ------------------------------------------------------------------------------------------------------------- printing


def test_it_prints_as_a_summary():
    found = hd.chunked_fit("y ~ x + (1 + x | g)", simulated(400, rows=(6, 12)), 8, by="g", random_state=1)
    lines = str(found).splitlines()
    assert lines[0] == "Averages of fits to 8 random chunks of groups"
    assert lines[1] == "Formula: y ~ x + (1 + x | g)"
    assert "groups: g, 400 (50 in a chunk)" in lines[2]
    assert lines[5].split() == ["Groups", "Name", "Variance", "Std.", "Error"]
    assert [line.split()[0] for line in lines[6:10]] == ["g", "x", "(Intercept),", "Residual"]
    assert lines[12].split() == ["Estimate", "Std.", "Error", "Model", "SE", "t", "value"]
    html = found._repr_html_()
    assert html.count("<table>") == 2
    assert "Fixed effects" in html
    assert repr(found) == str(found)


def test_tables_hold_the_numbers():
    found = hd.chunked_fit(FORMULA, DATA, 4, by="g", random_state=1)
    table = found.to_frame(level=0.9)
    assert table["term"].tolist() == ["(Intercept)", "x", "var__(Intercept)", "var__Observation"]
    assert table["effect"].tolist() == ["fixed", "fixed", "ran_pars", "ran_pars"]
    narrow, wide = (frame["conf_high"] - frame["conf_low"] for frame in (table, found.to_frame()))
    assert (narrow < wide).all()
    assert (table["df"] == 3).all()
    long = found.by_chunk()
    means = long.groupby(["effect", "term"], sort=False)["estimate"].mean()
    np.testing.assert_allclose(means, found.estimate)


def test_notes_say_what_to_look_out_for():
    flat = DATA.assign(y=np.random.default_rng(1).normal(size=len(DATA)))
    text = " ".join(str(hd.chunked_fit(FORMULA, flat, 4, by="g", random_state=1)).split())
    assert "chunk fits are singular" in text
    assert "Standard errors come from 4 chunks only" in text
    text = " ".join(str(hd.chunked_fit(FORMULA, DATA, 6, by="g", random_state=1)).split())
    assert "as few as 20 groups" in text


# --------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "options, message",
    [
        ({"n_chunks": 1}, "n_chunks is 1"),
        ({"n_chunks": 2.5}, "n_chunks is 2.5"),
        ({"n_chunks": 100}, "100 chunks of 120 groups"),
        ({"by": "q"}, "'q'"),
        ({"by": [1, 2]}, "by has 2 labels"),
        ({"by": 3}, "by is 3"),
        ({"by": DATA["g"].where(DATA["g"] != 4)}, "missing in row"),
        ({"executor": "gpu"}, "executor is 'gpu'"),
        ({"estimator": 3}, "estimator is 3"),
        ({"estimator": "y ~ x + (1 | q)"}, "'q'"),
        ({"estimator": lambda part: len(part)}, "The fit of a chunk is a int"),
        ({"estimator": lambda part: part, "reml": True}, "such options are for formulas"),
        ({"estimates": lambda _: 3}, "estimates gave 3"),
        ({"estimates": lambda _: {"a": "b"}}, "estimates gave"),
        ({"weights": np.ones(len(DATA))}, "weights= has one value per row"),
        ({"workers": 0}, "workers is 0"),
        ({"random_state": "one"}, "random_state is 'one'"),
        ({"executor": ThreadPoolExecutor}, "executor is"),
        ({"estimator": lambda part: part, "executor": "processes"}, "cannot be sent to other processes"),
        ({"estimator": "y ~ poly(x, 2) + (1 | g)"}, r"poly\(x, 2\) depends on all rows"),
        ({"estimator": "y ~ scale(x) + (1 | g)"}, r"scale\(x\) depends on all rows"),
        ({"estimator": lambda part: hd.lmer("y ~ I(x - mean(x)) + (1 | g)", part)}, r"mean\(x\) depends on all rows"),
        ({"data": 3}, "int"),
        ({"data": {"g": 3}}, "dict"),
    ],
)
def test_errors_say_what_is_wrong(options, message):
    given = {"estimator": FORMULA, "data": DATA, "n_chunks": 4, "by": "g"} | options
    with pytest.raises(hd.DataError, match=message):
        hd.chunked_fit(given.pop("estimator"), given.pop("data"), given.pop("n_chunks"), **given)


def test_estimators_need_their_target():
    pytest.importorskip("sklearn")
    from sklearn.linear_model import LinearRegression

    from henderson.learn import LinearMixedRegressor, MixedEffectsRegressor

    model = LinearMixedRegressor(random_effects="(1 | g)")
    with pytest.raises(hd.DataError, match="name the column of data that is y"):
        hd.chunked_fit(model, DATA, 4, by="g")
    with pytest.raises(hd.DataError, match="'z'"):
        hd.chunked_fit(model, DATA, 4, by="g", target="z")
    with pytest.raises(hd.DataError, match="split the grouping factor 'item'"):
        hd.chunked_fit(LinearMixedRegressor(random_effects="(1 | item)"), DATA, 4, by="g", target="y")
    learner = MixedEffectsRegressor(LinearRegression(), "(1 | item)", features=["x"])
    with pytest.raises(hd.DataError, match="split the grouping factor 'item'"):
        hd.chunked_fit(learner, DATA, 4, by="g", target="y")


def test_a_chunk_that_cannot_be_fitted_is_named():
    with pytest.raises(hd.DataError, match=r"Chunk 1 of 4 .* cannot be fitted"):
        hd.chunked_fit("y ~ x + (1 | g)", DATA.assign(y=np.where(DATA.index == 0, 1.0, 0.0)), 4, by="g", random_state=2)


def test_an_error_of_the_users_function_says_in_which_chunk():
    def fails(part):
        raise KeyError(len(part))

    with pytest.raises(KeyError) as problem:
        hd.chunked_fit(fails, DATA, 4, by="g", random_state=2)
    assert problem.value.__notes__ == [f"This happened in chunk 1 of 4 ({rows_of_first_chunk(2)} rows)."]


def rows_of_first_chunk(seed):
    return hd.chunked_fit(FORMULA, DATA, 4, by="g", random_state=seed).nobs[0]


def test_functions_of_all_rows_are_fine_where_they_are_the_same_in_every_chunk_or_no_coefficient_is_averaged():
    fixed = DATA.assign(scaled=(DATA["x"] - DATA["x"].mean()) / DATA["x"].std())
    by_column = hd.chunked_fit("y ~ scaled + (1 | g)", fixed, 4, by="g", random_state=1)
    powers = hd.chunked_fit("y ~ I(x^2) + x + (1 | g)", DATA, 4, by="g", random_state=1)
    raw = hd.chunked_fit("y ~ poly(x, 2, raw=True) + (1 | g)", DATA, 4, by="g", random_state=1)
    assert raw.fixef.iloc[1] == pytest.approx(powers.fixef["x"])
    assert by_column.fixef["scaled"] == pytest.approx(2.0 * DATA["x"].std(), rel=0.1)
    averaged = hd.chunked_fit(
        "y ~ scale(x) + (1 | g)", DATA, 4, by="g", random_state=1, estimates=lambda fit: {"sigma": fit.sigma}
    )
    assert averaged.estimate[0] == pytest.approx(1.0, rel=0.1)


def test_intervals_of_fixed_effects_are_those_of_the_table():
    found = hd.chunked_fit(FORMULA, DATA, 4, by="g", random_state=1)
    limits = found.confint(0.9)
    assert list(limits.columns) == ["5 %", "95 %"]
    assert list(limits.index) == ["(Intercept)", "x"]
    table = found.to_frame(0.9).set_index("term")
    np.testing.assert_array_equal(limits["95 %"], table.loc[["(Intercept)", "x"], "conf_high"])


def test_an_executor_of_processes_needs_functions_that_can_be_imported():
    with ProcessPoolExecutor(1) as pool, pytest.raises(hd.DataError, match="define functions in a module"):
        hd.chunked_fit(lambda part: hd.lmer(FORMULA, part), DATA, 4, by="g", executor=pool)


def test_chunks_with_other_coefficients_are_refused():
    rare = DATA.assign(c=np.where(DATA["g"] == 7, "rare", np.where(DATA["g"] % 2, "a", "b")))
    with pytest.raises(hd.DataError, match="too rare to be in every chunk"):
        hd.chunked_fit("y ~ x + c + (1 | g)", rare, 4, by="g", random_state=1)


def test_predictions_need_the_fits():
    with pytest.raises(hd.DataError, match="keep_fits=True"):
        hd.chunked_fit(FORMULA, DATA, 4, by="g").predict(DATA)
