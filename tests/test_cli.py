"""The command line: results on stdout or in files, words on stderr, exit codes."""

import io
import json
import subprocess
import sys

import pandas as pd
import pytest

import henderson
from cases import BY_NAME
from command_line import run, sleepstudy
from henderson.cli import main, models
from henderson.inference import degrees

FORMULA = "Reaction ~ Days + (Days | Subject)"


def test_fit_prints_the_summary_of_a_bundled_data_set(capsys):
    code, out, err = run(capsys, "fit", FORMULA, "sleepstudy")
    assert (code, err) == (0, "")
    title = "Linear mixed model fit by REML. t-tests use Satterthwaite's method"
    assert out.startswith(f"{title}\nFormula: {FORMULA}\n   Data: sleepstudy\n")
    assert "REML criterion at convergence: 1743.6" in out


def test_module_runs_as_a_program():
    done = subprocess.run(
        [sys.executable, "-m", "henderson", "fit", FORMULA, "sleepstudy"], capture_output=True, text=True, check=True
    )
    assert "Number of obs: 180, groups:  Subject, 18" in done.stdout
    assert done.stderr == ""


def test_maximum_likelihood_on_request(capsys):
    _, out, _ = run(capsys, "fit", FORMULA, "sleepstudy", "--ml")
    assert "fit by maximum likelihood" in out
    assert "-2*log(L)" in out


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "tsv", "parquet"])
def test_files_are_read(capsys, tmp_path, suffix):
    data = BY_NAME["weighted"].data().assign(Subject=lambda table: table["Subject"].astype(int))
    path = tmp_path / f"study.{suffix}"
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
        data.to_parquet(path)
    else:
        data.to_csv(path, index=False, sep="\t" if suffix == "tsv" else ",")
    code, out, _ = run(capsys, "fit", FORMULA, str(path), "--weights", "w", "--offset", "off", "--subset", "Days > 0")
    assert code == 0
    for line in (f"   Data: study.{suffix}", "Weights: w", " Offset: off", " Subset: Days > 0", "Number of obs: 162"):
        assert line in out


def test_json_holds_the_estimates(capsys):
    _, out, _ = run(capsys, "fit", FORMULA, "sleepstudy", "--json")
    shown = json.loads(out)
    fit = henderson.lmer(FORMULA, henderson.datasets.load_sleepstudy())
    assert shown["criterion"] == fit.criterion
    assert [row["term"] for row in shown["fixef"]] == ["(Intercept)", "Days"]
    assert shown["fixef"][1]["estimate"] == fit.fixef["Days"]
    assert shown["varcorr"][2] == {
        "grp": "Subject",
        "var1": "(Intercept)",
        "var2": "Days",
        "vcov": fit.varcorr.to_frame()["vcov"][2],
        "sdcor": fit.varcorr.to_frame()["sdcor"][2],
    }
    assert shown["theta"]["Subject.Days"] == fit.theta["Subject.Days"]
    assert shown["converged"] is True
    assert shown["is_singular"] is False
    assert shown["ngroups"] == {"Subject": 18}


def test_json_of_an_aliased_column_is_null(capsys):
    _, out, _ = run(capsys, "fit", "Reaction ~ Days + I(2 * Days) + (1 | Subject)", "sleepstudy", "--json")
    assert json.loads(out)["fixef"][2] == {
        "term": "I(2 * Days)",
        "estimate": None,
        "std_error": None,
        "df": None,
        "statistic": None,
        "p_value": None,
        "conf_low": None,
        "conf_high": None,
    }


def test_degrees_of_freedom_can_be_chosen(capsys):
    _, out, _ = run(capsys, "fit", FORMULA, "sleepstudy", "--ddf", "kenward-roger", "--ml")
    assert "t-tests use Kenward-Roger's method" in " ".join(out.split())
    assert "fitted again by REML" in " ".join(out.split())
    _, out, _ = run(capsys, "fit", FORMULA, "sleepstudy", "--ddf", "normal", "--json")
    row = json.loads(out)["fixef"][1]
    columns = ["term", "estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high"]
    assert (json.loads(out)["ddf"], list(row)) == ("normal", columns)
    _, out, _ = run(capsys, "fit", FORMULA, "sleepstudy", "--ddf", "none")
    assert "Pr(>|t|)" not in out


def test_the_choices_are_those_of_the_package():
    assert degrees.DDF == models.DDF


def test_progress_goes_to_stderr(capsys):
    _, out, err = run(capsys, "fit", FORMULA, "sleepstudy", "--progress", "--threads", "1")
    assert "evaluation" in err
    assert "\r" not in out


def test_correlations_on_request(capsys):
    _, out, _ = run(capsys, "fit", "angle ~ recipe * temperature + (1 | recipe:replicate)", "cake", "--correlation")
    assert "Correlation of Fixed Effects:" in out


