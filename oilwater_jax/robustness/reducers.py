"""From the features of one class to the few numbers that GEORGE clusters.

Stage: after the identification model, before `clustering`. Whatever is fitted is fitted on training samples
only; validation samples are mapped by it.

References: Sohoni et al. 2020, "No Subclass Left Behind: Fine-Grained Robustness in Coarse-Grained
Classification Problems", section 4, and its code, HazyResearch/hidden-stratification (whose name for it is
the hardness component).
"""

import importlib
from typing import Any

import numpy as np
from jaxtyping import Float

from oilwater_jax.errors import UserError

REDUCERS = ("hardness", "pca", "umap")
NEIGHBOURS = 10  # of UMAP, as published
_LEAST = {"hardness": 1, "pca": 2, "umap": NEIGHBOURS + 1}  # training samples that a reducer can be fitted to


def hardness(
    features: Float[np.ndarray, "n d"], kernel: Float[np.ndarray, "d k"], label: int
) -> Float[np.ndarray, "n 1"]:
    """How far each sample of class `label` lies across the decision boundary, in units of the features.

    The projection of the raw features (no normalisation, no bias) on a unit vector made of the last layer's
    columns w. Two classes: w1 - w0, for either label, so that large means class 1. More classes (ours; the
    paper has two): the mean of the other columns - w_label, so that large means unlike its class.

    Edge case                        Result
    the columns' difference is 0     all 0 (nothing tells the classes apart)
    fewer than two classes           ValueError
    label not in 0 .. k-1            ValueError naming it
    """
    n_classes = kernel.shape[1]
    if n_classes < 2:
        raise ValueError(f"hardness: needs at least two classes, the kernel has {n_classes}")
    if not 0 <= label < n_classes:
        raise ValueError(f"hardness: label {label} is not in 0 .. {n_classes - 1}")
    columns = kernel.astype(np.float64)
    if n_classes == 2:
        direction = columns[:, 1] - columns[:, 0]
    else:
        direction = np.delete(columns, label, axis=1).mean(axis=1) - columns[:, label]
    length = np.linalg.norm(direction)
    unit = direction / length if length > 0 else direction
    return (features.astype(np.float64) @ unit)[:, None]


def reduce(
    train: Float[np.ndarray, "n d"],
    val: Float[np.ndarray, "m d"],
    kernel: Float[np.ndarray, "d k"],
    *,
    reducer: str,
    components: int,
    label: int,
    seed: int,
) -> tuple[Float[np.ndarray, "n p"], Float[np.ndarray, "m p"]]:
    """The training and validation points of the samples of class `label`, float64.

    Reducer    Result
    hardness   `hardness`, p = 1
    pca        the leading principal components, p = min(components, n, d)
    umap       2-d UMAP (10 neighbours, least distance 0) of the features scaled to length 1

    Edge case                                      Result
    too few training samples (pca: 1, umap: 10)    all points 0, p = 1: nothing to tell apart (ours)
    no validation samples                          m = 0
    unknown reducer, components < 1                ValueError naming the value
    umap-learn is not installed                    UserError
    """
    if reducer not in REDUCERS:
        raise ValueError(f"reducer {reducer!r}; known: {', '.join(REDUCERS)}")
    if components < 1:
        raise ValueError(f"components must be at least 1, not {components}")
    if len(train) < _LEAST[reducer]:
        return np.zeros((len(train), 1)), np.zeros((len(val), 1))
    if reducer == "hardness":
        return hardness(train, kernel, label), hardness(val, kernel, label)
    train, val = train.astype(np.float64), val.astype(np.float64)
    if reducer == "pca":
        from sklearn.decomposition import PCA  # here: half a second that other methods need not pay

        model = PCA(min(components, *train.shape), random_state=seed)
    else:
        train, val = _scaled(train), _scaled(val)
        model = _umap(seed)
    points = np.asarray(model.fit_transform(train), np.float64)
    if not len(val):
        return points, np.zeros((0, points.shape[1]))
    return points, np.asarray(model.transform(val), np.float64)


def _scaled(features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(length > 0, length, 1.0)


def _umap(seed: int) -> Any:
    try:
        umap = importlib.import_module("umap")
    except ImportError as error:
        raise UserError(
            "reducer umap needs the package umap-learn: pip install 'oilwater_jax[umap]', or choose hardness or pca"
        ) from error
    # One thread is what umap-learn falls back to under a fixed seed; saying so avoids its warning.
    return umap.UMAP(n_components=2, n_neighbors=NEIGHBOURS, min_dist=0.0, random_state=seed, n_jobs=1)
