"""The files of saved fits: whole or not at all, refused where damaged, run no code, keep their format."""

import datetime
import decimal
import io
import json
import uuid
import zipfile

import numpy as np
import pandas as pd
import pytest

import henderson as hd
from cases import BY_NAME, HERE
from henderson import errors
from henderson.persistence.values import RECORDS, Reader, Writer
from persistence_cases import equal, fitted, study


def test_functions_of_the_context_are_asked_for(tmp_path):
    def half(x):
        return x / 2

    data = BY_NAME["sleepstudy"].data()
    fit = hd.lmer("Reaction ~ half(Days) + I(Days * k) + (1 | Subject)", data, context={"half": half, "k": 3.0})
    fit.save(tmp_path / "fit")
    with pytest.raises(hd.DataError, match=r"uses half: .* Pass context=\{'half': half\} to load"):
        hd.load(tmp_path / "fit")
    again = hd.load(tmp_path / "fit", context={"half": half})
    equal(again.predict(data.head()), fit.predict(data.head()))
    with pytest.raises(hd.DataError, match="context is 3"):
        hd.load(tmp_path / "fit", context=3)


def test_levels_that_no_file_holds_are_refused(tmp_path):
    levels = pd.Categorical([uuid.UUID(int=k) for k in range(4)] * 5)
    fit = hd.lmer("y ~ 1 + (1 | g)", {"g": levels, "y": np.random.default_rng(2).normal(size=20)})
    with pytest.raises(hd.DataError, match=r"factor\.g\.labels holds UUID.*which a file cannot"):
        fit.save(tmp_path / "fit")
    assert list(tmp_path.iterdir()) == []


