import numpy as np
import pytest

from pipelines.agreement.dawid_skene import dawid_skene
from pipelines.errors import BadInput, Undefined

# Dawid and Skene (1979), table 1: 45 patients, five anaesthetists, the first of whom examined
# everybody three times. One string a patient: three ratings of the first, one of each other.
TABLE = """
1111111 3334334 1122122 2223121 2223222 2223322 1222111 3333433 2222223 2322223
4444444 2223343 1111111 2223212 1211111 1112111 1111111 1111111 2222221 2221322
2222222 2222221 2223222 2212222 1111111 1111111 2322222 1111111 1111111 1121121
1111111 3333233 1111111 2222222 2223232 4334343 2212232 2323233 3333432 1111111
1111111 1212111 2322222 1211111 2222222
"""
WHO = [0, 0, 0, 1, 2, 3, 4]


def patients():
    unit = np.repeat(np.arange(45), 7)
    label = np.array([int(rating) - 1 for ratings in TABLE.split() for rating in ratings])
    return unit, np.tile(WHO, 45), label


def test_the_45_patients_of_the_paper():
    model = dawid_skene(*patients(), n_classes=4)
    # Table 3 of the paper: marginal probabilities of the classes.
    assert model.prior.round(2).tolist() == [0.40, 0.42, 0.11, 0.07]
    assert model.converged
    # Table 2, first row of observer 1.
    assert model.confusion[0, 0].round(2).tolist() == [0.89, 0.11, 0.0, 0.0]


def test_the_fast_steps_equal_em_written_out():
    unit, rater, label = patients()
    counts = np.zeros((45, 5, 4))
    np.add.at(counts, (unit, rater, label), 1)
    posterior = counts.sum(axis=1) / counts.sum(axis=(1, 2))[:, None]
    for _ in range(7):
        prior = posterior.mean(axis=0)
        confusion = np.einsum("iq,ijl->jql", posterior, counts)
        confusion /= np.maximum(confusion.sum(axis=2, keepdims=True), 1e-300)
        likelihood = prior * np.prod(np.power(confusion[None], counts[:, :, None, :]), axis=(1, 3))
        posterior = likelihood / likelihood.sum(axis=1, keepdims=True)
    model = dawid_skene(unit, rater, label, 4, max_iterations=7, tolerance=0.0)
    assert model.n_iterations == 7
    assert not model.converged
    assert np.allclose(model.posterior, posterior)
    assert np.isclose(model.log_likelihood, np.log(likelihood.sum(axis=1)).sum())


def test_a_bad_judge_among_people_is_found_out():
    rng = np.random.default_rng(0)
    n = 3000
    truth = rng.choice(3, size=n, p=[0.45, 0.45, 0.1])
    accuracy = [0.9, 0.85, 0.8, 0.5]
    labels = [np.where(rng.random(n) < a, truth, rng.integers(0, 3, n)) for a in accuracy]
    model = dawid_skene(
        np.tile(np.arange(n), 4), np.repeat(np.arange(4), n), np.concatenate(labels)
    )
    expected = [a + (1 - a) / 3 for a in accuracy]
    assert np.allclose(model.accuracy(), expected, atol=0.03)
    majority = np.array([np.bincount(votes, minlength=3).argmax() for votes in np.array(labels).T])
    assert np.mean(model.posterior.argmax(axis=1) == truth) > np.mean(majority == truth)


def test_renaming_classes_renames_the_answer():
    unit, rater, label = patients()
    names = np.array([2, 0, 3, 1])
    once, again = dawid_skene(unit, rater, label, 4), dawid_skene(unit, rater, names[label], 4)
    assert np.allclose(once.prior, again.prior[names], atol=1e-6)
    assert np.allclose(once.posterior, again.posterior[:, names], atol=1e-6)


def test_what_cannot_be_fitted_is_refused():
    nothing = np.zeros(0, dtype=int)
    with pytest.raises(Undefined):
        dawid_skene(nothing, nothing, nothing)
    with pytest.raises(BadInput, match="failures"):
        dawid_skene(np.array([0]), np.array([0]), np.array([-1]))
    with pytest.raises(BadInput, match="without gaps"):
        dawid_skene(np.array([0, 2]), np.array([0, 0]), np.array([1, 1]))
