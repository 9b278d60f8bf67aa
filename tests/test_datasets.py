"""The bundled data sets: R's factors, three kinds of table, no helper columns."""

import pandas as pd
import pytest

from henderson import datasets, errors

SHAPES = {
    "sleepstudy": (180, 3),
    "dyestuff": (30, 2),
    "dyestuff2": (30, 2),
    "penicillin": (144, 3),
    "pastes": (60, 4),
    "cake": (270, 5),
    "ratpup": (322, 5),
}


@pytest.mark.parametrize("name", datasets.NAMES)
def test_every_data_set_has_its_loader_and_shape(name):
    table = getattr(datasets, f"load_{name}")()
    assert table.shape == SHAPES[name]
    assert not table.isna().to_numpy().any()
    pd.testing.assert_frame_equal(table, datasets.load(name))


def test_categories_are_in_the_order_of_r():
    sleepstudy, cake, pastes = datasets.load_sleepstudy(), datasets.load_cake(), datasets.load_pastes()
    assert list(sleepstudy["Subject"].cat.categories[:4]) == ["308", "309", "310", "330"]
    assert list(cake["replicate"].cat.categories) == [str(i) for i in range(1, 16)]
    assert list(cake["temperature"].cat.categories) == ["175", "185", "195", "205", "215", "225"]
    assert [
        column for column in cake if isinstance(cake[column].dtype, pd.CategoricalDtype) and cake[column].cat.ordered
    ] == ["temperature"]
    assert list(pastes["sample"].cat.categories[:4]) == ["A:a", "A:b", "A:c", "B:a"]


def test_a_loader_gives_a_new_table_each_time():
    first = datasets.load_dyestuff()
    first["Yield"] = 0
    assert datasets.load_dyestuff()["Yield"].max() > 0


@pytest.mark.parametrize("name", datasets.NAMES)
def test_polars_and_pyarrow_tables_hold_the_same_values(name):
    pytest.importorskip("polars")
    pytest.importorskip("pyarrow")
    expected = datasets.load(name).astype(str)
    polars_table, arrow_table = datasets.load(name, as_="polars"), datasets.load(name, as_="pyarrow")
    for column in expected:
        assert [str(value) for value in polars_table[column].to_list()] == list(expected[column])
        assert [str(value) for value in arrow_table[column].to_pylist()] == list(expected[column])


def test_an_unknown_data_set_or_table_kind_names_the_known_ones():
    with pytest.raises(errors.DataError, match="Did you mean 'sleepstudy'"):
        datasets.load("sleepstudi")
    with pytest.raises(errors.DataError, match="'pandas', 'polars', 'pyarrow'"):
        datasets.load_cake(as_="dask")
