"""Rows added to a fit, taken out of it, or forgotten little by little, by its cross-products."""
