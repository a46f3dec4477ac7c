"""
The profiled deviance against the n x n formulas that define it, and its derivatives against differences of those.

With V = I + sum over the blocks of Z (I (x) Sigma) Z', everything the core computes block by block has a dense
definition of one line. It is written out here, in `Dense`, for designs of some sixty rows.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from lmm.covariance import Covariance, Diagonal, Stacked, Unstructured
from lmm.crossproducts import Block, cross_products
from lmm.deviance import ProfiledDeviance
from lmm.linalg import triangular_factor
from lmm.standardize import RawBlock, standardize

# Rounding: V has a condition of at most some thousands, and the value some hundred units.
VALUE = 1e-10
# Five-point differences of step 1e-3 err by about 1e-9; the scale is the largest derivative.
DIFFERENCE = 1e-7
STEP = 1e-3
N = 60


@dataclass(frozen=True)
class Problem:
    blocks: list[Block]
    covariances: list[Covariance]
    X: np.ndarray
    y: np.ndarray

    def deviance(self, *, reml, sigma=None):
        return ProfiledDeviance(cross_products(self.blocks, self.X, self.y), self.covariances, reml=reml, sigma=sigma)

    def sigmas(self, theta):
        """Sigma of each block at theta."""
        found, start = [], 0
        for covariance in self.covariances:
            T = covariance.factor(theta[start : start + covariance.n_theta])
            start += covariance.n_theta
            found.append(T @ T.T)
        return found

    @property
    def n_theta(self):
        return sum(covariance.n_theta for covariance in self.covariances)


def indicator(block):
    """Z of a block, shape (n, J, k)."""
    n = len(block.codes)
    Z = np.zeros((n, block.n_levels, block.n_effects))
    Z[np.arange(n), block.codes] = block.columns
    return Z


class Dense:
    """Everything from n x n matrices; `noise` is the covariance of the residuals, relative to sigma^2."""

    def __init__(self, problem, sigmas, *, reml, sigma=None, noise=None):
        self.problem, self.sigmas, self.reml, self.sigma = problem, sigmas, reml, sigma
        self.Z = [indicator(block) for block in problem.blocks]
        V = np.eye(len(problem.y)) if noise is None else noise
        for Z, S in zip(self.Z, sigmas, strict=True):
            V = V + np.einsum("nja,ab,mjb->nm", Z, S, Z)
        self.V = V
        self.nu = len(problem.y) - (problem.X.shape[1] if reml else 0)

    @cached_property
    def V_inverse(self):
        return np.linalg.inv(self.V)

    @cached_property
    def C(self):
        return self.problem.X.T @ self.V_inverse @ self.problem.X

    @cached_property
    def P(self):
        VX = self.V_inverse @ self.problem.X
        return self.V_inverse - VX @ np.linalg.solve(self.C, VX.T)

    @cached_property
    def beta(self):
        return np.linalg.solve(self.C, self.problem.X.T @ self.V_inverse @ self.problem.y)

    @cached_property
    def rho2(self):
        return self.problem.y @ self.P @ self.problem.y

    @property
    def value(self):
        value = np.linalg.slogdet(self.V)[1]
        if self.reml:
            value += np.linalg.slogdet(self.C)[1]
        if self.sigma is None:
            return value + self.nu * (1 + np.log(2 * np.pi * self.rho2 / self.nu))
        return value + self.nu * np.log(2 * np.pi * self.sigma**2) + self.rho2 / self.sigma**2

    def mode(self, t):
        """Conditional mode of block t, shape (J, k)."""
        Py = self.P @ self.problem.y
        return np.einsum("ab,njb,n->ja", self.sigmas[t], self.Z[t], Py)

    def conditional_covariance(self, t):
        """Sigma - Sigma Z' V^-1 Z Sigma of block t, shape (J, k, k)."""
        ZS = np.einsum("njb,ab->nja", self.Z[t], self.sigmas[t])
        return self.sigmas[t] - np.einsum("nja,nm,mjb->jab", ZS, self.V_inverse, ZS)

    def change(self, t, direction):
        """dV for a change of Sigma of block t."""
        return np.einsum("nja,ab,mjb->nm", self.Z[t], direction, self.Z[t])

    def average_information(self, changes):
        Py = self.P @ self.problem.y
        w = np.stack([dV @ Py for dV in changes], axis=1)
        slope = w.T @ Py
        if self.sigma is not None:
            return w.T @ self.P @ w / self.sigma**2
        return self.nu / self.rho2 * (w.T @ self.P @ w - np.outer(slope, slope) / self.rho2)


