"""Standard errors, intervals and tests of fitted models, one method a file."""
