"""What a step trains: several networks, the head alone, privately. By hand, on networks small enough for it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from counting import compilations

from oilwater_jax import objectives
from oilwater_jax.models.variables import HEAD
from oilwater_jax.per_sample import loss as sample_loss
from oilwater_jax.training import program as programs
from oilwater_jax.training.epoch import batches
from oilwater_jax.training.feed import Batch, place
from oilwater_jax.training.step import Kind, noised, private_gradient, private_numbers
from oilwater_jax.types import Objective, Private, Recipe

RATE, DECAY, MOMENTUM = 0.1, 0.01, 0.9
RECIPE = Recipe(RATE, DECAY, 1)


def prepare(image):
    return image.astype(jnp.float32) / 255.0


def apply(params, image):
    """Two layers: features tanh(x W), logits by the head; W is the body."""
    features = jnp.tanh(image.reshape(len(image), -1) @ params["body"]["kernel"])
    logits = features @ params[HEAD]["kernel"]
    return logits, features


def init(seed):
    draw = np.random.default_rng(seed)
    return {
        "body": {"kernel": jnp.asarray(draw.normal(size=(12, 5)), jnp.float32)},
        HEAD: {"kernel": jnp.asarray(draw.normal(size=(5, 3)), jnp.float32)},
    }


def no_score(*given):
    raise AssertionError("nobody scores")


NETWORK = programs.Network(
    init, apply, apply, lambda params, image, mask: (apply(params, image)[0], {}), "loop", prepare, no_score
)


@functools.cache
def program(kind, batch=8, driver="loop"):
    return programs._program(NETWORK, kind, batch, MOMENTUM, 0, driver)


@functools.cache
def jitted(kind):
    return jax.jit(program(kind).step)


def batch_of(n, seed=0, masked=0):
    draw = np.random.default_rng(seed)
    return Batch(
        jnp.asarray(draw.integers(0, 256, (n, 2, 2, 3)), jnp.uint8),
        jnp.asarray(draw.integers(0, 3, n)),
        jnp.asarray(draw.integers(0, 2, n)),
        jnp.arange(n) + 100,
        jnp.arange(n) < n - masked,
    )


def close(one, other, **tolerance):
    jax.tree.map(functools.partial(np.testing.assert_allclose, **tolerance), one, other)


def equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def part(batch, rows):
    return Batch(*(column[rows] for column in batch))


# several networks


def relative(state, losses, rows):
    """As LfF weights them: the first network's losses by how hard the second finds the sample; the second's as is."""
    harder = jax.lax.stop_gradient(losses[1] / (losses[0] + losses[1]))
    total = objectives.masked_mean(losses[0] * harder, rows.mask) + objectives.masked_mean(
        losses[1], rows.mask
    )
    return total, state + 1


PAIR = Objective(lambda: jnp.int32(0), relative, networks=2)


def by_hand(params, x, label, weight):
    """Gradient of sum_i weight_i loss_i in both layers of one network, sample by sample in float64; and the losses."""
    body, head = (np.asarray(params[name]["kernel"], np.float64) for name in ("body", HEAD))
    grads, losses = {"body": np.zeros_like(body), HEAD: np.zeros_like(head)}, []
    for one, y, w in zip(np.asarray(x, np.float64), label, weight, strict=True):
        features = np.tanh(one @ body)
        p = np.exp(features @ head)
        p /= p.sum()
        losses.append(-np.log(p[y]))
        error = p - np.eye(3)[y]
        grads[HEAD] += w * np.outer(features, error)
        grads["body"] += w * np.outer(one, (head @ error) * (1 - features**2))
    return grads, np.array(losses)


def test_two_networks_are_trained_side_by_side_as_a_loop_by_hand_does():
    kind = Kind(PAIR.update, PAIR.networks)
    state = program(kind).begin((init(1), init(2)), RECIPE, PAIR.init(), None)
    mine = [jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), init(seed)) for seed in (1, 2)]
    speed = [jax.tree.map(np.zeros_like, one) for one in mine]
    for at in range(6):
        batch = batch_of(8, seed=at, masked=3 if at == 2 else 0)
        state, value = jitted(kind)(state, batch, jax.random.key(0))
        keep = np.asarray(batch.mask)
        x, label = (
            np.asarray(batch.image)[keep].reshape(keep.sum(), -1) / 255.0,
            np.asarray(batch.label)[keep],
        )
        even = np.full(len(x), 1 / len(x))
        first, second = (by_hand(one, x, label, even)[1] for one in mine)
        weight = even * second / (first + second)
        assert float(value) == pytest.approx(first @ weight + second @ even, rel=1e-4)
        for number, own in enumerate((weight, even)):
            grads, _ = by_hand(mine[number], x, label, own)
            for name in ("body", HEAD):
                gradient = grads[name] + DECAY * mine[number][name]["kernel"]
                speed[number][name]["kernel"] = MOMENTUM * speed[number][name]["kernel"] + gradient
                mine[number][name]["kernel"] = (
                    mine[number][name]["kernel"] - RATE * speed[number][name]["kernel"]
                )
    close(state.params, mine[0], rtol=1e-3, atol=1e-5)  # the first is the one that is reported
    (other,) = state.others
    close(other, mine[1], rtol=1e-3, atol=1e-5)
    assert int(state.objective_state) == 6


def test_a_network_beside_it_that_does_not_matter_changes_nothing():
    def first_alone(state, losses, rows):
        return objectives.masked_mean(losses[0], rows.mask), state

    kind = Kind(first_alone, 2)
    pair = program(kind).begin((init(1), init(2)), RECIPE._replace(weight_decay=0.0), (), None)
    alone = program(programs.PLAIN).begin((init(1),), RECIPE._replace(weight_decay=0.0), (), None)
    for at in range(3):
        pair, one = jitted(kind)(pair, batch_of(8, seed=at), jax.random.key(0))
        alone, other = jitted(programs.PLAIN)(alone, batch_of(8, seed=at), jax.random.key(0))
        np.testing.assert_allclose(one, other, rtol=1e-6)
    close(pair.params, alone.params, rtol=1e-6)
    equal(pair.others, (init(2),))


# the head alone


def test_the_head_alone_moves_and_as_a_linear_layer_on_the_features_does():
    kind = Kind(objectives.erm_update, trained="head")
    begin = init(3)
    state = program(kind).begin((begin,), RECIPE, (), None)
    head, speed = np.asarray(begin[HEAD]["kernel"], np.float64), np.zeros((5, 3))
    for at in range(5):
        batch = batch_of(8, seed=at)
        state, _ = jitted(kind)(state, batch, jax.random.key(0))
        features = np.tanh(
            np.asarray(batch.image).reshape(8, -1) / 255.0 @ np.asarray(begin["body"]["kernel"])
        )
        p = np.exp(features @ head)
        error = p / p.sum(1, keepdims=True) - np.eye(3)[np.asarray(batch.label)]
        speed = MOMENTUM * speed + features.T @ error / 8 + DECAY * head
        head = head - RATE * speed
    equal(state.params["body"], begin["body"])
    np.testing.assert_allclose(state.params[HEAD]["kernel"], head, rtol=1e-4, atol=1e-5)
    assert np.abs(np.asarray(state.params[HEAD]["kernel"] - begin[HEAD]["kernel"])).max() > 0.01
    shapes = {leaf.shape for leaf in jax.tree.leaves(state.opt_state)}
    assert (12, 5) not in shapes  # of the body the optimiser knows nothing
    assert (5, 3) in shapes


# privately


def loop_of_clipped(params, batch, clip):
    """The sum of the rows' gradients, each clipped, one after the other."""
    total = jax.tree.map(lambda leaf: np.zeros(leaf.shape), params)
    for image, label, keep in zip(batch.image, batch.label, batch.mask, strict=True):
        if not keep:
            continue
        gradient = jax.grad(lambda p: sample_loss(apply(p, prepare(image[None]))[0][0], label))(params)  # noqa: B023
        norm = np.sqrt(sum(float(np.sum(np.square(leaf))) for leaf in jax.tree.leaves(gradient)))
        total = jax.tree.map(lambda t, g: t + np.asarray(g) * min(1.0, clip / norm), total, gradient)  # noqa: B023
    return total


