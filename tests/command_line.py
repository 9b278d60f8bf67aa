"""Runs the command line in this process."""

import henderson
from henderson.cli import main


def run(capsys, *arguments):
    """Exit code, standard output, standard error."""
    code = main([str(argument) for argument in arguments])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def sleepstudy(**columns):
    return henderson.datasets.load_sleepstudy().assign(**columns)


def write(table, path):
    text = path.suffix != ".parquet"
    if text and path.suffix == ".jsonl":
        table.to_json(path, orient="records", lines=True)
    elif text:
        table.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    else:
        table.to_parquet(path)
    return path
