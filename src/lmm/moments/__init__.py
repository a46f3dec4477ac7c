"""Variance components from moment equations: sums of squares, or quadratic forms, set equal to their expectations."""
