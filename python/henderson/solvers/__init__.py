"""EM, PX-EM and MM: first-order solvers beside Newton's method, for the same optimum."""
