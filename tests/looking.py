"""Evidence made by hand, for the tests of defences that look beforehand."""

from typing import Any

import numpy as np

from oilwater_jax.entries import Method
from oilwater_jax.settings import config as settings
from oilwater_jax.types import Case, Evidence, Examples, Found


def examples(label, attribute=None, image=None, is_poison=None) -> Examples:
    n = len(label)
    label = np.asarray(label, np.int32)
    return Examples(
        image=np.zeros((n, 2, 2, 3), np.uint8) if image is None else image,
        label=label,
        true_label=label,
        attribute=np.zeros(n, np.int32) if attribute is None else np.asarray(attribute, np.int32),
        is_poison=np.zeros(n, bool) if is_poison is None else is_poison,
        index=np.arange(n, dtype=np.int32),
    )


def evidence(
    label, *, base=None, base_scores=None, image=None, score=None, n_classes: int = 2, **scores: Any
) -> Evidence:
    """Of training samples with these labels and scores."""
    own = examples(label, image=image)
    return Evidence(
        seed=0,
        label=own.label,
        scores={name: np.asarray(one) for name, one in scores.items()},
        val_label=own.label[:0],
        val_scores={},
        base=examples(np.zeros(0, np.int32)) if base is None else base,
        base_scores=base_scores or {},
        kernel=np.zeros((2, n_classes), np.float32),
        image=own.image,
        score=score or (lambda image, wanted: {}),
        n_classes=n_classes,
    )


def config(method, **own) -> Any:
    """What a method sees of the default config with these settings of its own."""
    whole = settings.default()
    for name, value in own.items():
        whole[method.name][name] = value
    return settings.view(whole, method)


def find(method: Method, seen: Any, evidence: Evidence) -> Found:
    """What a method finds."""
    assert method.find is not None
    return method.find(seen, evidence)


def permuted(evidence: Evidence, order) -> Evidence:
    scores = {name: one[order] for name, one in evidence.scores.items()}
    return evidence._replace(label=evidence.label[order], scores=scores, image=evidence.image[order])


def assert_equivariant(method, seen, evidence: Evidence, seed=0) -> None:
    """Permuting the samples permutes what is found."""
    order = np.random.default_rng(seed).permutation(len(evidence.label))
    first, second = find(method, seen, evidence), find(method, seen, permuted(evidence, order))
    np.testing.assert_array_equal(first.arrays["flagged"][order], second.arrays["flagged"])
    np.testing.assert_allclose(
        first.arrays["suspicion"][order], second.arrays["suspicion"], rtol=1e-4, atol=1e-9
    )
    assert first.arrays["flagged"].any()


def case(train: Examples, found, *, epochs=4, mode="standard") -> Case:
    nobody = train.take(np.arange(0))
    return Case(train, found, mode, epochs, 0, nobody, nobody, 2, 2)


def weights(treatment, train: Examples, epochs=1):
    """A treatment's weights in each epoch, where it needs no scores."""
    state, history = treatment.selector.init(train), []
    for epoch in range(1, epochs + 1):
        state, one = treatment.selector.update(state, epoch, None)
        history.append(one)
    return np.array(history)
