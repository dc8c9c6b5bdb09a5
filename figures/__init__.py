"""Figures and the report: one module per figure, each drawn from recorded runs."""
