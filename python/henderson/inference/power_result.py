"""The power of a test at one or several sizes of a design, as simulated: intervals, table, print."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors_simulation
from henderson.formatting import WIDTH, format_number, right_align
from henderson.inference.distributions import check_level

if TYPE_CHECKING:
    import pandas as pd

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

TARGET = 0.8
"""The power that is customarily asked for."""


@dataclass(frozen=True, eq=False)
class SizeResult:
    """What was simulated for one size.

    Attributes
    ----------
    sizes
        Numbers of levels or rows, one for each thing that is varied.
    rows
        Rows of the design.
    p_values
        One for each response, NaN where no model could be fitted.
    n_singular
        Number of singular fits.
    """

    sizes: tuple[int, ...]
    rows: int
    p_values: Vector
    n_singular: int

    def significant(self, level: float) -> int:
        """Number of p-values that are at most the level."""
        return int(np.sum(self.p_values <= level))

    @property
    def n_failed(self) -> int:
        """Number of responses without a p-value."""
        return int(np.isnan(self.p_values).sum())


@dataclass(frozen=True, eq=False, repr=False)
class Power:
    """Simulated power of a test; prints in the layout of R's simr.

    Attributes
    ----------
    test
        What is tested.
    formula
        Of the model.
    method
        The test in words.
    level
        Of the test.
    seed
        Gives the same result again.
    effects
        What is tested, in the model simulated from: by row of the hypothesis.
    varied, words
        What is varied: names of columns, and the same in words.
    results
        One `SizeResult` for each size.
    notes
        What the user should know.
    """

    test: str
    formula: str
    method: str
    level: float
    seed: int
    effects: dict[str, float]
    varied: tuple[str, ...]
    words: tuple[str, ...]
    results: tuple[SizeResult, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.results)

    def __float__(self) -> float:
        if len(self) != 1:
            raise errors_simulation.power_of_several(len(self))
        return float(self.power[0])

    @property
    def power(self) -> Vector:
        """Share of significant tests at each size, shape (sizes,)."""
        return np.array([result.significant(self.level) / len(result.p_values) for result in self.results])

    def confint(self, level: float = 0.95) -> Matrix:
        """Clopper and Pearson's exact confidence limits of the power at each size, shape (sizes, 2).

        References
        ----------
        Clopper, C. J. and Pearson, E. S. (1934). The use of confidence or fiducial limits illustrated in the case of
        the binomial. Biometrika 26, 404-413.
        """
        check_level(level)
        counts = [(result.significant(self.level), len(result.p_values)) for result in self.results]
        return np.array([exact_limits(*count, level) for count in counts])

    def to_frame(self, level: float = 0.95) -> pd.DataFrame:
        """One row per size: the sizes, n_rows, power, conf_low, conf_high, n_significant, n, n_singular, n_failed."""
        import pandas as pd

        limits = self.confint(level)
        columns: dict[str, Any] = {
            name: [result.sizes[place] for result in self.results] for place, name in enumerate(self.varied)
        }
        columns |= {
            "n_rows": [result.rows for result in self.results],
            "power": self.power,
            "conf_low": limits[:, 0],
            "conf_high": limits[:, 1],
            "n_significant": [result.significant(self.level) for result in self.results],
            "n": [len(result.p_values) for result in self.results],
            "n_singular": [result.n_singular for result in self.results],
            "n_failed": [result.n_failed for result in self.results],
        }
        return pd.DataFrame(columns)

    @property
    def curve(self) -> pd.DataFrame:
        """Power and its limits by size, for plotting: ``result.curve["power"].plot()``."""
        table = self.to_frame()
        index = list(self.varied) if self.varied else ["n_rows"]
        return table.set_index(index)[["power", "conf_low", "conf_high"]]

    def smallest_size(self, power: float = TARGET) -> dict[str, int] | None:
        """The size with the fewest rows, of those simulated, whose power is at least so large; None if there is none.

        Examples
        --------
        >>> import henderson as hd
        >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
        >>> found = fit.power("Days", n=200, effect=5, along={"Subject": [6, 12, 18]}, ddf="normal", seed=1)
        >>> found.smallest_size(0.8)
        {'Subject': 12}
        """
        check_level(power)
        enough = [result for result, own in zip(self.results, self.power, strict=True) if own >= power]
        if not enough:
            return None
        best = min(enough, key=lambda result: result.rows)
        return dict(zip(self.varied, best.sizes, strict=True)) if self.varied else {"n_rows": best.rows}

    def __str__(self) -> str:
        return "\n".join(self._lines())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from henderson.markup import table_html

        header = ["", *self.words, "Rows", "Power", "2.5 %", "97.5 %"]
        cells = [percentages(*values) for values in self._shares()]
        rows = [
            ["", *map(str, result.sizes), str(result.rows), *own]
            for result, own in zip(self.results, cells, strict=True)
        ]
        return table_html(f"Power for {self.test}: {self.method}, level {self.level:g}", header, rows)

    def _shares(self) -> list[tuple[float, float, float]]:
        limits = self.confint()
        return [(own, low, high) for own, (low, high) in zip(self.power.tolist(), limits.tolist(), strict=True)]

    def _lines(self) -> list[str]:
        comma = "," if self.varied else ""
        lines = [f"Power for predictor '{self.test}', (95% confidence interval){comma or ':'}"]
        cells = [right_align(column) for column in zip(*(percentages(*own) for own in self._shares()), strict=True)]
        shown = [f"{own} ({low}, {high})" for own, low, high in zip(*cells, strict=True)]
        if self.varied:
            lines.append(f"by {' and '.join(self.words)}:")
            labels = [", ".join(map(str, result.sizes)) for result in self.results]
            rows = right_align([str(result.rows) for result in self.results])
            shown = [
                f"{label}: {text} - {count} rows"
                for label, text, count in zip(right_align(labels), shown, rows, strict=True)
            ]
        lines += [f"      {text}" for text in shown]
        if self.varied:
            lines += ["", self._first_reached()]
        lines += ["", f"Test: {self.method}", *self._effect_lines(), "", *self._counts()]
        for note in self.notes:
            lines += ["", *textwrap.wrap(note, WIDTH)]
        return lines

    def _first_reached(self) -> str:
        found = self.smallest_size(TARGET)
        if found is None:
            return f"None of these sizes has a power of {100 * TARGET:.0f}%."
        return f"Smallest of these sizes with a power of {100 * TARGET:.0f}%: {', '.join(map(str, found.values()))}."

    def _effect_lines(self) -> list[str]:
        return [f"      Effect size for {name} is {format_number(value, 4)}" for name, value in self.effects.items()]

    def _counts(self) -> list[str]:
        each = " at each size" if len(self) > 1 else ""
        numbers = sorted({len(result.p_values) for result in self.results})
        singular, failed = (sum(values) for values in self._problems())
        problems = ([f"{singular} singular"] if singular else []) + ([f"{failed} not fitted"] if failed else [])
        inside = f" ({', '.join(problems)})" if problems else ""
        size = "" if self.varied else f", nrow = {self.results[0].rows}"
        count = " to ".join(map(str, dict.fromkeys((numbers[0], numbers[-1]))))
        return [f"Based on {count} simulations{each}{inside}, seed {self.seed}", f"alpha = {self.level:g}{size}"]

    def _problems(self) -> tuple[Sequence[int], Sequence[int]]:
        return [result.n_singular for result in self.results], [result.n_failed for result in self.results]


def exact_limits(successes: int, trials: int, level: float) -> tuple[float, float]:
    """Clopper and Pearson's confidence limits of a probability.

    Examples
    --------
    >>> [round(limit, 4) for limit in exact_limits(8, 10, 0.95)]
    [0.4439, 0.9748]
    """
    from scipy.special import betaincinv

    tail = 0.5 * (1.0 - level)
    low = 0.0 if successes == 0 else float(betaincinv(successes, trials - successes + 1, tail))
    high = 1.0 if successes == trials else float(betaincinv(successes + 1, trials - successes, 1.0 - tail))
    return low, high


def percentages(*shares: float) -> tuple[str, ...]:
    """Shares as simr prints them: ``80.00%`` and limits with four significant digits.

    Examples
    --------
    >>> percentages(0.8, 0.7738, 1.0)
    ('80.00%', '77.38', '100.0')
    """
    texts = [f"{100 * share:.1f}" if share >= 0.99995 else f"{100 * share:.2f}" for share in shares]
    return (texts[0] + "%", *texts[1:])
