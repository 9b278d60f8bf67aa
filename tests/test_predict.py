"""Predictions: which random effects take part, new levels, what new rows must come with, what is returned."""

import json
import pickle
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import henderson as hd
from cases import read_table
from henderson.errors import DataError, FormulaError

REFERENCES = json.loads((Path(__file__).parent / "reference" / "predict" / "predict.json").read_text())
FACTORS = {"sleepstudy": ("Subject",), "cake": ("replicate",), "RatPupWeight": ("Litter",)}
SLEEP = hd.datasets.load_sleepstudy()
PASTES = hd.datasets.load_pastes()
SLOPES = "Reaction ~ Days + (Days | Subject)"


@cache
def sleep_fit(formula=SLOPES, **options):
    return hd.lmer(formula, SLEEP, **options)


@cache
def pastes_fit():
    return hd.lmer("strength ~ 1 + (1 | batch/cask)", PASTES)


NEW = pd.DataFrame({"Days": [0.0, 4.5, 9.0], "Subject": ["308", "335", "372"]}, index=[11, 7, 3])


@pytest.mark.parametrize("case", REFERENCES, ids=lambda case: f"{case['data']}: {case['formula']}")
def test_predictions_are_those_of_lme4(case):
    data = read_table(case["data"], FACTORS.get(case["data"], ()))
    for name in FACTORS.get(case["data"], ()):
        data = data.assign(**{name: data[name].astype(str)})
    fit = hd.lmer(case["formula"], data, reml=case.get("reml", True), weights=case.get("weights"))
    new = pd.DataFrame(case["new"])
    for re, expected in case["predictions"].items():
        options = {"re": None if re == "none" else re}
        if case.get("strangers"):
            with pytest.warns(hd.PredictionWarning):
                found = fit.predict(new, **options)
        else:
            found = fit.predict(new, **options)
        np.testing.assert_allclose(found, expected, rtol=2e-6)


# ------------------------------------------------------------------------------------------------------ what comes back


def test_without_new_rows_the_rows_of_the_fit_are_predicted():
    data = SLEEP.set_index(SLEEP.index + 100)
    data.loc[105, "Reaction"] = np.nan
    fit = hd.lmer(SLOPES, data)
    pd.testing.assert_series_equal(fit.predict(), fit.fitted.rename("Reaction"))
    marginal = fit.predict(re=None)
    np.testing.assert_allclose(data["Reaction"].drop(105) - marginal, fit.residuals("marginal"))


def test_estimates_come_as_a_series_named_after_the_response():
    found = sleep_fit().predict(NEW)
    assert isinstance(found, pd.Series)
    assert found.name == "Reaction"
    assert list(found.index) == [11, 7, 3]
    assert hd.lmer("log(Reaction) ~ Days + (1 | Subject)", SLEEP).predict(NEW).name == "log(Reaction)"


@pytest.mark.parametrize("options", [{"interval": "confidence"}, {"interval": "prediction"}, {"std_error": True}])
def test_intervals_come_as_a_table(options):
    found = sleep_fit().predict(NEW, **options)
    assert list(found.columns) == ["estimate", "std_error", "df", "conf_low", "conf_high"]
    assert list(found.index) == [11, 7, 3]
    pd.testing.assert_series_equal(found["estimate"], sleep_fit().predict(NEW), check_names=False)


def test_standard_errors_alone_are_those_of_the_mean():
    fit = sleep_fit()
    pd.testing.assert_frame_equal(fit.predict(NEW, std_error=True), fit.predict(NEW, interval="confidence"))


@pytest.mark.parametrize(
    "convert",
    [
        pl.from_pandas,
        lambda table: pa.Table.from_pandas(table, preserve_index=False),
        lambda table: table.to_dict("list"),
    ],
)
def test_any_table_will_do_and_has_row_numbers_where_it_has_no_index(convert):
    fit = sleep_fit()
    found = fit.predict(convert(NEW), interval="prediction")
    expected = fit.predict(NEW, interval="prediction")
    assert list(found.index) == [0, 1, 2]
    np.testing.assert_array_equal(found, expected)


