"""shrinkage_features: the effects of the fit by row, cross-fitted if wanted. And what henderson.learn loads."""

import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from sklearn.model_selection import KFold

import henderson as hd
from henderson import DataError
from henderson.learn import shrinkage_features


@pytest.fixture(scope="module")
def sleep():
    return hd.datasets.load_sleepstudy()


def test_features_are_the_effects_and_factors_of_the_fit(sleep):
    found = shrinkage_features(sleep, "Reaction", "Subject", ["Days"])
    fit = hd.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    ranef = fit.ranef["Subject"].loc[sleep["Subject"]]
    np.testing.assert_allclose(found["Subject_intercept"], ranef["(Intercept)"], rtol=1e-6)
    np.testing.assert_allclose(found["Subject_Days"], ranef["Days"], rtol=1e-6)
    factors = fit.shrinkage()["Subject"]
    np.testing.assert_allclose(found["Subject_shrinkage"], np.repeat(factors.factors, 10), rtol=1e-6)
    assert found["Subject_count"].tolist() == [10] * 180
    assert found.index.equals(sleep.index)


@pytest.mark.parametrize("correlated", [True, False])
def test_features_of_one_random_term_or_uncorrelated_ones(correlated, sleep):
    found = shrinkage_features(sleep, "Reaction", "Subject", "Days", correlated=correlated, add_mean=True, reml=False)
    bar = "|" if correlated else "||"
    fit = hd.lmer(f"Reaction ~ Days + (Days {bar} Subject)", sleep, reml=False)
    expected = fit.coef["Subject"].loc[sleep["Subject"]]
    np.testing.assert_allclose(found["Subject_intercept"], expected["(Intercept)"], rtol=1e-6)
    np.testing.assert_allclose(found["Subject_Days"], expected["Days"], rtol=1e-6)
    np.testing.assert_allclose(found["Subject_shrinkage"], np.repeat(fit.shrinkage()["Subject"].factors, 10), rtol=1e-5)


def test_features_of_crossed_groups():
    table = hd.datasets.load_penicillin()
    found = shrinkage_features(table, "diameter", ["plate", "sample"])
    fit = hd.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", table)
    for group in ("plate", "sample"):
        effects = fit.ranef[group]["(Intercept)"]
        np.testing.assert_allclose(found[f"{group}_intercept"], table[group].map(effects).to_numpy(float), atol=1e-7)


def test_cross_fitted_features_come_from_other_folds(sleep):
    folds = KFold(3, shuffle=True, random_state=4)
    found = shrinkage_features(sleep, "Reaction", "Subject", ["Days"], cv=3, random_state=4)
    for train, held_out in folds.split(sleep):
        own = shrinkage_features(sleep.iloc[train], "Reaction", "Subject", ["Days"])
        of_subject = own.set_axis(sleep["Subject"].iloc[train].astype(str)).groupby(level=0).first()
        expected = of_subject.loc[sleep["Subject"].iloc[held_out].astype(str)]
        np.testing.assert_allclose(found.iloc[held_out], expected, rtol=1e-6)


def test_features_of_rows_with_missing_values(sleep):
    table = sleep.assign(Subject=sleep["Subject"].astype(object))
    table.loc[0, "Subject"] = None
    table.loc[10, "Reaction"] = np.nan
    found = shrinkage_features(pl.from_pandas(table), "Reaction", "Subject", ["Days"])
    expected = shrinkage_features(table.drop(index=[0, 10]), "Reaction", "Subject", ["Days"])
    assert found.iloc[0].tolist() == [0.0, 0.0, 0.0, 0.0]
    np.testing.assert_allclose(found.iloc[10], expected.loc[11])
    np.testing.assert_allclose(found.drop(index=[0, 10]), expected, rtol=1e-9)


def test_features_of_a_group_that_the_other_folds_lack_are_zero(sleep):
    pairs = [(np.arange(90), np.arange(90, 180)), (np.arange(90, 180), np.arange(90))]
    assert (shrinkage_features(sleep, "Reaction", "Subject", ["Days"], cv=pairs) == 0).all(axis=None)


UNUSABLE = {
    "unknown target": (("y", "Subject"), "Column 'y' .target."),
    "unknown group": (("Reaction", "Subjct"), "Did you mean 'Subject'"),
    "text as a feature": (("Reaction", "Subject", ["text"]), "'text' is used as a number"),
    "infinite feature": (("Reaction", "Subject", ["infinite"]), "'infinite' is inf in row 3"),
    "target as a feature": (("Reaction", "Subject", ["Reaction"]), "'Reaction' is used twice"),
    "no group": (("Reaction", []), "group is empty"),
    "group as a number": (("Reaction", 3), "a column name or a list"),
    "one level": (("Reaction", "one"), "'one' has only one level"),
    "a level for each row": (("Reaction", "row"), "'row' has 180 levels for 180 rows"),
    "nothing complete": (("nothing", "Subject"), "No row has values"),
    "a constant feature": (("Reaction", "Subject", ["one"]), "'one' is constant"),
    "a feature twice over": (("Reaction", "Subject", ["Days", "twice"]), "'twice' is constant, or a combination"),
    "a name that is taken": (("Reaction", "Subject", ["count"]), "would be called 'Subject_count'"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_gives_no_features_is_explained(name, sleep):
    arguments, message = UNUSABLE[name]
    infinite = np.where(np.arange(180) == 3, np.inf, 1.0)
    table = sleep.assign(text="a", infinite=infinite, one=1, row=np.arange(180), nothing=np.nan)
    table = table.assign(twice=2.0 * sleep["Days"] - 0.3, count=sleep["Days"])
    with pytest.raises(DataError, match=message):
        shrinkage_features(table, *arguments)


# ------------------------------------------------------------------------------------------------------- the subpackage


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_without_scikit_learn_it_says_what_to_install():
    done = run_python("import sys; sys.modules['sklearn'] = None; import henderson.learn")
    assert done.stderr.rstrip().endswith(
        "ImportError: henderson.learn needs scikit-learn: pip install 'henderson[learn]'"
    )


def test_names_load_when_they_are_used():
    import henderson.learn

    assert set(henderson.learn.__all__) <= set(dir(henderson.learn))
    with pytest.raises(AttributeError, match="no attribute 'Encoder'"):
        _ = henderson.learn.Encoder
    done = run_python("import sys, henderson.learn; print('sklearn' in sys.modules)")
    assert done.stdout == "False\n", done.stderr
