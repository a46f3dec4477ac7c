"""Checking a fit: residuals, leverage, influence, explained variance, and a report that reads them."""

from lmm.diagnostics.leverage import Leverage, cooks_distance, leverage

__all__ = ["Leverage", "cooks_distance", "leverage"]