def slope(f, step=STEP):
    """Derivative of f at 0 by the five-point formula."""
    return (8 * (f(step) - f(-step)) - (f(2 * step) - f(-2 * step))) / (12 * step)


def differences(problem, theta, **options):
    """Gradient in theta of the dense deviance."""

    def along(direction):
        return slope(lambda h: Dense(problem, problem.sigmas(theta + h * direction), **options).value)

    return np.array([along(direction) for direction in np.eye(len(theta))])


def sigma_differences(problem, sigmas, t, **options):
    """df/dSigma of block t by differences of the dense deviance, which V may leave the cone of covariances for."""
    k = len(sigmas[t])
    M = np.empty((k, k))
    for a in range(k):
        for b in range(a + 1):
            E = np.zeros((k, k))
            E[a, b] = E[b, a] = 1.0

            def along(h, E=E):
                moved = [S + h * E if s == t else S for s, S in enumerate(sigmas)]
                return Dense(problem, moved, **options).value

            # an entry off the diagonal moves two entries of Sigma
            M[a, b] = M[b, a] = slope(along, 1e-4) / (1 if a == b else 2)
    return M


def assert_close(actual, expected, tolerance):
    scale = max(1.0, float(np.max(np.abs(expected), initial=0.0)))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)


# Designs


def unbalanced(n_levels, n, rng):
    """Codes of groups of very different sizes, each with at least one row."""
    shares = rng.dirichlet(np.full(n_levels, 0.7))
    return rng.permutation(np.concatenate([np.arange(n_levels), rng.choice(n_levels, n - n_levels, p=shares)]))


def make(seed, groups, *, n=N, p=2):
    """A design from (codes or number of levels, covariance) pairs; the first effect of a block is an intercept."""
    rng = np.random.default_rng(seed)
    blocks, covariances = [], []
    for codes_or_levels, covariance in groups:
        codes = unbalanced(codes_or_levels, n, rng) if isinstance(codes_or_levels, int) else codes_or_levels
        columns = np.column_stack([np.ones(n), rng.normal(size=(n, covariance.size - 1))])
        blocks.append(Block(codes, int(codes.max()) + 1, columns))
        covariances.append(covariance)
    X = np.column_stack([np.ones(n), rng.normal(size=(n, p))])[:, :p]
    y = X @ rng.normal(size=p) + rng.normal(size=n)
    for block in blocks:
        b = rng.normal(size=(block.n_levels, block.n_effects))
        y += (block.columns * b[block.codes]).sum(axis=1)
    return Problem(blocks, covariances, X, y)


U, D = Unstructured, Diagonal
FINE = unbalanced(22, N, np.random.default_rng(5))
MIDDLE = np.array([0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 3, 3, 4, 5, 5, 6, 6, 6, 7, 7])[FINE]
COARSE = np.array([0, 0, 0, 1, 1, 1, 2, 2])[MIDDLE]
# Pairs of factors crossed within the three coarse groups, as pupils' classes and teachers within schools.
CLASSES = COARSE * 3 + np.random.default_rng(6).integers(0, 3, N)
TEACHERS = COARSE * 2 + np.random.default_rng(7).integers(0, 2, N)

