"""Data cloning: maximum likelihood by Bayesian sampling of the model on copies of the data, and what it diagnoses."""