def test_data_sets_are_listed(capsys):
    code, out, _ = run(capsys, "datasets")
    assert code == 0
    assert out.split() == list(henderson.datasets.NAMES)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("fit", "Reaction ~ Days", "sleepstudy"), "no random term"),
        (("fit", "Reaction ~ Day + (1 | Subject)", "sleepstudy"), "Did you mean 'Days'"),
        (("fit", FORMULA, "sleepstudi"), "neither a file nor a bundled data set. Did you mean 'sleepstudy'"),
        (("fit", FORMULA, "sleepstudy", "--weights", "nope"), "Column 'nope'"),
        (("fit", FORMULA, "{tmp}/bad.csv"), "cannot be read"),
        (("fit", FORMULA, "{tmp}/bad.parquet"), "cannot be read"),
        (("fit", FORMULA, "{tmp}/data.xlsx"), "unknown type"),
        (("fit", FORMULA, "{tmp}"), "neither a file"),
    ],
)
def test_errors_go_to_stderr_with_exit_code_2(capsys, tmp_path, arguments, message):
    (tmp_path / "bad.csv").write_bytes(b"\xff\xfe\x00a,b\n1,2,3\n")
    (tmp_path / "bad.parquet").write_text("not parquet")
    (tmp_path / "data.xlsx").write_text("")
    code, out, err = run(capsys, *(part.replace("{tmp}", str(tmp_path)) for part in arguments))
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert message in err


def test_a_closed_pipe_is_no_error():
    command = [sys.executable, "-m", "henderson", "fit", FORMULA, "sleepstudy"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        program.stdout.close()
        assert program.stderr.read() == b""
    assert program.returncode == 0


def test_wrong_usage_is_exit_code_2(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["fit", "y ~ x"])
    assert stop.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["fit", "anova", "predict", "simulate", "bench", "datasets"])
def test_help_shows_examples(capsys, command):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: henderson {command} ")
    assert f"examples:\n  henderson {command}" in shown


def test_without_a_command_the_commands_are_listed(capsys):
    code, out, _ = run(capsys)
    assert code == 0
    assert out.startswith("usage: henderson")


def test_missing_pyarrow_is_explained(capsys, tmp_path, monkeypatch):
    def unavailable(*_, **__):
        raise ImportError("no parquet engine")

    monkeypatch.setattr(pd, "read_parquet", unavailable)
    path = tmp_path / "data.parquet"
    path.write_text("")
    code, _, err = run(capsys, "fit", FORMULA, str(path))
    assert code == 2
    assert "needs pyarrow: pip install 'henderson[arrow]'" in err


def test_missing_pyarrow_is_explained_when_writing(capsys, tmp_path, monkeypatch):
    def unavailable(*_, **__):
        raise ImportError("no parquet engine")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", unavailable)
    code, _, err = run(capsys, "datasets", "cake", "--output", tmp_path / "cake.parquet")
    assert (code, list(tmp_path.iterdir())) == (2, [])
    assert "needs pyarrow: pip install 'henderson[arrow]'" in err


# ------------------------------------------------------------------------------------------------------ tables in, out


def test_standard_input_is_csv(capsys, monkeypatch):
    class Standard:
        buffer = io.BytesIO(sleepstudy().to_csv(index=False).encode())

    monkeypatch.setattr(sys, "stdin", Standard)
    code, out, _ = run(capsys, "fit", FORMULA, "-")
    assert code == 0
    assert "REML criterion at convergence: 1743.6" in out
    assert "Data:" not in out


def test_windows_files_are_read(capsys, tmp_path):
    path = tmp_path / "study.csv"
    path.write_bytes(b"\xef\xbb\xbf" + sleepstudy().to_csv(index=False, lineterminator="\r\n").encode())
    code, out, _ = run(capsys, "fit", FORMULA, path)
    assert code == 0
    assert "REML criterion at convergence: 1743.6" in out


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_what_is_written_can_be_read(capsys, tmp_path, suffix):
    path = tmp_path / f"cake.{suffix}"
    assert run(capsys, "datasets", "cake", "--output", path) == (0, "", "")
    formula = "angle ~ recipe * temp + (1 | recipe:replicate)"
    _, from_file, _ = run(capsys, "fit", formula, path, "--glance")
    assert from_file == run(capsys, "fit", formula, "cake", "--glance")[1]


def test_estimates_are_a_table(capsys, tmp_path):
    _, out, _ = run(capsys, "fit", FORMULA, "sleepstudy", "--tidy")
    table = pd.read_csv(io.StringIO(out))
    fit = henderson.lmer(FORMULA, sleepstudy())
    want = fit.tidy(conf_int=True)
    pd.testing.assert_frame_equal(table, want.astype({"group": table["group"].dtype}), check_dtype=False)
    _, out, _ = run(capsys, "fit", FORMULA, "sleepstudy", "--augment", "--json")
    assert len(json.loads(out)) == 180
    assert run(capsys, "fit", FORMULA, "sleepstudy", "--glance", "-o", tmp_path / "glance.json") == (0, "", "")
    assert json.loads((tmp_path / "glance.json").read_text())[0]["nobs"] == 180


def test_summaries_go_to_files(capsys, tmp_path):
    assert run(capsys, "fit", FORMULA, "sleepstudy", "--output", tmp_path / "fit.txt") == (0, "", "")
    assert (tmp_path / "fit.txt").read_text() == run(capsys, "fit", FORMULA, "sleepstudy")[1]
