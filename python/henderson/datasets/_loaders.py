"""The loaders of the bundled data sets: what each column is, and where the numbers come from."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from henderson import errors

Backend = Literal["pandas", "polars", "pyarrow"]

_FOLDER = Path(__file__).parent


def load_sleepstudy(*, as_: Backend = "pandas") -> Any:
    """Average reaction times per day of 18 subjects in a sleep-deprivation study, 180 rows.

    Columns: ``Reaction`` (ms, the mean over a series of tests), ``Days`` (0-9, days of three hours in bed; days 0 and 1
    were adaptation and training, day 2 the baseline), ``Subject`` (categorical, 18 levels).

    Notes
    -----
    The subset of the study with three hours in bed, up to day 9, as distributed with the R package lme4.

    References
    ----------
    Belenky, G., Wesensten, N. J., Thorne, D. R., Thomas, M. L., Sing, H. C., Redmond, D. P., Russo, M. B. and
    Balkin, T. J. (2003). Patterns of performance degradation and restoration during sleep restriction and subsequent
    recovery: a sleep dose-response study. Journal of Sleep Research 12, 1-12.

    Examples
    --------
    >>> from henderson.datasets import load_sleepstudy
    >>> load_sleepstudy().head(2)
       Reaction  Days Subject
    0  249.5600     0     308
    1  258.7047     1     308
    """
    return _read("sleepstudy", as_, {"Subject": None})


def load_dyestuff(*, as_: Backend = "pandas") -> Any:
    """Yield of dyestuff (grams of standard colour) from five preparations of each of six batches, 30 rows.

    Columns: ``Batch`` (categorical, A-F: the batch of the intermediate product), ``Yield``.

    References
    ----------
    Davies, O. L. and Goldsmith, P. L., editors (1972). Statistical Methods in Research and Production, 4th edition,
    section 6.4. Oliver and Boyd, Edinburgh.

    Examples
    --------
    >>> from henderson.datasets import load_dyestuff
    >>> float(load_dyestuff()["Yield"].mean())
    1527.5
    """
    return _read("dyestuff", as_, {"Batch": None})


def load_dyestuff2(*, as_: Backend = "pandas") -> Any:
    """Simulated twin of the dyestuff data whose estimated batch variance is zero, 30 rows.

    Columns: ``Batch`` (categorical, A-F), ``Yield``.

    References
    ----------
    Box, G. E. P. and Tiao, G. C. (1973). Bayesian Inference in Statistical Analysis, section 5.1.2. Addison-Wesley,
    Reading.

    Examples
    --------
    >>> from henderson.datasets import load_dyestuff2
    >>> load_dyestuff2().shape
    (30, 2)
    """
    return _read("dyestuff2", as_, {"Batch": None})


def load_penicillin(*, as_: Backend = "pandas") -> Any:
    """Inhibition zones of six penicillin samples on each of 24 plates, fully crossed, 144 rows.

    Columns: ``diameter`` (mm, of the zone in which growth of B. subtilis is inhibited), ``plate`` (categorical, a-x),
    ``sample`` (categorical, A-F).

    References
    ----------
    Davies, O. L. and Goldsmith, P. L., editors (1972). Statistical Methods in Research and Production, 4th edition,
    section 6.6. Oliver and Boyd, Edinburgh.

    Examples
    --------
    >>> from henderson.datasets import load_penicillin
    >>> load_penicillin().head(2)
       diameter plate sample
    0        27     a      A
    1        23     a      B
    """
    return _read("penicillin", as_, {"plate": None, "sample": None})


def load_pastes(*, as_: Backend = "pandas") -> Any:
    """Strength of a chemical paste: two assays of each of three casks from each of ten batches, 60 rows.

    Columns: ``strength``, ``batch`` (categorical, A-J), ``cask`` (categorical, a-c, labels reused in every batch),
    ``sample`` (categorical, batch and cask together: A:a to J:c).

    References
    ----------
    Davies, O. L. and Goldsmith, P. L., editors (1972). Statistical Methods in Research and Production, 4th edition,
    section 6.5. Oliver and Boyd, Edinburgh.

    Examples
    --------
    >>> from henderson.datasets import load_pastes
    >>> load_pastes()["sample"].nunique()
    30
    """
    return _read("pastes", as_, {"batch": None, "cask": None, "sample": None})


def load_cake(*, as_: Backend = "pandas") -> Any:
    """Breakage angle of chocolate cakes: three recipes, six baking temperatures, 15 replicates, 270 rows.

    Columns: ``replicate`` (categorical, 1-15; a replicate of one recipe is one mix of batter, so the group is
    ``recipe:replicate``), ``recipe`` (categorical, A-C), ``temperature`` (ordered categorical, 175-225 degrees
    Fahrenheit), ``angle`` (degrees), ``temp`` (the temperature as a number).

    References
    ----------
    Cook, F. E. (1938). Chocolate cake: I. Optimum baking temperature. Master's thesis, Iowa State College.

    Cochran, W. G. and Cox, G. M. (1957). Experimental Designs, 2nd edition, page 300. Wiley, New York.

    Examples
    --------
    >>> from henderson.datasets import load_cake
    >>> load_cake()["temperature"].cat.ordered
    True
    """
    return _read("cake", as_, {"replicate": None, "recipe": None, "temperature": None}, ordered=("temperature",))


def load_ratpup(*, as_: Backend = "pandas") -> Any:
    """Birth weights of 322 rat pups in 27 litters, under a control, a low or a high dose of a compound.

    Columns: ``weight`` (g), ``sex`` (categorical: Male, Female), ``Litter`` (categorical, 1-27), ``Lsize`` (size of the
    litter), ``Treatment`` (categorical: Control, Low, High).

    Notes
    -----
    The numbers are those of ``RatPupWeight`` in the R package nlme. There ``Treatment`` and ``Litter`` are ordered
    factors; here they are not, so that a fit shows the contrasts of each dose with the control, as in West et al.

    References
    ----------
    Dempster, A. P., Selwyn, M. R., Patel, C. M. and Roth, A. J. (1984). Statistical and computational aspects of mixed
    model analysis. Applied Statistics 33, 203-214.

    Pinheiro, J. C. and Bates, D. M. (2000). Mixed-Effects Models in S and S-PLUS. Springer, New York.

    West, B. T., Welch, K. B. and Galecki, A. T. (2014). Linear Mixed Models: A Practical Guide Using Statistical
    Software, 2nd edition, chapter 3. Chapman and Hall/CRC.

    Examples
    --------
    >>> from henderson.datasets import load_ratpup
    >>> list(load_ratpup()["Treatment"].cat.categories)
    ['Control', 'Low', 'High']
    """
    levels = {"sex": ("Male", "Female"), "Litter": None, "Treatment": ("Control", "Low", "High")}
    return _read("ratpup", as_, levels)


_LOADERS: dict[str, Callable[..., Any]] = {
    "sleepstudy": load_sleepstudy,
    "dyestuff": load_dyestuff,
    "dyestuff2": load_dyestuff2,
    "penicillin": load_penicillin,
    "pastes": load_pastes,
    "cake": load_cake,
    "ratpup": load_ratpup,
}

NAMES: tuple[str, ...] = tuple(_LOADERS)
"""Names that `load` knows."""


def load(name: str, *, as_: Backend = "pandas") -> Any:
    """Load a bundled data set by its name, in any case.

    Raises
    ------
    DataError
        When there is no data set of that name.

    Examples
    --------
    >>> from henderson import datasets
    >>> datasets.load("Penicillin").shape
    (144, 3)
    """
    loader = _LOADERS.get(name.lower())
    if loader is None:
        raise errors.choice("The data set", name, NAMES)
    return loader(as_=as_)


def _read(name: str, as_: Backend, levels: Mapping[str, Sequence[str] | None], ordered: tuple[str, ...] = ()) -> Any:
    """One CSV as a table; `levels` names the categorical columns, None standing for their sorted values."""
    import pandas as pd

    table = pd.read_csv(_FOLDER / f"{name}.csv", dtype=dict.fromkeys(levels, str))
    for column, given in levels.items():
        categories = list(given) if given else sorted(set(table[column]), key=lambda text: (len(text), text))
        table[column] = pd.Categorical(table[column], categories=categories, ordered=column in ordered)
    if as_ == "pandas":
        return table
    if as_ == "polars":
        import polars as pl

        enums = {column: pl.Enum(list(table[column].cat.categories)) for column in levels}
        plain = {column: table[column].astype(str) if column in levels else table[column] for column in table}
        return pl.DataFrame({column: list(values) for column, values in plain.items()}).cast(enums)  # type: ignore[arg-type]
    if as_ == "pyarrow":
        import pyarrow as pa

        return pa.Table.from_pandas(table, preserve_index=False)
    raise errors.choice("as_", as_, ("pandas", "polars", "pyarrow"))
