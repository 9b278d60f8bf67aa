"""The commands that use fits: predict, simulate, anova, bench; what they say when something is wrong."""

import io
import json

import pandas as pd
import pytest

import henderson
from command_line import run, sleepstudy, write
from henderson.cli import bench

FORMULA = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture
def saved(capsys, tmp_path):
    path = tmp_path / "sleep.henderson"
    assert run(capsys, "fit", FORMULA, "sleepstudy", "--save", path)[0] == 0
    return path


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_saved_fits_predict_from_files(capsys, tmp_path, saved, suffix):
    new = sleepstudy().iloc[[0, 9, 30]].drop(columns="Reaction").assign(note=["a", "b", "c"])
    path = write(new, tmp_path / f"new.{suffix}")
    output = tmp_path / f"found.{suffix}"
    code, out, err = run(capsys, "predict", saved, path, "--interval", "prediction", "--level", 0.9, "-o", output)
    assert (code, out, err) == (0, "", "")
    found = pd.read_json(output, lines=True) if suffix == "jsonl" else None
    if found is None:
        found = pd.read_parquet(output) if suffix == "parquet" else pd.read_csv(output, sep=None, engine="python")
    want = henderson.load(saved).predict(new, interval="prediction", level=0.9).reset_index(drop=True)
    assert list(found.columns) == ["Days", "Subject", "note", *want.columns]
    pd.testing.assert_frame_equal(found[list(want.columns)].reset_index(drop=True), want, rtol=1e-12)


def test_levels_are_read_as_the_model_has_them(capsys, tmp_path):
    table = sleepstudy(Subject=lambda t: "0" + t["Subject"].astype(str))
    fit = henderson.lmer(FORMULA, table)
    fit.save(tmp_path / "fit")
    path = write(table.iloc[:3], tmp_path / "new.csv")
    _, out, err = run(capsys, "predict", tmp_path / "fit", path, "--only", "--new-groups", "error")
    assert err == ""
    assert pd.read_csv(io.StringIO(out))["estimate"].tolist() == fit.predict(table.iloc[:3]).tolist()


def test_random_effects_can_be_chosen(capsys, tmp_path, saved):
    path = write(sleepstudy().head(2), tmp_path / "new.csv")
    fit = henderson.load(saved)
    for given, meant in {"none": None, "all": "all", "(1 | Subject)": "(1 | Subject)", "Subject": "Subject"}.items():
        _, out, _ = run(capsys, "predict", saved, path, "--only", "--json", "--re", given)
        want = fit.predict(sleepstudy().head(2), re=meant).tolist()
        assert [row["estimate"] for row in json.loads(out)] == want


def test_new_groups_are_told_apart(capsys, tmp_path, saved):
    path = write(pd.DataFrame({"Days": [1, 1], "Subject": [308, 999]}), tmp_path / "new.csv")
    code, out, err = run(capsys, "predict", saved, path)
    assert (code, len(out.splitlines())) == (0, 3)
    assert err.startswith("warning: ")
    code, out, err = run(capsys, "predict", saved, path, "--new-groups", "error")
    assert (code, out) == (2, "")
    assert "999" in err
    _, out, _ = run(capsys, "predict", saved, path, "--new-groups", "nan", "--json")
    assert json.loads(out)[1]["estimate"] is None


def test_formulas_predict_without_being_saved(capsys, tmp_path, saved):
    path = write(sleepstudy().tail(3), tmp_path / "new.csv")
    direct = run(capsys, "predict", FORMULA, "sleepstudy", path)
    assert direct == run(capsys, "predict", saved, path)


