"""One spelling for one thing, in every public signature."""

import inspect

import pytest

import lmm

# These take a formula, for which a fitted model may stand.
FORMULA_OR_FIT = {"anova_estimates", "data_cloning", "estimability"}


FUNCTIONS = [
    pytest.param(getattr(module, name), id=f"{module.__name__}.{name}")
    for module in (lmm, lmm.diagnostics, lmm.plots)
    for name in module.__all__
    if inspect.isfunction(getattr(module, name))
]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_fitted_model_is_called_fit(function):
    takes_a_fit = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if "FittedModel" in str(parameter.annotation)
    ]
    if function.__name__ in FORMULA_OR_FIT:
        assert [parameter.name for parameter in takes_a_fit] == ["formula"]
        return
    for parameter in takes_a_fit:
        assert parameter.name == ("fits" if parameter.kind is parameter.VAR_POSITIONAL else "fit")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_axes_are_called_ax(function):
    assert "axes" not in inspect.signature(function).parameters
