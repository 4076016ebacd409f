"""Single neurons: against brute force, scikit-learn's metrics and plain thresholds."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from instances import brute_force, random_problem
from sklearn import metrics as reference
from typer.testing import CliRunner

from optprobe.cli import app
from optprobe.neurons import NeuronMetrics, Neurons, random_rotation, rank_neurons
from optprobe.problem import Problem
from optprobe.statistics import refit


def split_problem(seed: int, loss: str = "logistic", decimals: int = 1) -> Problem:
    """Activations that tie, one neuron that matters, one against the class, held-out rows."""
    rng = np.random.default_rng(seed)
    y = np.where(rng.random(150) < 0.3, "noun", "other")
    X = np.round(rng.standard_normal((150, 6)), decimals)
    X[:, 1] += 1.5 * (y == "other")
    X[:, 4] += 1.5 * (y == "noun")
    X[:, 5] = 2.0
    return Problem.of(
        X.astype(np.float32), y, k=1, lam=0.01, loss=loss, test=np.arange(150) % 3 == 0
    )


@pytest.mark.parametrize("seed", range(15))
def test_the_first_neuron_is_the_optimum_of_k_1(seed):
    problem = random_problem(seed).with_k(1)
    found, best = rank_neurons(problem), brute_force(problem)
    assert found.objective[0] == pytest.approx(best.value, rel=1e-8)
    assert found.lower[0] == pytest.approx(best.lower, rel=1e-6)
    assert sorted(found.column) == problem.usable.tolist()
    assert (np.diff(found.objective) >= 0.0).all()
    assert (found.lower <= found.objective).all()
    for i, column in enumerate(found.column):
        alone = refit(problem, np.array([column]))
        assert found.objective[i] == pytest.approx(alone.objective, rel=1e-8)
        again = problem.objective(
            found.column[i : i + 1], found.beta[i : i + 1], found.intercept[i]
        )
        assert found.objective[i] == pytest.approx(again, rel=1e-12)
    assert found.test is None


@pytest.mark.parametrize("loss", ["logistic", "hinge", "squared_hinge"])
@pytest.mark.parametrize("seed", range(4))
def test_a_raw_threshold_makes_the_calls_of_the_score(seed, loss):
    problem = split_problem(seed, loss)
    found = rank_neurons(problem)
    X = problem.data.on_host().astype(float)
    for i, column in enumerate(found.column):
        probe = refit(problem, np.array([column])).probe
        called = found.sign[i] * (X[:, column] - found.threshold[i]) > 0.0
        np.testing.assert_array_equal(np.where(called, "other", "noun"), probe.predict(X))


@pytest.mark.parametrize("seed", range(6))
def test_metrics_of_every_neuron_agree_with_scikit_learn(seed):
    problem = split_problem(seed)
    found = rank_neurons(problem)
    X, data = problem.data.on_host().astype(float), problem.data
    assert found.test is not None
    for measured, rows in ((found.train, data.train), (found.test, data.test)):
        y = data.y[rows] > 0
        for i, column in enumerate(found.column):
            x = found.sign[i] * X[rows, column]
            zero, best = x > found.sign[i] * found.threshold[i], x >= (
                found.sign[i] * found.f1_threshold[i]
            )  # fmt: skip
            precision, recall, _ = reference.precision_recall_curve(y, x)
            expected = NeuronMetrics(
                f1=reference.f1_score(y, zero, zero_division=0.0),
                balanced_accuracy=reference.balanced_accuracy_score(y, zero),
                mcc=reference.matthews_corrcoef(y, zero),
                roc_auc=reference.roc_auc_score(y, x),
                average_precision=reference.average_precision_score(y, x),
                pr_auc=reference.auc(recall, precision),
                best_f1=reference.f1_score(y, best, zero_division=0.0),
                best_mcc=reference.matthews_corrcoef(y, best),
            )
            for one in fields(NeuronMetrics):
                value = getattr(measured, one.name)[i]
                assert value == pytest.approx(getattr(expected, one.name), abs=1e-12), one.name


@pytest.mark.parametrize("seed", range(6))
def test_no_threshold_has_a_better_training_f1(seed):
    problem = split_problem(seed)
    found = rank_neurons(problem)
    X, y = problem.data.on_host()[problem.data.train].astype(float), problem.y > 0
    for i, column in enumerate(found.column):
        x = found.sign[i] * X[:, column]
        every = [reference.f1_score(y, x >= cut) for cut in np.unique(x)]
        assert found.train.best_f1[i] == pytest.approx(max(every))
        assert found.f1_threshold[i] in X[:, column]


def test_the_neurons_that_matter_come_first_with_their_signs():
    found = rank_neurons(split_problem(0))
    assert sorted(found.column[:2]) == [1, 4]
    assert {int(c): int(s) for c, s in zip(found.column[:2], found.sign[:2], strict=True)} == {
        1: 1,
        4: -1,
    }
    assert 5 not in found.column  # constant


def same(one: Neurons, other: Neurons) -> None:
    for left, right in zip(one.rows(), other.rows(), strict=True):
        assert left == pytest.approx(right)


def test_a_few_columns_at_a_time_give_the_same_ranking(monkeypatch):
    problem = split_problem(0)
    whole = rank_neurons(problem)
    monkeypatch.setattr("optprobe.neurons.DOUBLE_BYTES", 2 * 8 * 150)
    monkeypatch.setattr("optprobe.neurons.SLICE", 100)
    same(rank_neurons(problem), whole)


def test_memory_mapped_files_and_tensors_are_ranked_alike(tmp_path):
    problem = split_problem(0, decimals=0)  # so that bfloat16 is exact
    X, labels = problem.data.on_host(), np.where(problem.data.y > 0, "other", "noun")
    np.save(tmp_path / "X.npy", X)
    test = np.isin(np.arange(150), problem.data.test)
    for other in (np.load(tmp_path / "X.npy", mmap_mode="r"), torch.tensor(X).bfloat16()):
        again = Problem.of(other, labels, k=1, lam=0.01, test=test)
        same(rank_neurons(again), rank_neurons(problem))


def test_records_hold_every_field():
    problem = split_problem(0)
    found = rank_neurons(problem)
    records = found.rows()
    assert [record["rank"] for record in records] == [1, 2, 3, 4, 5]
    assert records[0]["name"] == found.name[0]
    assert records[1]["train_f1"] == found.train.f1[1]
    assert found.test is not None
    assert records[2]["test_best_mcc"] == found.test.best_mcc[2]
    whole = replace(problem, data=replace(problem.data, test=np.empty(0, int)))
    assert not any(key.startswith("test") for key in rank_neurons(whole).rows()[0])


def test_a_rotation_keeps_everything_but_the_axes():
    problem = split_problem(2)
    turned = random_rotation(problem, seed=1)
    data, Z = problem.data, problem.data.columns(problem.usable, np.arange(150)).T
    X = turned.data.on_host().astype(float)
    assert X.shape == Z.shape
    np.testing.assert_allclose(X @ X.T, Z @ Z.T, atol=1e-4)
    assert np.abs(X - Z).max() > 0.1
    for name in ("y", "train", "test", "weights"):
        np.testing.assert_array_equal(getattr(turned.data, name), getattr(data, name))
    assert turned.data.labels == data.labels
    assert (turned.lam, turned.loss_name) == (problem.lam, problem.loss_name)
    assert np.array_equal(random_rotation(problem, seed=1).data.on_host(), X.astype(np.float32))
    assert not np.allclose(random_rotation(problem, seed=2).data.on_host(), X, atol=0.1)


@pytest.mark.parametrize("weights", ["uniform", "given"])
def test_a_rotation_keeps_the_weights(weights):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((40, 3)), np.arange(40) % 3 == 0
    given = rng.random(40) if weights == "given" else weights
    problem = Problem.of(X, y, k=1, weights=given, groups=np.arange(40) // 2)
    turned = random_rotation(problem)
    assert turned.data.weighting == weights
    np.testing.assert_array_equal(turned.weights, problem.weights)
    np.testing.assert_array_equal(turned.data.groups, problem.data.groups)


def test_a_neuron_of_its_own_beats_random_directions():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 60))
    problem = Problem.of(X, X[:, 7] > 0.5, k=1, lam=0.01)
    found, turned = rank_neurons(problem), rank_neurons(random_rotation(problem))
    assert found.column[0] == 7
    assert found.objective[0] < 0.5 * turned.objective[0]


def run(*arguments: object):
    return CliRunner().invoke(app, ["neurons", *(str(part) for part in arguments)])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    problem = split_problem(0)
    test = np.isin(np.arange(150), problem.data.test)
    names = np.array([f"L1N{j}" for j in range(6)])
    path = tmp_path / "task.npz"
    np.savez(path, X=problem.data.on_host(), y=problem.data.y, test=test, names=names)
    return path


def test_the_command_writes_a_table_a_record_and_a_figure(data, tmp_path):
    file, figure = tmp_path / "out.json", tmp_path / "rank.png"
    result = run(data, "--top", 2, "--ridge", 0.01, "--json", file, "--plot", figure)
    assert result.exit_code == 0, result.output
    assert "L1N1" in result.stdout
    assert "L1N4" in result.stdout
    assert "L1N0" not in result.stdout  # third at best
    record = json.loads(file.read_text())
    assert (record["k"], record["loss"], record["ridge"]) == (1, "logistic", 0.01)
    expected = rank_neurons(split_problem(0)).rows()
    assert [one["column"] for one in record["neurons"]] == [one["column"] for one in expected]
    assert record["neurons"][0]["objective"] == pytest.approx(expected[0]["objective"])
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.glob("*.partial"))


def test_json_on_stdout_leaves_the_table_on_stderr(data):
    result = run(data, "--json", "-")
    assert result.exit_code == 0
    assert len(json.loads(result.stdout)["neurons"]) == 5
    assert "held-out F1" in result.stderr
    assert run(data, "--quiet").output == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--top", 0], "--top 0"),
        (["--plot", "x.pdf"], "end its name in .png"),
        (["--plot", "no/such/folder.png"], "cannot be written"),
        (["--json", "no/such/folder.json"], "cannot be written"),
        (["--ridge", 0], "must be positive"),
        (["--weights", "given"], "array 'weights'"),
    ],
)
def test_bad_input_is_one_sentence(data, arguments, message):
    result = run(data, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
