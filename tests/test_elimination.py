"""The order in which the tail is eliminated: what stays sparse, what is dense, and what is refused."""

import numpy as np
import pandas as pd
import pytest

import lmm
from conftest import fit_quietly, frame
from lmm.elimination import dense_plan, pairs_by_owner, plan_elimination


def edges_of(pairs, n):
    return np.unique([min(u, v) * n + max(u, v) for u, v in pairs])


def test_pairs_of_each_owner_once():
    one, other = pairs_by_owner(np.array([2, 0, 3]))
    assert sorted(zip(one.tolist(), other.tolist(), strict=True)) == [
        (0, 0),
        (1, 0),
        (1, 1),
        (2, 2),
        (3, 2),
        (3, 3),
        (4, 2),
        (4, 3),
        (4, 4),
    ]


def test_every_level_has_its_turn_and_stages_are_independent():
    rng = np.random.default_rng(1)
    n = 400
    pairs = [(i, i + 1) for i in range(n - 1)] + [tuple(rng.choice(n, 2, replace=False)) for _ in range(150)]
    plan = plan_elimination(n, edges_of(pairs, n))
    turns = np.concatenate([*(stage.levels for stage in plan.stages), plan.core])
    assert sorted(turns) == list(range(n))
    connected = {frozenset(pair) for pair in pairs}
    eliminated = set()
    for stage in plan.stages:
        levels = set(stage.levels.tolist())
        assert not any(len(levels & pair) == 2 for pair in connected)
        assert not set(stage.neighbours.tolist()) & (levels | eliminated)
        for level in levels:
            around = {next(iter(pair - {level})) for pair in connected if level in pair}
            connected = {pair for pair in connected if level not in pair}
            connected |= {frozenset((u, v)) for u in around for v in around if u != v}
        eliminated |= levels


def test_a_tree_leaves_no_core():
    n = 1000
    plan = plan_elimination(n, edges_of([(i, (i - 1) // 2) for i in range(1, n)], n))
    assert len(plan.core) < 100
    assert plan.stages


def test_a_complete_graph_is_all_core():
    n = 100
    plan = plan_elimination(n, edges_of([(i, j) for i in range(n) for j in range(i)], n))
    assert not plan.stages
    assert np.array_equal(plan.core, dense_plan(n).core)


def test_nested_factors_are_eliminated_entirely():
    rng = np.random.default_rng(2)
    room = rng.integers(0, 900, 4000)
    data = pd.DataFrame({"y": rng.normal(size=4000), "a": room // 90, "b": room // 6, "c": room})
    fit = fit_quietly("y ~ 1 + (1 | a/b/c)", data)
    assert fit.structure().n_core == 0
    assert fit.structure().n_sparse == 150 + 10
    assert "sparse stages" in str(fit.structure())


def test_crossed_factors_are_all_core():
    structure = fit_quietly("diameter ~ 1 + (1 | plate) + (1 | sample)", frame("penicillin")).structure()
    assert (structure.n_stages, structure.n_core) == (0, 6)


def test_what_does_not_fit_is_refused_with_its_size(monkeypatch):
    monkeypatch.setattr("lmm.memory.total_memory", lambda: 2.0**20)
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"y": rng.normal(size=9000), "a": rng.integers(0, 500, 9000), "b": rng.integers(0, 400, 9000)})
    with pytest.raises(lmm.ModelError, match=r"would need about 0\.\d GiB of memory, and this machine has 0\.0"):
        lmm.fit("y ~ 1 + (1 | a) + (1 | b)", data)
    with pytest.raises(lmm.ModelError, match="joint covariance"):
        fit_quietly("y ~ 1 + (1 | a)", data).joint_cov()


def test_memory_is_unknown_where_the_system_does_not_tell(monkeypatch):
    def refuse(name):
        raise ValueError(name)

    monkeypatch.setattr("os.sysconf", refuse)
    from lmm.memory import total_memory  # noqa: PLC0415

    assert total_memory() == float("inf")