def damaged(path, change):
    """Rewrite model.json of a file."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(parts["model.json"])
    change(manifest, parts)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, json.dumps(manifest) if name == "model.json" else content)


DAMAGES = {
    "newer": (lambda m, _: m.update(format_version=2, henderson="9.1"), r"format 2, written by henderson 9.1.*upgrade"),
    "foreign": (lambda m, _: m.update(format="other"), "is not a fit saved by henderson"),
    "no optimum": (lambda m, _: m.pop("optimum"), "lacks the entry 'optimum'"),
    "no terms": (lambda m, _: m["design"].pop("terms"), "lacks the entry 'terms'"),
    "no array": (lambda _, parts: parts.pop("arrays/solution.beta.npy"), "lacks the entry 'arrays/solution.beta.npy'"),
    "no field": (lambda m, _: m["optimum"]["fields"].pop("theta"), "lacks the entry 'theta'"),
    "unknown record": (lambda m, _: m["optimum"].update(record="Popen"), "lacks the entry 'Popen'"),
    "wrong shape": (lambda m, _: m.update(kept=[0]), "damaged .*beta: shapes"),
    "wrong type": (lambda m, _: m.update(design=[]), "damaged"),
    "pickled": (
        lambda _, parts: parts.update({"arrays/solution.beta.npy": b"\x93NUMPY\x01\x00v\x00" + pickle_of_an_array()}),
        "damaged",
    ),
    "no array format": (lambda _, parts: parts.update({"arrays/solution.beta.npy": b"beta"}), "damaged"),
}


def pickle_of_an_array():
    """What numpy writes for objects after the magic of a file, where pickles are allowed."""
    content = io.BytesIO()
    np.save(content, np.array([print], dtype=object), allow_pickle=True)
    return content.getvalue()[10:]


@pytest.mark.parametrize("change, message", DAMAGES.values(), ids=DAMAGES)
def test_damaged_files_are_refused(change, message, tmp_path):
    path = tmp_path / "fit"
    fitted("sleepstudy").save(path)
    damaged(path, change)
    with pytest.raises(errors.MixedModelError, match=message):
        hd.load(path)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9, 0.999])
def test_truncated_files_are_refused(share, tmp_path):
    path = tmp_path / "fit"
    fitted("sleepstudy").save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(errors.MixedModelError, match=r"is damaged|is not a fit saved by henderson"):
        hd.load(path)


def test_a_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "fit"
    fitted("dyestuff").save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content)
    with pytest.raises(errors.MixedModelError, match="is damaged"):
        hd.load(path)


def test_wrong_paths_are_explained(tmp_path):
    fit = fitted("dyestuff")
    (tmp_path / "notes.txt").write_text("no model")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme", "no model")
    for path, message in {
        tmp_path / "nothing": "There is no file",
        tmp_path / "notes.txt": "is not a fit saved by henderson",
        tmp_path / "other.zip": "is not a fit saved by henderson",
        tmp_path: "is not a fit saved by henderson",
        "": "path is ''",
        7: "path is 7",
    }.items():
        with pytest.raises(errors.MixedModelError, match=message):
            hd.load(path)
    for path, message in {tmp_path: "is a folder", tmp_path / "no" / "fit": "there is no folder"}.items():
        with pytest.raises(errors.MixedModelError, match=message):
            fit.save(path)


def test_a_failed_save_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "fit"
    fitted("dyestuff").save(path)
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(errors.MixedModelError, match=r"No space left on device.*unchanged"):
        fitted("sleepstudy").save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["fit"]


# ------------------------------------------------------------------------------------------------------------ security


def named(expression):
    return {"record": "Name", "fields": {"name": expression}}


CODE = {
    "a column": ("y ~ {x + 1} + (1 | g)", lambda _: None),
    "a call": ("y ~ log(x + 9) + (1 | g)", lambda m: rename(m, "log", "eval")),
    "a module": ("y ~ np.exp(x) + (1 | g)", lambda m: rename(m, "np.exp", "np.load")),
    "a method": ("y ~ np.exp(x) + (1 | g)", lambda m: rename(m, "np.exp", "np.lib.npyio.load")),
    "a backquote": ("y ~ poly(x, 2) + (1 | g)", lambda m: rename(m, "x", "x` + exit() + `x", "name")),
    "a keyword": ("y ~ poly(x, degree = 2) + (1 | g)", lambda m: rename_keyword(m, "degree", "degree=exit(), d")),
    "an operator": ("y ~ poly(x + 1, 2) + (1 | g)", lambda m: rename(m, "+", "+ exit() +", "operator")),
}


def records(json_value):
    if isinstance(json_value, dict):
        if "record" in json_value:
            yield json_value
        for value in json_value.values():
            yield from records(value)
    elif isinstance(json_value, list):
        for value in json_value:
            yield from records(value)


def rename(manifest, old, new, field="function"):
    found = [own for own in records(manifest) if own["fields"].get(field) == old]
    assert found
    for own in found:
        own["fields"][field] = new


def rename_keyword(manifest, old, new):
    for own in records(manifest):
        for pair in own["fields"].get("arguments", {}).get("tuple", []):
            if pair["tuple"][0] == old:
                pair["tuple"][0] = new


@pytest.mark.parametrize("formula, change", CODE.values(), ids=CODE)
def test_formulas_that_could_run_code_are_refused(formula, change, tmp_path):
    path = tmp_path / "fit"
    hd.lmer(formula, study()).save(path)
    damaged(path, lambda manifest, _: change(manifest))
    with pytest.raises(hd.FormulaError, match=r"would run as Python code.*allow_code=True"):
        hd.load(path)


def test_code_can_be_allowed(tmp_path):
    fit = hd.lmer("y ~ {x + 1} + (1 | g)", study())
    fit.save(tmp_path / "fit")
    again = hd.load(tmp_path / "fit", allow_code=True)
    equal(again.predict(study().head(2)), fit.predict(study().head(2)))


# ---------------------------------------------------------------------------------------------------------- the format


def test_the_format_is_as_documented(tmp_path):
    """Whoever changes these names changes the format: a new version, and a reader of the old one."""
    fit = hd.lmer("y ~ poly(x, 2) * a + offset(z) + (1 | g)", study())
    fit.save(tmp_path / "fit", rows=True)
    with zipfile.ZipFile(tmp_path / "fit") as archive:
        manifest = json.loads(archive.read("model.json"))
    assert (manifest["format"], manifest["format_version"]) == ("henderson model", 1)
    assert set(manifest) == {
        *("format", "format_version", "henderson", "formula", "is_reml", "call", "design", "rows", "products"),
        *("kept", "optimum", "solution", "information", "satterthwaite", "facts"),
    }
    assert set(manifest["design"]) == {
        *("formula", "response_name", "data_name", "n_dropped", "n_zero_weight", "n_excluded", "rows", "x", "terms"),
        *("factors", "response", "weights", "offset", "offset_argument", "weights_argument", "arguments"),
        *("variables", "states", "context", "columns"),
    }
    fields = {own["record"]: set(own["fields"]) for own in records(manifest)}
    assert set(RECORDS) >= set(fields)
    assert fields["Levels"] == {"labels", "has_own_order", "is_ordered"}
    assert fields["CategoricalVariable"] == {"label", "levels", "contrast", "suffixes", "is_ordered"}
    assert fields["Solution"] == {
        *("criterion", "beta", "unscaled_vcov", "sigma", "pwrss", "b", "u", "log_det_l", "log_det_rx"),
    }
    assert fields["Optimum"] == {
        *("theta", "criterion", "evaluations", "iterations", "status", "decrement", "gradient_norm", "curvature"),
        *("ranks", "sizes", "steps"),
    }


def test_files_of_format_1_can_be_read():
    """A file written by the first version of the format, and what it said then."""
    fit = hd.load(HERE / "data" / "format1.henderson")
    want = json.loads((HERE / "data" / "format1.json").read_text())
    assert str(fit.summary()) == want["summary"]
    assert fit.predict(want["new"]).tolist() == pytest.approx(want["predictions"], rel=1e-12)
    assert fit.emmeans("sex").to_frame()["estimate"].tolist() == pytest.approx(want["means"], rel=1e-12)


# ------------------------------------------------------------------------------------------------------------- exports


def test_the_dict_has_the_numbers_of_the_summary():
    fit = fitted("sleepstudy")
    found = fit.to_dict(random_effects=True)
    row = found["fixef"][1]
    assert row["estimate"] == fit.fixef["Days"]
    assert [row["conf_low"], row["conf_high"]] == fit.confint(ddf="satterthwaite").loc["Days"].tolist()
    assert found["ranef"][0]["condval"] == fit.ranef["Subject"].iloc[0, 0]
    assert json.loads(fit.to_json(random_effects=True)) == found
    assert "p_value" not in fit.to_dict(ddf=None)["fixef"][0]


def test_the_json_is_written_to_a_file(tmp_path):
    text = fitted("sleepstudy").to_json(tmp_path / "fit.json", indent=None)
    assert (tmp_path / "fit.json").read_text() == text + "\n"
    with pytest.raises(errors.MixedModelError, match="there is no folder"):
        fitted("sleepstudy").to_json(tmp_path / "no" / "fit.json")


# -------------------------------------------------------------------------------------------------------------- values

VALUES = [
    *(None, True, 3, -0.0, 1e-310, float("inf"), "ö\n", [1, [2.5]], (1, ("a", None)), {"a": 1, 2: (3,)}),
    *(
        datetime.date(2024, 2, 29),
        datetime.datetime(2024, 2, 29, 1, 2, 3, 4),
        datetime.timedelta(days=-1, microseconds=5),
    ),
    *(np.datetime64("2024-02-29T12", "h"), np.timedelta64(7, "D"), decimal.Decimal("1.10")),
    *(
        pd.Timestamp("2024-02-29 01:02:03.000000004"),
        pd.Timestamp("2024-10-27 00:30", tz="UTC").tz_convert("Europe/Berlin"),
    ),
    *(pd.Timedelta("3 days"), pd.Period("2024Q1"), pd.Interval(0.5, np.inf, closed="both")),
    pd.Interval(pd.Timestamp("2024-01-01"), pd.Timestamp("2024-02-01"), closed="left"),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_come_back_as_they_were(value):
    writer = Writer()
    text = json.dumps(writer.value(value, "value"), allow_nan=False)
    again = Reader(writer.arrays.__getitem__).value(json.loads(text))
    assert again == value
    assert repr(again) == repr(value)
    assert type(again) is type(value)


@pytest.mark.parametrize("dtype", ["float64", "int32", "bool", "datetime64[s]", "timedelta64[ns]", "object"])
def test_arrays_come_back_as_they_were(dtype):
    writer = Writer()
    values = np.array([0, 1, 1], dtype="int64").astype(dtype)
    again = Reader(writer.arrays.__getitem__).value(json.loads(json.dumps(writer.value([values, values], "own"))))
    assert again[0].dtype == values.dtype
    assert (again[0] == values).all()
    assert len(writer.arrays) == (dtype != "object"), "an array that occurs twice is written once"


def test_values_of_other_types_are_refused():
    for value in (print, object(), {1, 2}, 1j, datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)):
        with pytest.raises(hd.DataError, match=r"own holds .* which a file cannot"):
            Writer().value(value, "own")