def test_a_table_without_rows_gives_none():
    for interval in (None, "confidence", "prediction"):
        assert len(sleep_fit().predict(NEW.iloc[:0], interval=interval)) == 0
    assert len(pastes_fit().predict({"batch": [], "cask": []}, std_error=True)) == 0


def test_transformations_keep_what_they_learned():
    fit = hd.lmer("Reaction ~ scale(Days) + bs(Days, df = 4) + (scale(Days) | Subject)", SLEEP)
    one_by_one = pd.concat([fit.predict(SLEEP.iloc[[row]]) for row in (3, 77, 140)])
    np.testing.assert_allclose(one_by_one, fit.fitted.iloc[[3, 77, 140]], rtol=1e-10)


@pytest.mark.parametrize("change", [str, int, lambda s: s == "308", lambda s: float(s) / 2])
def test_levels_of_any_type_are_found(change):
    data = SLEEP.assign(Subject=[change(s) for s in SLEEP["Subject"]])
    fit = hd.lmer("Reaction ~ Days + (1 | Subject)", data)
    rows = [5, 120, 60]
    np.testing.assert_allclose(fit.predict(data.iloc[rows]), fit.fitted.iloc[rows])
    again = data.iloc[rows].assign(Subject=data["Subject"].iloc[rows].astype("category"))
    np.testing.assert_allclose(fit.predict(again), fit.fitted.iloc[rows])


def test_a_fit_that_was_pickled_predicts():
    fit = sleep_fit()
    before = fit.predict(NEW, interval="prediction")
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(fit)).predict(NEW, interval="prediction"), before)


# ------------------------------------------------------------------------------------------------------ random effects


def test_all_random_effects_can_be_named():
    fit = sleep_fit("Reaction ~ Days + (Days || Subject)")
    everything = fit.predict(NEW)
    for re in ("all", "Subject", ["Subject"], ["Subject", "Subject.1"], "(Days || Subject)", "~ (Days | Subject)"):
        np.testing.assert_array_equal(fit.predict(NEW, re=re), everything)
    np.testing.assert_array_equal(fit.predict(NEW, re=["(1 | Subject)", "(0 + Days | Subject)"]), everything)


def test_none_of_them_can_be_named_too():
    intercept, slope = sleep_fit().fixef
    for re in (None, [], "~0", "~ 0"):
        np.testing.assert_allclose(sleep_fit().predict({"Days": [0.0, 2.0]}, re=re), [intercept, intercept + 2 * slope])


def test_the_label_of_a_term_means_that_term():
    fit = sleep_fit("Reaction ~ Days + (Days || Subject)")
    (second,) = (effects for name, effects in fit.ranef.items() if name == "Subject")
    found = fit.predict(NEW, re="Subject.1") - fit.predict(NEW, re=None)
    np.testing.assert_allclose(found, NEW["Days"] * second.loc[NEW["Subject"], "Days"].to_numpy())


def test_nested_factors_can_be_written_either_way_round():
    fit = pastes_fit()
    inner = fit.predict(re="(1 | cask:batch)")
    np.testing.assert_array_equal(fit.predict(re="(1 | batch:cask)"), inner)
    np.testing.assert_array_equal(fit.predict(re="cask:batch"), inner)
    np.testing.assert_allclose(fit.predict(re=["cask:batch", "batch"]), fit.fitted)


def test_some_effects_of_a_factor():
    ratpup = hd.datasets.load_ratpup()
    fit = hd.lmer("weight ~ sex + (sex | Litter)", ratpup)
    found = fit.predict(re="(1 | Litter)") - fit.predict(re=None)
    np.testing.assert_allclose(found, fit.ranef["Litter"].loc[ratpup["Litter"], "(Intercept)"])