@pytest.mark.parametrize("clip", [0.05, 0.7, 100.0])  # every row, some rows, no row is clipped
def test_private_gradients_are_a_loop_over_samples_and_masked_rows_do_not_count(clip):
    params, batch = init(4), batch_of(8, masked=3)
    got = private_gradient(apply, params, {}, prepare(batch.image), batch, jnp.float32(clip))
    close(got, loop_of_clipped(params, batch, clip), rtol=1e-4, atol=1e-6)
    few = part(batch, slice(0, 5))
    close(
        got,
        private_gradient(apply, params, {}, prepare(few.image), few, jnp.float32(clip)),
        rtol=1e-5,
        atol=1e-7,
    )


@pytest.mark.parametrize("clip", [0.05, 0.7])
def test_without_noise_it_is_optaxs_differentially_private_aggregate(clip):
    params, batch = init(5), batch_of(8)

    def one(params, image, label):
        return sample_loss(apply(params, prepare(image[None]))[0][0], label)

    each = jax.vmap(jax.grad(one), in_axes=(None, 0, 0))(params, batch.image, batch.label)
    theirs = optax.contrib.differentially_private_aggregate(clip, 0.0, jax.random.key(0))
    expected, _ = theirs.update(each, theirs.init(params), params)
    total = private_gradient(apply, params, {}, prepare(batch.image), batch, jnp.float32(clip))
    close(noised(total, jnp.float32(0.0), 8, jax.random.key(1)), expected, rtol=1e-5, atol=1e-7)


