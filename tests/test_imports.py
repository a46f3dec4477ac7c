"""What is imported when: the core stays free of data frames, and heavy packages wait until they are used."""

import subprocess
import sys

import pytest

CORE = ("covariance", "crossproducts", "deviance", "optimize")


def imported(statements):
    """Packages that a fresh interpreter has imported after some statements."""
    code = f"{statements}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - a fixed command
    return set(done.stdout.split())


@pytest.mark.parametrize("module", CORE)
def test_core_imports_no_data_frames(module):
    assert not {"pandas", "formulaic"} & imported(f"import lmm.{module}")


def test_import_waits_for_what_it_needs():
    assert not {"pandas", "scipy", "formulaic"} & imported("import lmm")


def test_fitting_imports_nothing_heavy():
    statements = """
import lmm
fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"))
print(fit)
fit.predict(interval="confidence")
"""
    assert not {"matplotlib", "scipy.stats", "scipy.optimize", "tqdm"} & imported(statements)