def test_columns_of_effects_that_do_not_take_part_may_be_absent():
    table = SLEEP.assign(x=np.arange(180.0) % 7, item=np.arange(180) % 5)
    fit = hd.lmer("Reaction ~ Days + (x | Subject) + (1 | item)", table)
    new = {"Days": [1.0, 2.0], "Subject": ["308", "309"]}
    assert np.isfinite(fit.predict(new, re="(1 | Subject)", interval="confidence")).all(axis=None)
    assert np.isfinite(fit.predict({"Days": [1.0]}, re=None)).all()
    with pytest.raises(DataError, match=r"'x'"):
        fit.predict(new, re="Subject")
    with pytest.raises(DataError, match=r"'item'"):
        fit.predict(new | {"x": [0.0, 1.0]})
    # an observation has effects of all terms, of new groups where they are left out
    with pytest.raises(DataError, match=r"'x'"):
        fit.predict({"Days": [1.0]}, re=None, interval="prediction")
    assert np.isfinite(fit.predict({"Days": [1.0], "x": [2.0]}, re=None, interval="prediction")).all(axis=None)


@pytest.mark.parametrize(
    "re, message",
    [
        ("subject", r"'subject', which is no grouping factor of this model\. Did you mean 'Subject'\?"),
        ("(1 | item)", r"no random effects for 'item'"),
        ("(sex | Subject)", r"the effect 'sex' does not vary over Subject: only \(Intercept\), Days do"),
        ("(0 + I(Days^2) | Subject)", r"the effect 'I\(Days\^2\)' does not vary"),
        ("Days + (1 | Subject)", r"has the term 'Days' outside parentheses"),
        ("Reaction ~ (1 | Subject)", r"outside parentheses"),
        (1, r"re is 1 \(int\)"),
        (["Subject", None], r"re is \['Subject', None\] \(list\)"),
    ],
)
def test_random_effects_that_the_model_does_not_have_are_refused(re, message):
    with pytest.raises(DataError, match=message):
        sleep_fit().predict(NEW, re=re)


def test_random_effects_that_cannot_be_read_are_shown():
    with pytest.raises(FormulaError, match=r"\^"):
        sleep_fit().predict(NEW, re="1 | Subject")


def test_an_effect_of_several_terms_must_be_told_apart():
    fit = hd.lmer("Reaction ~ Days + (1 + Days | Subject) + (1 + I(Days^2) | Subject)", SLEEP)
    with pytest.raises(DataError, match=r"all have the effect '\(Intercept\)'"):
        fit.predict(re="(1 | Subject)")
    np.testing.assert_allclose(fit.predict(re=["(Days | Subject)", "(I(Days^2) | Subject)"]), fit.fitted)


# ---------------------------------------------------------------------------------------------------------- new levels

STRANGERS = NEW.assign(Subject=["308", "new", "newer"])


def test_new_levels_are_predicted_as_the_population_with_a_warning():
    with pytest.warns(
        hd.PredictionWarning, match=r"Subject has 2 levels that the model was not fitted to \(new, newer\)"
    ):
        found = sleep_fit().predict(STRANGERS)
    assert found.iloc[0] == sleep_fit().predict(NEW).iloc[0]
    np.testing.assert_allclose(found.iloc[1:], sleep_fit().predict(NEW, re=None).iloc[1:])


def test_the_warning_points_at_the_line_of_the_user():
    with pytest.warns(hd.PredictionWarning) as caught:
        sleep_fit().predict(STRANGERS)
    assert [warning.filename for warning in caught] == [__file__]


def test_new_levels_can_be_refused():
    with pytest.raises(DataError, match=r"Subject has 2 levels .* \(new, newer\), in rows 7, 3 of the new data"):
        sleep_fit().predict(STRANGERS, new_groups="error")


def test_new_levels_can_be_left_without_prediction():
    found = sleep_fit().predict(STRANGERS, new_groups="nan", interval="confidence")
    np.testing.assert_array_equal(np.isnan(found), [[False] * 5, [True] * 5, [True] * 5])


def test_levels_that_differ_by_type_only_are_pointed_out():
    with pytest.warns(
        hd.PredictionWarning, match=r"A level '308' of Subject was in the data of the fit, but with another"
    ):
        sleep_fit().predict(NEW.assign(Subject=[308, 335, 372]))