def test_the_private_step_is_sgd_on_that_gradient():
    """The optimiser's first step from rest: weights move by -rate (gradient + decay weights)."""
    kind, clip = Kind(objectives.erm_update, private=True), 0.3
    params, batch = init(6), batch_of(8, masked=2)
    state = program(kind).begin((params,), RECIPE, (), Private(clip, 0.0))
    after, value = jitted(kind)(state, batch, jax.random.key(0))
    total = loop_of_clipped(params, batch, clip)
    expected = jax.tree.map(
        lambda p, t: np.asarray(p) - RATE * (t / 8 + DECAY * np.asarray(p)), params, total
    )
    close(after.params, expected, rtol=1e-4, atol=1e-6)
    losses = [
        float(sample_loss(apply(params, prepare(image[None]))[0][0], label))
        for image, label in zip(batch.image[:6], batch.label[:6], strict=True)
    ]
    assert float(value) == pytest.approx(
        np.mean(losses), rel=1e-5
    )  # the loss that is told of is the plain one


def test_a_clip_that_nothing_reaches_is_plain_training():
    kind = Kind(objectives.erm_update, private=True)
    batch = batch_of(8)
    private = program(kind).begin((init(7),), RECIPE, (), Private(1e6, 0.0))
    plain = program(programs.PLAIN).begin((init(7),), RECIPE, (), None)
    one, _ = jitted(kind)(private, batch, jax.random.key(0))
    other, _ = jitted(programs.PLAIN)(plain, batch, jax.random.key(0))
    close(one.params, other.params, rtol=1e-4, atol=1e-6)


def test_the_head_alone_may_be_trained_privately():
    kind, clip = Kind(objectives.erm_update, trained="head", private=True), 0.2
    params, batch = init(8), batch_of(8)
    state = program(kind).begin((params,), RECIPE._replace(weight_decay=0.0), (), Private(clip, 0.0))
    after, _ = jitted(kind)(state, batch, jax.random.key(0))
    equal(after.params["body"], params["body"])
    moved = np.asarray(params[HEAD]["kernel"] - after.params[HEAD]["kernel"]) / RATE * 8
    assert 0 < np.linalg.norm(moved) <= 8 * clip * (1 + 1e-4)