def test_simulations_are_reproducible(capsys, tmp_path, saved):
    path = write(sleepstudy().head(4), tmp_path / "new.csv")
    _, out, _ = run(capsys, "simulate", saved, path, "-n", 3, "--seed", 1)
    table = pd.read_csv(io.StringIO(out))
    want = henderson.load(saved).simulate(3, newdata=sleepstudy().head(4), seed=1)
    pd.testing.assert_frame_equal(table, want.reset_index(drop=True), rtol=1e-14, check_names=False)
    assert run(capsys, "simulate", saved, path, "-n", 3, "--seed", 1)[1] == out
    _, out, _ = run(capsys, "simulate", FORMULA, "sleepstudy", "--seed", 2, "--conditional")
    assert len(pd.read_csv(io.StringIO(out))) == 180
    _, out, _ = run(capsys, "simulate", saved, path, "--with-data", "--seed", 1)
    assert out.startswith("Reaction,Days,Subject,sim_1\n")


def test_rows_can_be_saved_too(capsys, tmp_path):
    run(capsys, "fit", FORMULA, "sleepstudy", "--save", tmp_path / "fit", "--rows")
    assert henderson.load(tmp_path / "fit").resid.tolist() == henderson.lmer(FORMULA, sleepstudy()).resid.tolist()


# --------------------------------------------------------------------------------------------------------------- anova


def test_terms_are_tested(capsys, tmp_path):
    formula = "angle ~ recipe * temp + (1 | recipe:replicate)"
    fit = henderson.lmer(formula, henderson.datasets.load_cake())
    assert run(capsys, "anova", formula, "cake") == (0, f"{fit.anova()}\n", "")
    assert run(capsys, "anova", formula, "cake", "--type", "I", "--ddf", "normal")[1] == (
        f"{fit.anova(type=1, ddf='normal')}\n"
    )
    _, out, _ = run(capsys, "anova", formula, "cake", "--json")
    assert json.loads(out)[1]["statistic"] == fit.anova().to_frame()["statistic"].iloc[1]
    run(capsys, "anova", formula, "cake", "--output", tmp_path / "table.csv")
    assert len(pd.read_csv(tmp_path / "table.csv")) == 3


def test_models_are_compared(capsys, saved):
    small = "Reaction ~ Days + (1 | Subject)"
    code, out, _ = run(capsys, "anova", small, FORMULA, "sleepstudy")
    assert code == 0
    data = sleepstudy()
    data.attrs["name"] = "sleepstudy"
    want = henderson.anova(*(henderson.lmer(formula, data) for formula in (small, FORMULA)))
    assert out == f"{want}\n"
    assert run(capsys, "anova", small, saved, "sleepstudy")[1] == out
    _, out, _ = run(capsys, "anova", small, saved, "sleepstudy", "--no-refit", "--json")
    assert json.loads(out)[1]["model"] == "m2"


# --------------------------------------------------------------------------------------------------- codes and messages


def test_a_fit_that_did_not_converge_is_exit_code_1(capsys, monkeypatch):
    from henderson.cli import fit as command

    def impatient(formula, data, options):
        return henderson.lmer(formula, data, max_evaluations=2, reml=not options.ml)

    monkeypatch.setattr(command, "fitted", impatient)
    code, out, err = run(capsys, "fit", FORMULA, "sleepstudy")
    assert code == 1
    assert "Not converged" in out
    assert err.startswith("warning: Not converged (evaluation limit after 2 evaluations)")