def test_a_new_cask_of_a_known_batch_has_the_effect_of_its_batch():
    fit = pastes_fit()
    with pytest.warns(hd.PredictionWarning, match=r"cask:batch has a level .* \(new:A\)\. New levels"):
        found = fit.predict({"batch": ["A"], "cask": ["new"]}, interval="confidence")
    known = fit.predict({"batch": ["A"]}, re="batch", interval="confidence")
    assert found["estimate"].iloc[0] == pytest.approx(known["estimate"].iloc[0])
    variance = fit.varcorr.to_frame().query("grp == 'cask:batch'")["vcov"].iloc[0]
    assert found["std_error"].iloc[0] ** 2 == pytest.approx(known["std_error"].iloc[0] ** 2 + variance)


def test_new_levels_do_not_matter_where_their_effects_do_not_take_part():
    assert np.isfinite(sleep_fit().predict(STRANGERS, re=None, new_groups="error")).all()


# ------------------------------------------------------------------------------------------------ missing and refused


def test_what_is_missing_gives_nan_in_its_row_only():
    fit = hd.lmer("Reaction ~ Days + (1 | Subject)", SLEEP, weights=np.linspace(1, 2, 180))
    new = pd.DataFrame({"Days": [0.0, np.nan, 3.0, 1.0], "Subject": ["308", "309", None, "310"]})
    lost = [False, True, True, False]
    np.testing.assert_array_equal(fit.predict(new).isna(), lost)
    np.testing.assert_array_equal(fit.predict(new, interval="confidence").isna().all(axis=1), lost)
    found = fit.predict(new, interval="prediction", weights=[1.0, 1.0, 1.0, np.nan])
    assert found["std_error"].isna().tolist() == [False, True, True, True]
    assert found["estimate"].isna().tolist() == lost


def test_a_new_level_of_a_predictor_is_refused():
    fit = hd.lmer("weight ~ Treatment + (1 | Litter)", hd.datasets.load_ratpup())
    with pytest.raises(DataError, match=r"'Treatment' has the level 'Medium' in row 0"):
        fit.predict({"Treatment": ["Medium"], "Litter": ["1"]})


def test_a_column_that_is_absent_is_named():
    with pytest.raises(DataError, match="'Days'"):
        sleep_fit().predict({"Subject": ["308"]})
    with pytest.raises(DataError, match="'Subject'"):
        sleep_fit().predict({"Days": [1.0]})


def test_rows_that_dropped_columns_leave_open_are_nan():
    table = SLEEP.assign(twice=2 * SLEEP["Days"])
    fit = hd.lmer("Reaction ~ Days + twice + (1 | Subject)", table)
    new = pd.DataFrame({"Days": [1.0, 2.0, 3.0], "twice": [2.0, 5.0, 6.0], "Subject": "308"}, index=["a", "b", "c"])
    with pytest.warns(hd.PredictionWarning, match=r"Row b of the new data cannot be predicted .*the fit dropped twice"):
        found = fit.predict(new, interval="confidence")
    np.testing.assert_array_equal(found["conf_low"].isna(), [False, True, False])
    without = hd.lmer("Reaction ~ Days + (1 | Subject)", SLEEP).predict(new.iloc[[0, 2]])
    np.testing.assert_allclose(found["estimate"].iloc[[0, 2]], without)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"new_groups": "zero"}, "new_groups"),
        ({"interval": "conf"}, "interval"),
        ({"interval": "confidence", "level": 95}, "level is 95"),
        ({"interval": "confidence", "ddf": "kr"}, "ddf"),
        ({"std_error": "yes"}, "std_error"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, message):
    with pytest.raises(DataError, match=message):
        sleep_fit().predict(NEW, **options)


def test_kenward_roger_needs_reml():
    with pytest.raises(DataError, match="needs a REML fit"):
        sleep_fit(reml=False).predict(NEW, std_error=True, ddf="kenward-roger")


def test_something_that_is_no_table_is_refused():
    with pytest.raises(DataError, match="int"):
        sleep_fit().predict(3)


# ------------------------------------------------------------------------------------------------- offsets and weights


