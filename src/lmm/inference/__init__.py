"""What a fitted model says about its parameters: information, tests, intervals, marginal means, resampling."""