def test_noise_has_the_deviation_that_is_said_and_its_own_key():
    """10,000 coordinates of two leaves: mean 0, standard deviation noise x clip / batch, within 4 standard errors."""
    nothing = {"a": jnp.zeros((100, 50)), "b": jnp.zeros(5000)}
    got = noised(nothing, jnp.float32(3.0), 6, jax.random.key(2))
    flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(got)])
    assert abs(flat.mean()) < 4 * 0.5 / 100
    assert flat.std() == pytest.approx(0.5, rel=4 / np.sqrt(2 * len(flat)))
    assert np.abs(np.corrcoef(got["a"].ravel(), got["b"])[0, 1]) < 4 / np.sqrt(5000)
    equal(got, noised(nothing, jnp.float32(3.0), 6, jax.random.key(2)))
    assert (
        np.asarray(noised(nothing, jnp.float32(3.0), 6, jax.random.key(3))["b"]) != np.asarray(got["b"])
    ).all()


def test_every_private_step_has_noise_of_its_own_and_settings_compile_nothing():
    kind = Kind(objectives.erm_update, private=True)
    batch, step = batch_of(8), jitted(kind)

    def after(clip, noise, key):
        state = program(kind).begin((init(9),), RECIPE, (), Private(clip, noise))
        return np.asarray(step(state, batch, jax.random.key(key))[0].params["body"]["kernel"])

    still = after(1.0, 0.0, 0)
    with compilations() as compiled:
        np.testing.assert_array_equal(after(1.0, 2.0, 0), after(1.0, 2.0, 0))
        one, other = after(1.0, 2.0, 0) - still, after(1.0, 2.0, 1) - still
    assert compiled == []
    assert np.abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.6
    # noise x clip is what counts: half the clip and twice the noise is the same noise
    np.testing.assert_allclose(one, after(0.5, 4.0, 0) - after(0.5, 0.0, 0), rtol=1e-3, atol=1e-5)


def test_what_a_state_holds_of_an_aggregation():
    assert private_numbers(None) == ()
    assert [float(one) for one in private_numbers(Private(0.5, 2.0))] == [0.5, 2.0]


# what an objective sees of its rows


def counting(state, losses, rows):
    """Counts each sample's draws, and the rows whose label or group is not their sample's."""
    label, group, seen, wrong = state
    differs = (label[rows.sample] != rows.label) | (group[rows.sample] != rows.group)
    state = (label, group, seen.at[rows.sample].add(rows.mask), wrong + jnp.sum(differs & rows.mask))
    return objectives.masked_mean(losses[0], rows.mask), state


@pytest.mark.parametrize("where", ["resident, loop", "resident, scan", "streamed"])
def test_the_sample_of_each_row_reaches_the_objective(where):
    draw = np.random.default_rng(0)
    image = draw.integers(0, 256, (40, 2, 2, 3), np.uint8)
    label, group = draw.integers(0, 3, 40).astype(np.int32), draw.integers(0, 9, 40).astype(np.int32)
    draws = draw.integers(0, 40, 77)  # the last batch has padding
    made = program(Kind(counting), driver="scan" if "scan" in where else "loop")
    first = (jnp.asarray(label), jnp.asarray(group), jnp.zeros(40, jnp.int32), jnp.int32(0))
    state = jax.tree.map(jnp.array, made.begin((init(0),), RECIPE, first, None))
    data = place(image, label, group, stream=where == "streamed")
    *_, (state, _, steps) = made.epoch(state, data, draws, jax.random.key(0), 0)
    *_, seen, wrong = state.objective_state
    assert steps == len(batches(draws, 8)[0]) == 10
    np.testing.assert_array_equal(seen, np.bincount(draws, minlength=40))
    assert int(wrong) == 0