def test_offsets_of_the_formula_are_evaluated_at_new_rows():
    fit = sleep_fit("Reaction ~ Days + offset(10 * Days) + (1 | Subject)")
    plain = sleep_fit("Reaction ~ Days + (1 | Subject)")
    np.testing.assert_allclose(fit.predict(NEW), plain.predict(NEW), rtol=1e-8)


def test_the_column_of_the_offset_is_found_in_new_rows_or_replaced():
    table = SLEEP.assign(known=np.linspace(0, 50, 180))
    fit = hd.lmer("Reaction ~ Days + (1 | Subject)", table, offset="known")
    base = fit.predict(NEW.assign(known=0.0))
    np.testing.assert_allclose(fit.predict(NEW.assign(known=[1.0, 2.0, 3.0])), base + np.array([1, 2, 3]))
    np.testing.assert_allclose(fit.predict(NEW, offset=5.0), base + 5)
    np.testing.assert_allclose(fit.predict(NEW.assign(other=7.0), offset="other"), base + 7)
    np.testing.assert_allclose(fit.predict(NEW, offset=np.array([1.0, 0.0, 2.0])), base + np.array([1, 0, 2]))
    with pytest.raises(DataError, match="'known'"):
        fit.predict(NEW)


def test_a_fit_with_an_array_of_offsets_needs_some_for_new_rows():
    known = np.linspace(0, 50, 180)
    fit = hd.lmer("Reaction ~ Days + (1 | Subject)", SLEEP, offset=known)
    np.testing.assert_allclose(fit.predict(), fit.fitted)
    np.testing.assert_allclose(fit.predict(SLEEP, offset=known), fit.fitted)
    with pytest.raises(DataError, match="array as offset="):
        fit.predict(NEW)
    with pytest.raises(DataError, match="offset"):
        fit.predict(NEW, offset=known)


def test_the_rows_of_the_fit_have_their_own_offset_and_weights():
    for what in ("offset", "weights"):
        with pytest.raises(DataError, match=f"{what}= is for new rows"):
            sleep_fit().predict(**{what: 1.0}, interval="prediction")


def test_weights_divide_the_residual_variance():
    table = SLEEP.assign(w=np.linspace(0.5, 3, 180))
    fit = hd.lmer(SLOPES, table, weights="w")

    def added(**options):
        mean = fit.predict(NEW, interval="confidence")["std_error"] ** 2
        return fit.predict(options.pop("new", NEW), interval="prediction", **options)["std_error"] ** 2 - mean

    np.testing.assert_allclose(added(weights=2.0), fit.sigma**2 / 2)
    np.testing.assert_allclose(added(weights=[1.0, 2.0, 4.0]), fit.sigma**2 / np.array([1, 2, 4]))
    np.testing.assert_allclose(added(new=NEW.assign(w=[1.0, 2.0, 4.0])), fit.sigma**2 / np.array([1, 2, 4]))
    np.testing.assert_allclose(added(new=NEW.assign(v=5.0), weights="v"), fit.sigma**2 / 5)
    own = fit.predict(interval="prediction")["std_error"] ** 2 - fit.predict(interval="confidence")["std_error"] ** 2
    np.testing.assert_allclose(own, fit.sigma**2 / table["w"])


def test_a_weighted_fit_needs_weights_for_prediction_intervals_only():
    by_name = hd.lmer(SLOPES, SLEEP.assign(w=np.linspace(0.5, 3, 180)), weights="w")
    by_array = hd.lmer(SLOPES, SLEEP, weights=np.linspace(0.5, 3, 180))
    for fit, message in ((by_name, "'w', which is no column of the new data"), (by_array, "an array as weights=")):
        assert np.isfinite(fit.predict(NEW, interval="confidence")).all(axis=None)
        with pytest.raises(DataError, match=message):
            fit.predict(NEW, interval="prediction")


@pytest.mark.parametrize("weight", [0.0, -1.0, np.inf])
def test_weights_of_new_observations_are_positive(weight):
    with pytest.raises(DataError, match=r"weights is .* in row 1 of the new data"):
        sleep_fit().predict(NEW, interval="prediction", weights=[1.0, weight, 1.0])
