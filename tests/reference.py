"""Slow NumPy loops that say what the package's array code must yield."""

import math

import numpy as np


def cross_entropy(logits: np.ndarray, label: int) -> float:
    peak = max(logits)
    total = sum(math.exp(x - peak) for x in logits)
    return -(logits[label] - peak - math.log(total))


def margin(logits: np.ndarray, label: int) -> float:
    return logits[label] - max(x for k, x in enumerate(logits) if k != label)


def last_layer_gradient(logits: np.ndarray, label: int) -> list[float]:
    peak = max(logits)
    total = sum(math.exp(x - peak) for x in logits)
    return [math.exp(x - peak) / total - (k == label) for k, x in enumerate(logits)]


def group_accuracy(correct: np.ndarray, groups: np.ndarray, n_groups: int) -> list[float]:
    out = []
    for g in range(n_groups):
        own = [bool(c) for c, h in zip(correct, groups, strict=True) if h == g]
        out.append(sum(own) / len(own) if own else math.nan)
    return out


def share(flags: np.ndarray, members: np.ndarray) -> float:
    both = sum(1 for f, m in zip(flags, members, strict=True) if f and m)
    return both / sum(1 for m in members if m)


def attack_success(predicted: np.ndarray, truth: np.ndarray, target: int) -> float:
    tried = hit = 0
    for p, t in zip(predicted, truth, strict=True):
        if t != target:
            tried += 1
            hit += p == target
    return hit / tried


def systematic_counts(weights: np.ndarray, walk: np.ndarray, start: float) -> np.ndarray:
    """Counts of systematic resampling of the fractional parts in the order `walk`, plus the whole parts."""
    counts = [math.floor(w) for w in weights]
    position = start
    for i in walk:
        before = math.floor(position)
        position += weights[i] - math.floor(weights[i])
        counts[i] += math.floor(position) - before
    return np.array(counts)


def sgd_step(
    params: float, momentum: float, gradient: float, rate: float, decay: float, beta: float
) -> tuple[float, float]:
    """PyTorch's SGD on one number: g + decay p, buffer beta m + g, p - rate m."""
    gradient = gradient + decay * params
    momentum = beta * momentum + gradient
    return params - rate * momentum, momentum


def group_dro_step(
    q: np.ndarray,
    losses: np.ndarray,
    groups: np.ndarray,
    mask: np.ndarray,
    counts: np.ndarray,
    eta: float,
    adjustment: float,
) -> tuple[np.ndarray, float]:
    """Sagawa et al. 2020, Algorithm 1, one group at a time: (next q, loss)."""
    means = []
    for g in range(len(counts)):
        own = [float(x) for x, h, kept in zip(losses, groups, mask, strict=True) if kept and h == g]
        means.append(sum(own) / len(own) if own else 0.0)
    raised = [
        weight * math.exp(eta * (mean + adjustment / math.sqrt(count)))
        for weight, mean, count in zip(q, means, counts, strict=True)
    ]
    q = np.array([weight / sum(raised) for weight in raised])
    return q, sum(weight * mean for weight, mean in zip(q, means, strict=True))


def facility_location(
    points: np.ndarray, k: int, scale: float, tie: float
) -> tuple[list[int], list[int], list[float]]:
    """Greedy, every gain anew for every pick: medoids, each point's position among them, gains."""
    n = len(points)
    loss = [
        [
            -math.expm1(-math.sqrt(sum((p - q) ** 2 for p, q in zip(a, b, strict=True))) / scale)
            for b in points
        ]
        for a in points.tolist()
    ]
    current = [1.0] * n
    nearest = [0] * n
    medoids: list[int] = []
    gains = []
    while len(medoids) < k:
        gain = {
            j: math.fsum(max(0.0, current[i] - loss[i][j]) for i in range(n))
            for j in range(n)
            if j not in medoids
        }
        best = max(gain.values())
        medoid = min(j for j in gain if gain[j] >= best * (1 - tie))
        for i in range(n):
            if loss[i][medoid] < current[i] * (1 - tie):
                nearest[i] = len(medoids)
            current[i] = min(current[i], loss[i][medoid])
        medoids.append(medoid)
        gains.append(gain[medoid])
    return medoids, nearest, gains
