"""How often intervals hold the truth: a seeded simulation study. Prints the tables of docs/intervals.md.

    python benchmarks/interval_coverage.py [--samples 1000]

Each sample has 12 groups of 5 rows, a random intercept and slope, and known parameters; each method gives 95 %
intervals for all of them.
"""

import argparse
import warnings

import numpy as np
import pandas as pd

import henderson as hd

GROUPS, ROWS = 12, 5
TRUTH = {
    "sd_(Intercept)|g": 1.0,
    "cor_x.(Intercept)|g": 0.3,
    "sd_x|g": 0.5,
    "sigma": 1.0,
    "(Intercept)": 1.0,
    "x": 2.0,
}
METHODS = {
    "Wald, z": {},
    "Wald, Satterthwaite": {"ddf": "satterthwaite"},
    "Wald, Kenward-Roger": {"ddf": "kenward-roger"},
    "profile": {"method": "profile"},
    "bootstrap, percentile": {"method": "boot", "interval": "percentile"},
    "bootstrap, basic": {"method": "boot", "interval": "basic"},
    "bootstrap, BCa": {"method": "boot", "interval": "bca"},
}
REPLICATES = 999


def sample(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g, x = np.repeat(np.arange(GROUPS), ROWS), np.tile(np.linspace(-1.0, 1.0, ROWS), GROUPS)
    sd = np.array([TRUTH["sd_(Intercept)|g"], TRUTH["sd_x|g"]])
    correlation = np.array([[1.0, TRUTH["cor_x.(Intercept)|g"]], [TRUTH["cor_x.(Intercept)|g"], 1.0]])
    b = rng.multivariate_normal(np.zeros(2), correlation * np.outer(sd, sd), GROUPS, method="cholesky")
    y = TRUTH["(Intercept)"] + b[g, 0] + (TRUTH["x"] + b[g, 1]) * x + TRUTH["sigma"] * rng.normal(size=len(g))
    return pd.DataFrame({"y": y, "x": x, "g": g})


def study(samples: int) -> tuple[pd.DataFrame, pd.DataFrame, float]:
    """Share of intervals that hold the truth, a row per method: of all fits, of the singular ones; share of those."""
    held = np.zeros((samples, len(METHODS), len(TRUTH)))
    is_singular = np.zeros(samples, dtype=bool)
    truth = np.array(list(TRUTH.values()))
    for seed in range(samples):
        fit = hd.lmer("y ~ x + (x | g)", sample(seed))
        is_singular[seed] = fit.is_singular
        replicates = fit.bootstrap(REPLICATES, seed)
        for place, options in enumerate(METHODS.values()):
            if options.get("method") == "boot":
                limits = replicates.confint(method=options["interval"])
            else:
                limits = fit.confint(**options)
            low, high = limits.reindex(list(TRUTH)).to_numpy().T
            held[seed, place] = np.where(np.isin(list(TRUTH), limits.index), (low <= truth) & (truth <= high), np.nan)
    return share(held), share(held[is_singular]), float(is_singular.mean())


def share(held: np.ndarray) -> pd.DataFrame:
    """In percent, blank for what a method has no interval for."""
    return pd.DataFrame(100.0 * held.mean(axis=0), index=list(METHODS), columns=list(TRUTH))


def markdown(table: pd.DataFrame) -> str:
    header = " | ".join(f"`{name.split('|')[0]}`" for name in table.columns)
    lines = [f"| | {header} |", "|---|" + "---:|" * len(table.columns)]
    for method, row in table.iterrows():
        cells = ["" if np.isnan(value) else f"{value:.1f}" for value in row]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1000)
    arguments = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        all_fits, singular_fits, singular = study(arguments.samples)
    print(markdown(all_fits))
    print(f"\nThe {100 * singular:.1f} % of fits that are singular:\n")
    print(markdown(singular_fits))
