"""Regression tables: several fits side by side, with their random effects, as text, HTML, LaTeX, Markdown and Word."""
