"""Fits as files: `fit.save(path)`, `henderson.load(path)`. The format is documented in docs/saving.md."""
