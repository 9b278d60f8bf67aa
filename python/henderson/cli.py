"""The command line: ``python -m henderson fit "Reaction ~ Days + (Days | Subject)" sleepstudy``."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from henderson import _version, errors, errors_fit

if TYPE_CHECKING:
    from henderson.model import LinearMixedModel
    from henderson.summary import Summary

DDF = ("satterthwaite", "kenward-roger", "residual", "normal", "none")
EXAMPLES = """\
examples:
  python -m henderson fit "Reaction ~ Days + (Days | Subject)" sleepstudy
  python -m henderson fit "strength ~ 1 + (1 | batch/cask)" pastes --ddf kenward-roger
  python -m henderson fit "score ~ age + (1 | school)" pupils.csv --weights w
  python -m henderson fit "y ~ x + (x || g)" measurements.parquet --json > fit.json
  python -m henderson datasets
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit code: 0, or 2 after an error."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    try:
        print(options.run(options), flush=True)
    except (errors.MixedModelError, ImportError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of the pipe has seen enough; do not flush into it again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Describe the commands and their options."""
    parser = argparse.ArgumentParser(
        prog="python -m henderson",
        description="Linear mixed models from the command line.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"henderson {_version.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")

    fit = commands.add_parser(
        "fit",
        help="fit a model and print its summary",
        description="Fit a linear mixed model and print its summary.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    fit.add_argument("formula", help="the model, in lme4's language (quote it)")
    fit.add_argument("data", help="a bundled data set, or the path of a .csv, .tsv or .parquet file")
    fit.add_argument("--ml", action="store_true", help="maximum likelihood instead of REML")
    fit.add_argument("--weights", metavar="COLUMN", help="column of precision weights")
    fit.add_argument("--offset", metavar="COLUMN", help="column with a known part of the mean")
    fit.add_argument("--subset", metavar="QUERY", help="rows to use, for example 'Days > 1'")
    fit.add_argument(
        "--ddf",
        choices=DDF,
        default="satterthwaite",
        help="degrees of freedom of the t tests (default: satterthwaite); normal: z tests; none: no tests",
    )
    fit.add_argument("--correlation", action="store_true", help="show the correlations of more than 12 fixed effects")
    fit.add_argument("--progress", action="store_true", help="show a progress line on stderr")
    fit.add_argument("--threads", type=int, default=0, metavar="N", help="threads (default: by size of the problem)")
    fit.add_argument("--json", action="store_true", help="print the estimates as JSON")
    fit.set_defaults(run=_fit)

    commands.add_parser("datasets", help="list the bundled data sets").set_defaults(run=_datasets)
    return parser


def _fit(options: argparse.Namespace) -> str:
    from henderson.fitting import lmer

    data = read_table(options.data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.ConvergenceWarning)  # the summary says it
        fit = lmer(
            options.formula,
            data,
            reml=not options.ml,
            weights=options.weights,
            offset=options.offset,
            subset=options.subset,
            threads=options.threads,
            progress=options.progress,
        )
    summary = fit.summary(ddf=None if options.ddf == "none" else options.ddf, correlation=options.correlation or None)
    return json.dumps(as_dict(fit, summary), indent=2, allow_nan=False) if options.json else str(summary)


def _datasets(options: argparse.Namespace) -> str:  # noqa: ARG001 - every command takes its options
    from henderson import datasets

    return "\n".join(datasets.NAMES)


def read_table(source: str) -> Any:
    """Load a bundled data set by name, or read a CSV, TSV or Parquet file."""
    from henderson import datasets

    path = Path(source)
    if source in datasets.NAMES and not path.is_file():
        data = datasets.load(source)
    elif not path.is_file():
        raise errors_fit.dataset_unreadable(source, datasets.NAMES)
    else:
        data = _read_file(path)
    data.attrs["name"] = source if source in datasets.NAMES else path.name
    return data


def _read_file(path: Path) -> Any:
    import pandas as pd

    kind = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    try:
        if kind in {"csv", "tsv"}:
            return pd.read_csv(path, sep="," if kind == "csv" else "\t")
        if kind in {"parquet", "pq"}:
            return pd.read_parquet(path)
    except ImportError:
        raise errors_fit.dependency_missing("pyarrow", "Reading Parquet files", "arrow") from None
    except (OSError, ValueError) as reason:  # includes the parser's errors and wrong encodings
        raise errors_fit.file_unreadable(str(path), reason) from None
    raise errors_fit.file_type(str(path))


def as_dict(fit: LinearMixedModel, summary: Summary) -> dict[str, Any]:
    """Estimates and fit statistics as plain values for JSON (None where a value is not finite)."""
    table = summary.coefficients
    parts = {
        "formula": fit.formula,
        "method": "REML" if fit.is_reml else "ML",
        "nobs": fit.nobs,
        "n_dropped": fit.design.n_dropped,
        "ngroups": fit.ngroups,
        "criterion": fit.criterion,
        "loglik": fit.loglik,
        "aic": fit.aic,
        "bic": fit.bic,
        "df_resid": fit.df_resid,
        "sigma": fit.sigma,
        "theta": dict(zip(fit.theta.index, fit.theta.tolist(), strict=True)),
        "ddf": summary.ddf,
        "fixef": [{"term": name, **row} for name, row in table.to_dict("index").items()],
        "vcov": fit.vcov.to_numpy().tolist(),
        "varcorr": fit.varcorr.to_frame().to_dict("records"),
        "is_singular": fit.is_singular,
        "converged": fit.converged,
        "evaluations": fit.optimum.evaluations,
        "decrement": fit.optimum.decrement,
        "notes": list(summary.notes),
    }
    return {name: _finite(value) for name, value in parts.items()}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