def test_an_interrupt_is_exit_code_130(capsys, monkeypatch):
    from henderson.cli import fit as command

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "fitted", interrupted)
    assert run(capsys, "fit", FORMULA, "sleepstudy") == (130, "", "interrupted\n")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("predict", "{saved}"), "predict needs the rows"),
        (("predict", "{saved}", "sleepstudy", "cake"), "Nothing is known to do with 'cake'"),
        (("predict", FORMULA), "needs data"),
        (("predict", "nothing.henderson", "sleepstudy"), "There is no file 'nothing.henderson'"),
        (("predict", "{saved}", "cake"), "Column 'Days'"),
        (("predict", "{saved}", "sleepstudy", "--re", "(1 | Item)"), "Item"),
        (("predict", "{saved}", "sleepstudy", "--ml"), "a saved fit is as it was fitted"),
        (("predict", "{saved}", "sleepstudy", "-o", "{tmp}/new.xlsx"), "unknown type"),
        (("predict", "{saved}", "sleepstudy", "-o", "{tmp}/no/new.csv"), "no folder"),
        (("simulate", "{saved}"), "without its rows"),
        (("simulate", FORMULA, "sleepstudy", "--with-data"), "needs new data"),
        (("simulate", FORMULA, "sleepstudy", "--seed", "-1"), "seed"),
        (("anova", FORMULA), "needs data"),
        (("anova", "sleepstudy"), "neither a formula nor a saved fit"),
        (("anova", FORMULA, "sleepstudy", "cake"), "Only one may be the data"),
        (("anova", FORMULA, "{saved}", "sleepstudy", "--type", "2"), "--type: for the table of a single model"),
        (("fit", FORMULA, "sleepstudy", "--rows"), "--save FILE"),
        (("fit", FORMULA, "sleepstudy", "--save", "{tmp}/no/fit"), "no folder"),
    ],
)
def test_errors_of_the_other_commands(capsys, tmp_path, saved, arguments, message):
    filled = [part.replace("{saved}", str(saved)).replace("{tmp}", str(tmp_path)) for part in arguments]
    code, out, err = run(capsys, *filled)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err


def test_columns_of_the_result_are_not_overwritten(capsys, tmp_path, saved):
    path = write(sleepstudy(estimate=1.0).head(2), tmp_path / "new.csv")
    code, _, err = run(capsys, "predict", saved, path)
    assert code == 2
    assert "columns of the names that the result gets (estimate)" in err
    assert run(capsys, "predict", saved, path, "--only")[0] == 0


# --------------------------------------------------------------------------------------------------------------- bench


def test_times_are_a_table(capsys):
    code, out, _ = run(capsys, "bench", "--repeats", 1, "--shape", "dyestuff", "--shape", "pastes")
    assert code == 0
    title, header, *rows = out.splitlines()
    assert title.startswith(f"henderson {henderson.__version__}")
    assert header.split() == ["Rows", "Groups", "Evaluations", "Seconds"]
    assert [row.split()[:2] for row in rows] == [["dyestuff", "30"], ["pastes", "60"]]


def test_times_as_json(capsys, monkeypatch):
    monkeypatch.setattr(bench, "ROWS", 3_000)
    code, out, _ = run(capsys, "bench", "--repeats", 2, "--json")
    assert code == 0
    found = json.loads(out)
    assert [row["shape"] for row in found["shapes"]] == list(bench.SHAPES)
    assert all(row["seconds"] > 0 and row["evaluations"] > 0 for row in found["shapes"])
    assert found["machine"]["repeats"] == 2


def test_peers_are_timed_on_the_same_models(capsys):
    pytest.importorskip("statsmodels")
    _, out, _ = run(capsys, "bench", "--repeats", 1, "--shape", "dyestuff", "--peers", "--json")
    (row,) = json.loads(out)["shapes"]
    assert row["statsmodels_seconds"] > 0
    assert abs(row["statsmodels_above"]) < 1e-4


def test_a_peer_that_is_not_there_is_named(capsys, monkeypatch):
    monkeypatch.setattr(bench, "PEER", "no_such_package")
    code, _, err = run(capsys, "bench", "--peers", "--shape", "dyestuff")
    assert code == 2
    assert "no_such_package" in err


# ------------------------------------------------------------------------------------------------------------ rounding


def test_tables_can_be_rounded(capsys, tmp_path, saved):
    path = write(sleepstudy().head(2), tmp_path / "new.csv")
    _, out, _ = run(capsys, "predict", saved, path, "--only", "--digits", 3)
    assert out == "estimate\n254.0\n273.0\n"
    with pytest.raises(SystemExit) as stop:
        run(capsys, "predict", saved, path, "--digits", 0)
    assert stop.value.code == 2
