"""What is wrong with a fitted model: residuals of every kind, simulated quantile residuals, tests of assumptions."""
