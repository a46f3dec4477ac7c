"""
Measure one package on one workload, in a process of its own: started by the other scripts, not by hand.

Arguments: package (lmm or mixedlm), kind (fit, predict, profile, import, phases, bootstrap, responses or loop), folder
of the data, formula, reml (1 or 0), seconds to spend on repeats, seconds from which a fit is its own warm-up, folder of
the new data, number of replicates. Prints lines ``name: values``. Needs numpy and pandas only, beside the package.
"""

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from timing import peak_memory, timed


def fitter(package: str, formula: str, data: Any, *, reml: bool) -> Callable[[], Any]:  # noqa: ANN401
    """Give a function that fits the model once."""
    if package == "lmm":
        import lmm  # noqa: PLC0415

        return lambda: lmm.fit(formula, data, reml=reml)
    import mixedlm  # noqa: PLC0415

    # This package reads powers as Python does.
    return lambda: mixedlm.lmer(formula.replace("^", "**"), data, REML=reml)


def measure_fit(package: str, call: Callable[[], Any], seconds: float, long: float) -> dict[str, list[Any]]:
    """Times, objective and evaluations of a fit."""
    times, model = timed(call, seconds, long)
    evaluations = model.optimum.n_evaluations if package == "lmm" else model.function_evals
    return {
        "seconds": times,
        "objective": [model.deviance],
        "evaluations": [evaluations],
        "converged": [int(model.converged)],
    }


def measure_predict(
    call: Callable[[], Any],
    newdata: Any,  # noqa: ANN401
    seconds: float,
    long: float,
) -> dict[str, list[Any]]:
    """Times of a prediction and the mean square of what is predicted."""
    model = call()
    times, mean = timed(lambda: model.predict(newdata), seconds, long)
    return {"seconds": times, "objective": [float((mean**2).mean())]}


def measure_bootstrap(
    package: str,
    model: Any,  # noqa: ANN401
    n: int,
    seconds: float,
    long: float,
) -> dict[str, list[Any]]:
    """Times of a parametric bootstrap and the standard error that it gives the first fixed effect."""
    if package == "lmm":
        times, found = timed(lambda: model.bootstrap(n, rng=1), seconds, long)
        return {"seconds": times, "objective": [float(found.se().iloc[0])]}
    import mixedlm  # noqa: PLC0415

    times, found = timed(lambda: mixedlm.bootMer(model, nsim=n, seed=1), seconds, long)
    return {"seconds": times, "objective": [float(found.beta_samples[:, 0].std(ddof=1))]}


def measure_responses(
    package: str,
    model: Any,  # noqa: ANN401
    responses: Any,  # noqa: ANN401
    seconds: float,
    long: float,
    *,
    loop: bool,
) -> dict[str, list[Any]]:
    """Times of fits to many responses, and the mean of their first fixed effect."""
    if package == "lmm" and not loop:
        times, found = timed(lambda: model.refit(responses), seconds, long)
        return {"seconds": times, "objective": [float(found.iloc[:, 0].mean())]}
    columns = [responses[name].to_numpy() for name in responses]
    times, fits = timed(lambda: [model.refit(y) for y in columns], seconds, long)
    first = [float(fit.params.iloc[0] if package == "lmm" else fit.beta[0]) for fit in fits]
    return {"seconds": times, "objective": [sum(first) / len(first)]}


def measure_profile(call: Callable[[], Any], seconds: float, long: float) -> dict[str, list[Any]]:
    """Times of a fit with the profile limits of all its parameters, and the upper limit of sigma."""
    times, limits = timed(lambda: call().profile().conf_int(), seconds, long)
    return {"seconds": times, "objective": [float(limits.loc["Residual", "upper"])]}


def measure_import(package: str) -> dict[str, list[Any]]:
    """Time until the fitting function is at hand."""
    start = time.perf_counter()
    if package == "lmm":
        from lmm import fit  # noqa: F401, PLC0415
    else:
        from mixedlm import lmer  # noqa: F401, PLC0415
    return {"seconds": [time.perf_counter() - start]}


def measure(arguments: list[str]) -> dict[str, list[Any]]:
    """Do what the arguments say."""
    package, kind, folder, formula, reml, seconds, long, new_folder, replicates = arguments
    if kind == "import":
        return measure_import(package)
    import exchange  # noqa: PLC0415 - it imports numpy and pandas, whose time belongs to the import

    call = fitter(package, formula, exchange.read(Path(folder)), reml=reml == "1")
    times = float(seconds), float(long)
    match kind:
        case "predict":
            found = measure_predict(call, exchange.read(Path(new_folder)), *times)
        case "bootstrap":
            found = measure_bootstrap(package, call(), int(replicates), *times)
        case "responses" | "loop":
            responses = exchange.read(Path(new_folder))
            found = measure_responses(package, call(), responses, *times, loop=kind == "loop")
        case "profile":
            found = measure_profile(call, *times)
        case "phases":
            import phases  # noqa: PLC0415

            found = phases.measure_phases(call, *times)
        case _:
            found = measure_fit(package, call, *times)
    return found


def main() -> None:
    """Print the measurements."""
    warnings.simplefilter("ignore")
    try:
        found = measure(sys.argv[1:])
    except Exception as error:  # noqa: BLE001 - a failure of the package under test is a result
        found = {"failure": [type(error).__name__, *str(error).split()]}
    for name, values in {**found, "memory": [peak_memory()]}.items():
        print(f"{name}:", *(repr(value) if isinstance(value, float) else value for value in values))


if __name__ == "__main__":
    main()
