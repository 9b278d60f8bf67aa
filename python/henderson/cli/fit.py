"""``henderson fit``: fit a model; print its summary or its tables, save it."""

from __future__ import annotations

import argparse
from typing import Any

from henderson import errors_cli
from henderson.cli.files import READABLE, emit, emit_table, read_table
from henderson.cli.models import DDF, add_fit_options, add_output, fitted

EXAMPLES = """\
examples:
  henderson fit "Reaction ~ Days + (Days | Subject)" sleepstudy
  henderson fit "strength ~ 1 + (1 | batch/cask)" pastes --ddf kenward-roger
  henderson fit "score ~ age + (1 | school)" pupils.csv --weights w --save pupils.henderson
  henderson fit "y ~ x + (x || g)" measurements.parquet --json > fit.json
  henderson fit "y ~ x + (1 | g)" measurements.csv --tidy --output estimates.csv
  cut -d, -f1-4 raw.csv | henderson fit "y ~ x + (1 | g)" - --progress
"""


def add(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "fit",
        help="fit a model and print its summary",
        description="Fit a linear mixed model and print its summary.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("formula", help="the model, in lme4's language (quote it)")
    parser.add_argument("data", help=f"a bundled data set, {READABLE}")
    add_fit_options(parser)
    group = parser.add_argument_group("what is shown")
    group.add_argument(
        "--ddf",
        choices=(*DDF, "none"),
        default="satterthwaite",
        help="degrees of freedom of the t tests (default: satterthwaite); normal: z tests; none: no tests",
    )
    group.add_argument("--correlation", action="store_true", help="show the correlations of more than 12 fixed effects")
    tables = group.add_mutually_exclusive_group()
    tables.add_argument("--tidy", action="store_true", help="the table of the estimates, as CSV")
    tables.add_argument("--glance", action="store_true", help="the table of the fit statistics, one row, as CSV")
    tables.add_argument("--augment", action="store_true", help="the data with fitted values and residuals, as CSV")
    add_output(parser, "the estimates")
    parser.add_argument("--save", metavar="FILE", help="save the fit, for predict, simulate and anova")
    parser.add_argument("--rows", action="store_true", help="save the rows with it, for everything else in Python")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Fit, save, show."""
    if options.rows and options.save is None:
        raise errors_cli.rows_without_save()
    fit = fitted(options.formula, read_table(options.data), options)
    if options.save is not None:
        fit.save(options.save, rows=options.rows)
    ddf = None if options.ddf == "none" else options.ddf
    if options.tidy:
        emit_table(options, fit.tidy(conf_int=True, ddf=ddf))
    elif options.glance:
        emit_table(options, fit.glance())
    elif options.augment:
        emit_table(options, fit.augment())
    elif options.json:
        emit(options, fit.to_json(ddf=ddf))
    else:
        emit(options, str(fit.summary(ddf=ddf, correlation=options.correlation or None)))
