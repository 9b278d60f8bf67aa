"""``henderson datasets``: list the bundled data sets, or write one to a file."""

from __future__ import annotations

import argparse
from typing import Any

from henderson import datasets
from henderson.cli.files import emit_table, read_table
from henderson.cli.models import add_output

EXAMPLES = """\
examples:
  henderson datasets
  henderson datasets sleepstudy > sleepstudy.csv
  henderson datasets cake --output cake.parquet
"""


def add(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "datasets",
        help="list the bundled data sets, or print one",
        description="The names of the bundled data sets; with a name, its rows as CSV.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", choices=datasets.NAMES, metavar="NAME", help="one of them")
    add_output(parser, "the rows")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Show names or rows."""
    if options.name is None:
        print("\n".join(datasets.NAMES))
    else:
        emit_table(options, read_table(options.name))
