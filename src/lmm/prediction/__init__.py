"""What a fitted model says about random effects and observations."""