DESIGNS = {
    "intercept": lambda: make(1, [(7, U(1))]),
    "slope": lambda: make(2, [(7, U(2))]),
    "three_effects": lambda: make(3, [(6, U(3))]),
    "diagonal": lambda: make(4, [(6, D(3))]),
    "stacked": lambda: make(5, [(6, Stacked((U(2), D(1), U(1))))]),
    "pivoted": lambda: make(23, [(6, U(3, (2, 0, 1))), (5, U(2, (1, 0)))]),
    "no_fixed_effects": lambda: make(6, [(7, U(2))], p=0),
    "crossed": lambda: make(7, [(9, U(1)), (5, U(1))]),
    "second_is_larger": lambda: make(8, [(4, U(2)), (11, U(1))]),
    "three_crossed": lambda: make(9, [(9, U(1)), (7, U(1)), (4, U(1))]),
    "crossed_slopes": lambda: make(10, [(8, U(2)), (5, U(3))]),
    "crossed_diagonal": lambda: make(11, [(8, D(2)), (5, D(2))]),
    "crossed_stacked": lambda: make(12, [(7, Stacked((U(2), U(1)))), (5, Stacked((U(1), U(1)))), (3, U(1))]),
    "nested_two": lambda: make(13, [(FINE, U(1)), (MIDDLE, U(1))]),
    "nested_two_slopes": lambda: make(14, [(FINE, U(2)), (MIDDLE, U(2))]),
    "nested_three": lambda: make(15, [(FINE, U(1)), (MIDDLE, U(2)), (COARSE, U(1))]),
    "nested_three_slopes": lambda: make(16, [(FINE, U(2)), (MIDDLE, D(2)), (COARSE, U(2))]),
    "crossed_within_nested": lambda: make(17, [(FINE, U(1)), (CLASSES, U(2)), (TEACHERS, U(1)), (COARSE, U(1))]),
    "one_factor_saturates_another": lambda: make(18, [(np.arange(N) // 2, U(1)), (np.arange(N) % 2, U(1))]),
}
CRITERIA = [
    pytest.param({"reml": False}, id="ml"),
    pytest.param({"reml": True}, id="reml"),
    pytest.param({"reml": False, "sigma": 0.7}, id="ml-known-sigma"),
    pytest.param({"reml": True, "sigma": 0.7}, id="reml-known-sigma"),
]


# The tail is laid out by its size; these thresholds lay a small one out as if it were large.
STAGED = {"tail.FEW_LEVELS": 0, "tail.CROWDED": 10.0, "elimination.FEW_LEVELS": 0, "elimination.DENSE": 10.0}
LAYOUTS = {
    "dense": {},
    "staged": STAGED,
    "staged-and-core": STAGED | {"elimination.FEW_LEVELS": 8, "tail.SMALL": 0},
    "large": STAGED
    | {
        "elimination.MAX_STAGES": 2,
        "tail.SMALL": 0,
        "tail.MANY_PAIRS": 0,
        "tail.PAIRS_AT_A_TIME": 5,
        "tailfactor.CHUNK": 30,
    },
}
TAILS = ("three_crossed", "crossed_slopes", "crossed_stacked", "nested_three_slopes", "crossed_within_nested")
CASES = [(name, "dense") for name in DESIGNS] + [(name, layout) for name in TAILS for layout in list(LAYOUTS)[1:]]


@pytest.fixture(params=CASES, ids="-".join)
def problem(request, monkeypatch):
    name, layout = request.param
    for threshold, value in LAYOUTS[layout].items():
        monkeypatch.setattr(f"lmm.{threshold}", value)
    return DESIGNS[name]()


def inner(problem, seed=0):
    """A theta inside: no column of any factor is near zero."""
    theta = np.random.default_rng(seed).normal(size=problem.n_theta)
    on_diagonal = np.concatenate([np.einsum("maa->m", covariance.tangents) for covariance in problem.covariances]) > 0
    return np.where(on_diagonal, 0.3 + np.abs(theta), theta)


def boundary(problem, seed=0):
    """A theta at which every second block is zero and the others have lost their last column."""
    theta, parts, start = inner(problem, seed), [], 0
    for t, covariance in enumerate(problem.covariances):
        T = covariance.factor(theta[start : start + covariance.n_theta])
        start += covariance.n_theta
        T[:, -1 if t % 2 else 0 :] = 0.0
        parts.append(covariance.from_root(T))
    return np.concatenate(parts)


POINTS = [
    pytest.param(inner, id="inside"),
    pytest.param(boundary, id="boundary"),
    pytest.param(lambda problem: np.zeros(problem.n_theta), id="zero"),
]


def test_layouts_are_what_they_are_called(monkeypatch):
    stages = {}
    for layout, thresholds in LAYOUTS.items():
        with monkeypatch.context() as patch:
            for threshold, value in thresholds.items():
                patch.setattr(f"lmm.{threshold}", value)
            tail = DESIGNS["crossed_within_nested"]().deviance(reml=True).tail
        stages[layout] = len(tail.stages)
        assert sparse.issparse(tail.C) is ("tail.SMALL" in thresholds)
    assert stages["dense"] == 0
    assert 0 < stages["staged-and-core"] < stages["staged"]
    assert 0 < stages["large"] < stages["staged"]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("criterion", CRITERIA)
def test_value_gradient_and_state(problem, criterion, point):
    theta = point(problem)
    dense = Dense(problem, problem.sigmas(theta), **criterion)
    at = problem.deviance(**criterion).evaluate(theta)
    assert_close(at.value, dense.value, VALUE)
    assert_close(at.rho2, dense.rho2, VALUE)
    assert_close(at.beta, dense.beta, VALUE)
    assert at.gradient.shape == theta.shape
    assert_close(at.gradient, differences(problem, theta, **criterion), DIFFERENCE)


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("criterion", CRITERIA[:3])
def test_derivative_in_sigma(problem, criterion, point):
    # This is the certificate of the boundary: it must be exact where T is singular, in every direction of Sigma.
    theta = point(problem)
    sigmas = problem.sigmas(theta)
    deviance = problem.deviance(**criterion)
    at = deviance.evaluate(theta)
    for place, t in enumerate(deviance.cross.order):
        np.testing.assert_array_equal(at.factors[place] @ at.factors[place].T, sigmas[t])
        assert_close(at.M[place], sigma_differences(problem, sigmas, t, **criterion), DIFFERENCE)


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("criterion", CRITERIA)
def test_curvature(problem, criterion, point):
    theta = point(problem)
    deviance = problem.deviance(**criterion)
    at = deviance.evaluate(theta)
    dense = Dense(problem, problem.sigmas(theta), **criterion)
    changes, expected, start = [], np.zeros((len(theta), len(theta))), 0
    for t, covariance in enumerate(problem.covariances):
        own = slice(start, start + covariance.n_theta)
        start += covariance.n_theta
        T = covariance.factor(theta[own])
        M = at.M[deviance.cross.order.index(t)]
        values, vectors = np.linalg.eigh(M)
        positive = (vectors * np.maximum(values, 0)) @ vectors.T
        changes += [dense.change(t, E @ T.T + T @ E.T) for E in covariance.tangents]
        second = [[2 * np.trace(E.T @ positive @ F) for F in covariance.tangents] for E in covariance.tangents]
        expected[own, own] = second
    expected += dense.average_information(changes)
    B = deviance.curvature(at)
    assert_close(B, expected, VALUE)
    eigenvalues = np.linalg.eigvalsh(B)
    assert eigenvalues[0] >= -1e-12 * max(eigenvalues[-1], 1.0)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_average_information_along_any_directions(problem, criterion):
    theta = inner(problem)
    deviance = problem.deviance(**criterion)
    dense = Dense(problem, problem.sigmas(theta), **criterion)
    rng = np.random.default_rng(3)
    directions, changes = [], []
    for place, t in enumerate(deviance.cross.order):
        k, _ = deviance.cross.sizes[place]
        d_sigma = rng.normal(size=(place + 1, k, k))
        directions.append(d_sigma + d_sigma.transpose(0, 2, 1))
        changes += [dense.change(t, E) for E in directions[-1]]
    information = deviance.average_information(deviance.evaluate(theta), directions)
    assert_close(information, dense.average_information(changes), VALUE)


@pytest.mark.parametrize("point", POINTS)
def test_modes_and_conditional_covariances(problem, point):
    theta = point(problem)
    dense = Dense(problem, problem.sigmas(theta), reml=True)
    deviance = problem.deviance(reml=True)
    at = deviance.evaluate(theta)
    residual = np.append(-at.beta, 1.0)
    tail, start = residual @ at.b_T, 0
    for place, (t, blocks) in enumerate(zip(deviance.cross.order, deviance.conditional_covariances(at), strict=True)):
        k, J = deviance.cross.sizes[place]
        if place == 0:
            b = np.einsum("p,paj->aj", residual, at.b_1)
        else:
            b = tail[start : start + k * J].reshape(k, J)
            start += k * J
        assert_close(b.T, dense.mode(t), VALUE)
        assert_close(blocks.transpose(2, 0, 1), dense.conditional_covariance(t), VALUE)


@pytest.mark.parametrize("point", POINTS)
def test_rows_of_any_levels(problem, point):
    theta = point(problem)
    dense = Dense(problem, problem.sigmas(theta), reml=True)
    deviance = problem.deviance(reml=True)
    at = deviance.evaluate(theta)
    rng = np.random.default_rng(5)
    m, size = 12, 3
    new = [Block(rng.integers(0, b.n_levels, m), b.n_levels, rng.normal(size=(m, b.n_effects))) for b in problem.blocks]
    # z Sigma Z' and z Sigma z' over all blocks; G = Sigma - Sigma Z' V^-1 Z Sigma.
    across, own = np.zeros((m, len(problem.y))), np.zeros((m, m))
    for block, Z, S in zip(map(indicator, new), dense.Z, dense.sigmas, strict=True):
        across += np.einsum("mja,ab,njb->mn", block, S, Z)
        own += np.einsum("mja,ab,ljb->ml", block, S, block)
    within = own - across @ dense.V_inverse @ across.T
    shift = problem.X.T @ dense.V_inverse @ across.T
    rows = {t: (block.columns, block.codes) for t, block in enumerate(new)}
    found, found_shift = deviance.prediction_terms(at, rows)
    assert_close(found, np.diagonal(within), VALUE)
    assert_close(found_shift, shift, VALUE)
    sets, _ = deviance.set_terms(at, rows, size)
    blocks = within.reshape(m // size, size, m // size, size)[np.arange(m // size), :, np.arange(m // size)]
    assert_close(sets, blocks, VALUE)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e3])
@pytest.mark.parametrize("reml", [True, False])
def test_extreme_theta(problem, scale, reml):
    # The condition of V, theta^2, would leave the dense formula few digits: the reference is the QR factor of the
    # stacked least-squares problem [Z Lambda X y; I 0 0], whose diagonal holds all determinants and rho.
    theta = scale * inner(problem)
    n, p, start, columns = len(problem.y), problem.X.shape[1], 0, []
    for block, covariance in zip(problem.blocks, problem.covariances, strict=True):
        T = covariance.factor(theta[start : start + covariance.n_theta])
        start += covariance.n_theta
        columns.append((indicator(block) @ T).reshape(n, -1))
    q = sum(Z.shape[1] for Z in columns)
    stacked = np.zeros((n + q, q + p + 1))
    stacked[:n] = np.column_stack([*columns, problem.X, problem.y])
    stacked[n:, :q] = np.eye(q)
    diagonal = np.abs(np.diagonal(np.linalg.qr(stacked, mode="r")))
    nu = n - p if reml else n
    expected = 2 * np.log(diagonal[: q + p if reml else q]).sum()
    expected += nu * (1 + np.log(2 * np.pi * diagonal[-1] ** 2 / nu))
    value = problem.deviance(reml=reml).evaluate(theta).value
    # Normal equations keep sixteen digits less those of the squared condition, theta^2, and of its Schur complement.
    tolerance = VALUE if scale < 1 else 1e-7
    np.testing.assert_allclose(value, expected, rtol=tolerance, atol=0)


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("name", ["slope", "crossed_slopes", "nested_three", "stacked"])
def test_weights_and_change_of_basis(name, criterion):
    # The value in the standardised basis plus the shift is the user's criterion, with noise of variance 1 / w.
    problem = DESIGNS[name]()
    rng = np.random.default_rng(8)
    weights = rng.uniform(0.2, 5, N)
    X = problem.X * [10.0, 0.1] + [0.0, 2.0]
    y = 5.0 + 1e3 * problem.y
    R, _ = triangular_factor(np.sqrt(weights)[:, None] * X)
    raw = [
        RawBlock(b.codes, b.n_levels, b.columns, covariance)
        for b, covariance in zip(problem.blocks, problem.covariances, strict=True)
    ]
    blocks, Q, response, basis = standardize(raw, X, R, y, weights)
    sigma = criterion.get("sigma")
    user_sigma = None if sigma is None else sigma * basis.scale
    deviance = ProfiledDeviance(
        cross_products(blocks, Q, response), problem.covariances, reml=criterion["reml"], sigma=sigma
    )
    theta = inner(problem)
    at = deviance.evaluate(theta)
    value = at.value + basis.criterion_shift(deviance.nu, reml=deviance.reml)
    sigmas = [A @ S @ A.T for A, S in zip(basis.bases, problem.sigmas(theta), strict=True)]
    dense = Dense(
        Problem(problem.blocks, problem.covariances, X, y),
        sigmas,
        reml=criterion["reml"],
        sigma=user_sigma,
        noise=np.diag(1 / weights),
    )
    assert_close(value, dense.value, VALUE)
    assert_close(basis.beta_0 + basis.scale * basis.R_inverse @ at.beta, dense.beta, VALUE)


@pytest.mark.parametrize("chunks", [2, 5, N])
def test_cross_products_of_chunks_add_up(problem, chunks):
    parts = np.array_split(np.random.default_rng(4).permutation(N), chunks)
    crosses = [
        cross_products(
            [Block(b.codes[rows], b.n_levels, b.columns[rows]) for b in problem.blocks],
            problem.X[rows],
            problem.y[rows],
        )
        for rows in parts
    ]
    total = crosses[0]
    for cross in crosses[1:]:
        total = total + cross
    theta = inner(problem)
    whole = problem.deviance(reml=True).evaluate(theta)
    added = ProfiledDeviance(total, problem.covariances, reml=True).evaluate(theta)
    assert total.n == N
    assert_close(added.value, whole.value, 1e-13)
    assert_close(added.gradient, whole.gradient, 1e-12)


def test_cross_products_of_different_models_do_not_add_up():
    one, other = (
        cross_products(problem.blocks, problem.X, problem.y) for problem in (DESIGNS["intercept"](), DESIGNS["slope"]())
    )
    with pytest.raises(ValueError, match="same effects and the same levels"):
        one + other


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("theta", [0.0, 0.5])
def test_levels_without_rows(k, theta):
    # As in a chunk of rows, before the chunks with those levels are added.
    rng = np.random.default_rng(1)
    codes = [rng.permutation(np.arange(12) % J) for J in (4, 3)]
    columns = np.column_stack([np.ones(12), rng.normal(size=(12, k - 1))])
    blocks = [Block(codes[0], 6, columns), Block(codes[1], 5, columns)]
    problem = Problem(blocks, [U(k), U(k)], np.ones((12, 1)), rng.normal(size=12))
    at = problem.deviance(reml=True).evaluate(np.tile(U(k).from_root(theta * np.eye(k)), 2))
    dense = Dense(problem, [theta**2 * np.eye(k)] * 2, reml=True)
    assert_close(at.value, dense.value, VALUE)
    assert_close(at.gradient, differences(problem, at.theta, reml=True), DIFFERENCE)


# Random small designs


@st.composite
def problems(draw):
    seed = draw(st.integers(0, 2**32 - 1))
    n = draw(st.integers(12, 30))
    groups = []
    for _ in range(draw(st.integers(1, 3))):
        k = draw(st.integers(1, 3))
        structure = draw(st.sampled_from(["unstructured", "diagonal", "stacked"]))
        if structure == "stacked" and k > 1:
            covariance = Stacked((U(k - 1), U(1)))
        else:
            covariance = D(k) if structure == "diagonal" else U(k)
        groups.append((draw(st.integers(2, 8)), covariance))
    problem = make(seed, groups, n=n, p=draw(st.integers(0, 3)))
    theta = (
        inner(problem, seed)
        * np.array(draw(st.lists(st.sampled_from([0, 0.1, 1, 3]), min_size=3, max_size=3)))[
            np.arange(problem.n_theta) % 3
        ]
    )
    criterion = {"reml": draw(st.booleans()), "sigma": draw(st.sampled_from([None, 0.5, 2.0]))}
    return problem, theta, criterion


@settings(max_examples=300, deadline=None, derandomize=True)
@given(problems())
def test_random_designs(drawn):
    problem, theta, criterion = drawn
    dense = Dense(problem, problem.sigmas(theta), **criterion)
    deviance = problem.deviance(**criterion)
    at = deviance.evaluate(theta)
    assert_close(at.value, dense.value, VALUE)
    assert_close(at.beta, dense.beta, 1e-8)  # X may be nearly collinear by chance
    assert_close(at.gradient, differences(problem, theta, **criterion), 1e-6)
    for place, t in enumerate(deviance.cross.order):
        assert_close(at.M[place], sigma_differences(problem, problem.sigmas(theta), t, **criterion), 1e-6)
