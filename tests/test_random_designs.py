"""Random small designs: the search ends at the best optimum that other starts can find."""

import numpy as np
import pytest

from lmm.covariance import Diagonal, Unstructured
from lmm.crossproducts import cross_products
from lmm.deviance import ProfiledDeviance
from lmm.linalg import triangular_factor
from lmm.optimize import Control, find_optimum, minimize
from lmm.standardize import RawBlock, standardize
from lmm.start import moment_start

# A deviance this much lower is another optimum, not a rounding error.
LOWER = 1e-6


def random_deviance(seed):
    """A model with one to three grouping factors and up to two effects each, simulated from its own variances."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(40, 150))
    X = np.column_stack([np.ones(n), rng.normal(size=(n, 2))])
    y = X @ rng.normal(size=3) + rng.normal(size=n)
    raw = []
    for _ in range(int(rng.integers(1, 4))):
        levels, k = int(rng.integers(4, 12)), int(rng.integers(1, 3))
        codes = np.unique(rng.integers(0, levels, n), return_inverse=True)[1]
        columns = X[:, :k]
        root = np.tril(rng.normal(size=(k, k))) * rng.choice([0.0, 0.3, 1.0])
        y = y + np.einsum("na,na->n", columns, (rng.normal(size=(codes.max() + 1, k)) @ root.T)[codes])
        covariance = Unstructured(k) if rng.random() < 0.7 else Diagonal(k)
        raw.append(RawBlock(codes, int(codes.max()) + 1, np.asfortranarray(columns), covariance))
    blocks, Q, response, _ = standardize(raw, X, triangular_factor(X)[0], y)
    reml = bool(rng.random() < 0.5)
    return ProfiledDeviance(cross_products(blocks, Q, response), [block.covariance for block in raw], reml=reml), rng


@pytest.mark.parametrize("seed", range(100))
def test_no_other_start_ends_lower(seed):
    deviance, rng = random_deviance(seed)
    found = find_optimum(deviance, moment_start(deviance), Control())
    assert found.converged
    for _ in range(4):
        scale = 10.0 ** rng.uniform(-2, 1)
        start = np.concatenate(
            [c.from_root(np.tril(scale * rng.normal(size=(c.size, c.size)))) for c in deviance.covariances]
        )
        assert found.value <= minimize(deviance, start, Control()).value + LOWER
