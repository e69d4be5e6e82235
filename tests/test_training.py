"""Step, epoch, selection and fit: the anchors that always hold."""

import functools
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import reference
from counting import compilations

from oilwater_jax import objectives, preemption, rng, selectors, treatments
from oilwater_jax.errors import UserError
from oilwater_jax.groups import group_ids
from oilwater_jax.settings.config import default
from oilwater_jax.training import program as programs
from oilwater_jax.training import selection
from oilwater_jax.training.checkpoint import Checkpoints
from oilwater_jax.training.epoch import SEGMENT, batches, make_epoch
from oilwater_jax.training.feed import place
from oilwater_jax.training.fit import Listener, Task, fit
from oilwater_jax.training.recipes import Form, random_shift
from oilwater_jax.training.recipes import optimiser as optimiser_of
from oilwater_jax.training.step import Kind, TrainState, make_step, normalise
from oilwater_jax.types import Recipe, Selector

RECIPE = Recipe(0.05, 1e-2, 3)


@functools.cache
def model_config():
    config = default()
    config.cnn.widths = (8, 16)
    return config


def program(driver="loop", shift=1, batch=16, kind=programs.PLAIN):
    config = model_config()
    config.train.update({"batch": batch, "shift": shift, "driver": driver})
    return programs.build(config, (8, 8, 3), 2, kind)


PARAMS = programs.network(model_config(), (8, 8, 3), 2).init_params(0)


def copied(tree):
    return jax.tree.map(jnp.array, tree)


def close(a, b, **tolerance):
    jax.tree.map(functools.partial(np.testing.assert_allclose, **tolerance), a, b)


def equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_batches_pad_the_last_one_only():
    rows, mask = batches(np.arange(5) + 10, 4)
    assert rows.tolist() == [[10, 11, 12, 13], [14, 0, 0, 0]]
    assert mask.tolist() == [[True] * 4, [True, False, False, False]]


def test_normalise_ends():
    ends = jnp.array([0, 255], jnp.uint8).reshape(1, 1, 1, 2)
    np.testing.assert_allclose(normalise(ends).ravel(), [-2.0, 2.0], atol=1e-6)


def test_random_shift_moves_and_repeats_edges():
    image = jnp.arange(2 * 6 * 6 * 1, dtype=jnp.uint8).reshape(2, 6, 6, 1)
    np.testing.assert_array_equal(random_shift(image, jax.random.key(0), 0), image)
    moved = np.asarray(random_shift(image, jax.random.key(1), 2))
    padded = np.pad(np.asarray(image), ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
    for one, wide in zip(moved, padded, strict=True):
        places = [(y, x) for y in range(5) for x in range(5) if (wide[y : y + 6, x : x + 6] == one).all()]
        assert places


def test_sgd_is_pytorchs():
    optimiser = optimiser_of(0.9, Form())
    rule = optimiser(Recipe(0.1, 0.5, 1))
    params, state = jnp.array([2.0]), rule.init(jnp.array([2.0]))
    p, m = 2.0, 0.0
    for gradient in (1.0, -3.0, 0.5):
        updates, state = rule.update(jnp.array([gradient]), state, params)
        params = optax.apply_updates(params, updates)
        p, m = reference.sgd_step(p, m, gradient, 0.1, 0.5, 0.9)
    np.testing.assert_allclose(np.asarray(params), [p], rtol=1e-6)


def resident(examples):
    return place(examples.image, examples.label, group_ids(examples, 2))


def step_and_state():
    made = program()
    network = programs.network(model_config(), (8, 8, 3), 2)
    rule = optimiser_of(0.9, Form())(RECIPE)
    pure = make_step(network.train_apply, network.apply, network.prepare, rule, programs.PLAIN, 0)
    step = jax.jit(lambda state, data, rows, mask, key: pure(state, data.batch(rows, mask), key))
    return step, made.begin((PARAMS,), RECIPE, (), None)


def whole_epoch(made, state, data, draws, key, first=0):
    """The state after an epoch and the losses of its steps."""
    segments = list(made.epoch(state, data, draws, key, first))
    losses = [loss for _, some, _ in segments for loss in some.tolist()]
    assert {steps for *_, steps in segments} == {first + len(losses)}
    return segments[-1][0], losses


def test_masked_step_is_the_step_on_the_subset(examples):
    step, state = step_and_state()
    data, key = resident(examples), jax.random.key(0)
    mask = jnp.arange(16) < 11
    masked, loss = step(state, data, jnp.arange(16), mask, key)
    subset, same = step(state, data, jnp.arange(11), mask[:11], key)
    np.testing.assert_allclose(loss, same, rtol=1e-6)
    close(masked, subset, rtol=1e-5, atol=1e-6)


def test_step_is_pure_and_matches_a_loop_over_samples(examples):
    step, state = step_and_state()
    data, key = resident(examples), jax.random.key(0)
    first = step(state, data, jnp.arange(8), jnp.ones(8, bool), key)
    equal(first, step(state, data, jnp.arange(8), jnp.ones(8, bool), key))
    singles = [step(state, data, jnp.array([i]), jnp.ones(1, bool), key)[1] for i in range(8)]
    np.testing.assert_allclose(first[1], np.mean(singles), rtol=1e-5)


@pytest.mark.parametrize("n_draws", [40, 16 * SEGMENT + 3])
def test_scan_and_loop_give_the_same_states(examples, n_draws):
    draws = np.random.default_rng(0).integers(0, len(examples), n_draws)
    ends = []
    for driver in ("loop", "scan"):
        made = program(driver)
        state = copied(made.begin((PARAMS,), Recipe(0.01, 1e-3, 1), (), None))
        ends.append(whole_epoch(made, state, resident(examples), draws, jax.random.key(5)))
    assert len(ends[0][1]) == len(ends[1][1]) == -(-n_draws // 16)
    np.testing.assert_allclose(ends[0][1], ends[1][1], rtol=1e-5, atol=1e-6)
    close(ends[0][0], ends[1][0], rtol=1e-5, atol=1e-6)


def test_unknown_driver():
    with pytest.raises(ValueError, match="not 'while'"):
        make_epoch(lambda *a: a, 1, "while")


def test_selection_rules():
    row = {"epoch": 7, "val_acc": 0.9, "val_wga": 0.4}
    assert [selection.score(rule, row) for rule in ("val_wga", "val_acc", "last")] == [0.4, 0.9, 7.0]
    with pytest.raises(ValueError, match="'best'"):
        selection.score("best", row)


def run_fit(
    examples,
    folder,
    selector,
    *,
    recipe=RECIPE,
    listener=None,
    validate=None,
    rule="val_wga",
    objective=None,
    seconds=0.0,
    kind=None,
    params=(PARAMS,),
    **more,
):
    objective = objective or objectives.erm()
    made = program(kind=kind or Kind(objective.update, objective.networks))
    wga = iter([0.5, 0.7, 0.7])  # epochs 2 and 3 tie: the first is selected
    task = Task(
        name="test",
        seed=4,
        train=examples,
        group=group_ids(examples, 2),
        selector=selector,
        objective=objective,
        recipe=recipe,
        params=params,
        validate=validate or (lambda params: {"val_acc": 0.1, "val_wga": next(wga)}),
        rule=rule,
        **more,
    )
    checkpoints = Checkpoints(folder, seconds, pytest.fail)
    try:
        return fit(made, task, checkpoints, listener or Listener(lambda rows: None, lambda row: None))
    finally:
        checkpoints.close()


def test_selected_epoch_is_the_first_best(examples, tmp_path):
    fitted = run_fit(examples, tmp_path, selectors.everyone(40))
    assert fitted.epoch == 2
    assert [row["epoch"] for row in fitted.history] == [1, 2, 3]
    assert {row["draws"] for row in fitted.history} == {40}


@pytest.mark.parametrize(("first", "selected"), [(1, 2), (2, 2), (3, 3), (9, 3)])
def test_no_epoch_before_the_first_allowed_is_selected(first, selected, examples, tmp_path):
    selector = selectors.everyone(40)._replace(first=lambda epochs: first)
    fitted = run_fit(examples, tmp_path, selector)
    assert fitted.epoch == selected


def acting(change, *, due=(), first=None):
    """Everyone once; from epoch `change` on without the first 10 samples. It asks for scores at the epochs `due`."""

    def update(state, epoch, scores):
        state = state if epoch < change else np.where(np.arange(40) < 10, 0.0, 1.0)
        return state, state

    asks = lambda epoch: ("loss",) if epoch in due else ()  # noqa: E731
    return Selector(lambda examples: np.ones(40), asks, update, first)


def anew(epochs):
    """Other weights in every epoch; reported from epoch 2 on, it says."""

    def update(state, epoch, scores):
        return state, np.where(np.arange(40) == epoch, 2.0, 1.0)

    return Selector(lambda examples: (), lambda epoch: (), update, lambda epochs: 2)


# The best epoch on validation is the first, then the second, and so on: the earliest that may be reported is.
ACTING = {
    "never": (lambda: acting(9), 1),
    "without asking": (lambda: acting(3), 3),
    "at the last epoch": (lambda: acting(4), 4),
    "in a round": (lambda: acting(2, due=(2,)), 2),
    "a round after it acted": (lambda: acting(2, due=(3,)), 3),
    "saying when": (lambda: acting(3, first=lambda epochs: 2), 2),
    "anew in every epoch": (lambda: anew(4), 2),
    "in a chain": (lambda: selectors.chain(acting(3)), 3),
    "in a chain with another": (lambda: selectors.chain(selectors.everyone(40), acting(3)), 3),
    "in a chain in a chain": (
        lambda: selectors.chain(selectors.upsample(np.arange(40) < 3, 2), selectors.chain(acting(3))),
        3,
    ),
    "in a chain with one that says": (lambda: selectors.chain(anew(4), acting(3)), 3),
    "in a chain with one that says later": (
        lambda: selectors.chain(acting(2), acting(1, first=lambda epochs: 3)),
        3,
    ),
    "spared": (lambda: treatments.spare(acting(3), np.arange(40) < 5), 3),
}


@pytest.mark.parametrize("name", ACTING)
def test_no_model_from_before_the_selector_acted_is_reported(name, examples, tmp_path):
    selector, expected = ACTING[name][0](), ACTING[name][1]

    def fit_in(folder, listener=None):
        falling = iter([0.9, 0.8, 0.7, 0.6])
        return run_fit(
            examples,
            tmp_path / folder,
            selector,
            recipe=Recipe(0.05, 1e-2, 4),
            listener=listener,
            validate=lambda params: {"val_acc": 0.1, "val_wga": next(falling)},
        )

    fitted = fit_in("whole")
    assert fitted.epoch == expected
    assert fit_in("whole").epoch == expected  # read from its checkpoint


@pytest.mark.parametrize("weights", [np.ones(39), np.ones(41), 1.0])
@pytest.mark.parametrize("chained", [False, True])
def test_a_wrong_number_of_weights_is_one_line_with_both_lengths(weights, chained, examples, tmp_path):
    wrong = selectors.everyone(40)._replace(update=lambda state, epoch, scores: (state, weights))
    selector = selectors.chain(selectors.everyone(40), wrong) if chained else wrong
    with pytest.raises(UserError) as caught:
        run_fit(examples, tmp_path, selector)
    given = "a single number" if np.ndim(weights) == 0 else len(weights)
    assert f"{given} weights for 40 training samples in epoch 1" in str(caught.value)
    assert "\n" not in str(caught.value)
    if not chained:
        assert str(caught.value).startswith("test: ")


def test_the_draws_of_sets_are_told_of_every_epoch(examples, tmp_path):
    """Samples 0 to 9 are eliminated from epoch 2 on, 0 to 4 drawn three times before: by hand."""
    selector = selectors.chain(selectors.upsample(np.arange(40) < 5, 3), acting(2))
    sets = {"early": np.arange(40) < 20, "late": np.arange(40) >= 20, "none": np.zeros(40, bool)}
    fitted = run_fit(examples, tmp_path, selector, sets=sets)
    # (5 x 3 + 15) / 20, then 10 / 20
    assert [row["set_draws"] for row in fitted.history] == [
        {"early": 1.5, "late": 1.0, "none": None},
        {"early": 0.5, "late": 1.0, "none": None},
        {"early": 0.5, "late": 1.0, "none": None},
    ]
    assert [row["draws"] for row in fitted.history] == [50, 30, 30]
    assert all("elmf" not in row for row in fitted.history)  # there are no rounds


def test_a_round_tells_whom_it_eliminates(examples, tmp_path):
    """A selector that drops the first 10 samples at epoch 2, by a score."""

    def update(state, epoch, scores):
        state = np.where(np.arange(40) < 10, 0.0, 1.0) if scores is not None else state
        return state, state

    selector = Selector(lambda examples: np.ones(40), lambda epoch: ("loss",) if epoch == 2 else (), update)
    sets = {"early": np.arange(40) < 20, "late": np.arange(40) >= 20, "none": np.zeros(40, bool)}
    for _ in range(2):  # trained, then read from the checkpoint
        fitted = run_fit(examples, tmp_path, selector, sets=sets)
        assert [row.get("elmf") for row in fitted.history] == [
            None,
            {"early": 0.5, "late": 0.0, "none": None},
            None,
        ]
        assert fitted.weights.tolist() == [0.0] * 10 + [1.0] * 30


@pytest.mark.parametrize(
    "selector",
    {
        "JTT with lambda_up = 1": selectors.upsample(np.arange(40) < 9, 1),
        "JTT with an empty error set": selectors.upsample(np.zeros(40, bool), 50),
        "a chain that drops nothing": selectors.chain(selectors.fixed(np.ones(40)), selectors.everyone(40)),
    }.items(),
    ids=lambda item: item[0],
)
def test_is_erm(selector, examples, tmp_path):
    erm = run_fit(examples, tmp_path / "erm", selectors.everyone(40))
    same = run_fit(examples, tmp_path / "other", selector[1])
    equal(erm.params, same.params)
    assert [row["loss"] for row in erm.history] == [row["loss"] for row in same.history]


class CutOff(Exception):
    """Stands for a process that ends between two epochs."""


def cut(row):
    if row["epoch"] == 2:
        raise CutOff


@pytest.mark.parametrize(
    "objective",
    [objectives.erm(), objectives.group_dro(np.array([10, 10, 10, 10]), eta=0.5, adjustment=1.0)],
    ids=["erm", "group_dro"],
)
def test_cut_and_resumed_is_left_alone(objective, examples, tmp_path):
    everyone = selectors.everyone(40)

    def fit_in(name, listener=None):
        return run_fit(
            examples,
            tmp_path / name,
            everyone,
            objective=objective,
            listener=listener,
            validate=lambda params: {"val_acc": 0.0, "val_wga": float(jnp.sum(params["head"]["kernel"]))},
        )

    whole = fit_in("whole")
    with pytest.raises(CutOff):
        fit_in("cut", Listener(lambda rows: None, cut))
    began = []
    resumed = fit_in("cut", Listener(began.extend, lambda row: None))
    assert [row["epoch"] for row in began] == [1]
    equal(whole.params, resumed.params)
    assert whole.epoch == resumed.epoch
    assert [row["loss"] for row in whole.history] == [row["loss"] for row in resumed.history]


@pytest.mark.parametrize("stream", [False, True])
def test_sigterm_in_an_epoch_goes_on_in_it(stream, examples, tmp_path):
    """50 steps an epoch, of which the signal comes after the first SEGMENT of the second."""
    seen = []

    def sigterm(done, steps):
        seen.append((done, steps))
        if len(seen) == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    def fit_in(name, listener=None):
        return run_fit(
            examples,
            tmp_path / name,
            selectors.fixed(np.full(40, 20.0)),
            listener=listener,
            validate=lambda params: {"val_acc": 0.0, "val_wga": 0.0},
            rule="last",
            seconds=1e6,
            stream=stream,
        )

    def nothing(*_):
        pass

    whole = fit_in("whole")
    with pytest.raises(preemption.Preempted), preemption.heard(at_once=True):
        fit_in("cut", Listener(nothing, nothing, sigterm))
    assert seen == [(SEGMENT, 50), (50, 50), (SEGMENT, 50)]
    resumed = fit_in("cut", Listener(nothing, nothing, lambda *at: seen.append(at)))
    assert seen[3:] == [(50, 50), (SEGMENT, 50), (50, 50)]
    equal(whole.params, resumed.params)
    assert [row["loss"] for row in whole.history] == [row["loss"] for row in resumed.history]


def test_streamed_is_resident(examples, tmp_path):
    selector = selectors.upsample(np.arange(40) < 9, 20)
    resident, streamed = (
        run_fit(examples, tmp_path / str(stream), selector, stream=stream) for stream in (False, True)
    )
    close(resident.params, streamed.params, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        *([row["loss"] for row in one.history] for one in (resident, streamed)), rtol=1e-5
    )


def test_sigterm_ends_with_a_checkpoint_of_the_epoch_in_which_it_came(examples, tmp_path):
    def sigterm(row):
        if row["epoch"] == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    def fit_in(name, listener=None):
        return run_fit(
            examples,
            tmp_path / name,
            selectors.everyone(40),
            listener=listener,
            validate=lambda params: {"val_acc": 0.0, "val_wga": 0.0},
            rule="last",
            seconds=1e6,
        )

    whole = fit_in("whole")
    with pytest.raises(preemption.Preempted), preemption.heard(at_once=True):
        fit_in("cut", Listener(lambda rows: None, sigterm))
    began = []
    resumed = fit_in("cut", Listener(began.extend, lambda row: None))
    assert [row["epoch"] for row in began] == [1, 2]
    equal(whole.params, resumed.params)


def test_loss_that_is_not_finite_stops_with_place_and_mend(examples, tmp_path):
    with pytest.raises(
        UserError, match=r"test, seed 4: the loss is (nan|inf) at step \d of epoch 1; lower the learning"
    ):
        run_fit(examples, tmp_path, selectors.everyone(40), recipe=Recipe(1e30, 0.0, 3))


def test_parameters_spoilt_by_the_last_step_are_not_kept(examples, tmp_path):
    """One step an epoch: its loss is finite, the parameters that it leaves behind are not."""
    few = examples.take(np.arange(8))
    with pytest.raises(UserError, match="the parameters are not finite after step 1 of epoch 1"):
        run_fit(few, tmp_path, selectors.everyone(8), recipe=Recipe(1e38, 1e38, 3))
    assert not [path for path in tmp_path.iterdir() if path.name.isdigit()]


def test_second_epoch_recipe_weights_and_seed_compile_nothing(examples, tmp_path):
    run_fit(examples, tmp_path / "first", selectors.everyone(40))
    with compilations() as compiled:
        other = Recipe(0.01, 0.5, 3)
        run_fit(examples, tmp_path / "second", selectors.upsample(np.arange(40) < 7, 3), recipe=other)
        more = examples.append(examples.take(np.arange(3)))  # as poisons are appended
        run_fit(more, tmp_path / "third", selectors.everyone(43))
    assert compiled == []


def test_named_streams_do_not_depend_on_order_or_on_one_another():
    first = rng.generator(1, "order", 3).integers(0, 1000, 5)
    rng.generator(1, "other").random()
    np.testing.assert_array_equal(rng.generator(1, "order", 3).integers(0, 1000, 5), first)
    assert (rng.generator(1, "order", 4).integers(0, 1000, 5) != first).any()
    assert rng.name_id("order") == 0x3EEB7E96 >> 1  # the head of `printf order | sha256sum`
    assert not jnp.array_equal(jax.random.key_data(rng.key(0, "a")), jax.random.key_data(rng.key(0, "b")))


def test_begin_leaves_the_parameters_to_their_owner(examples):
    made = program()
    params = PARAMS
    state = made.begin((params,), RECIPE, (), None)
    assert isinstance(state, TrainState)
    equal(state.params, params)


def test_the_counter_of_compilations_counts():
    with compilations() as compiled:
        jax.jit(lambda x: x * 3.25 + 1)(jnp.arange(7.0)).block_until_ready()
    assert compiled


def test_small_images_are_scored_64_at_a_time_and_large_ones_16_on_a_cpu():
    assert [programs.score_chunk((side, side, 3)) for side in (8, 32, 64, 224)] == [64, 64, 64, 16]


def test_an_epoch_has_its_rate_also_after_a_resume(examples, tmp_path):
    """A step schedule to 0: the second epoch moves nothing, wherever the training was cut off."""
    recipe = RECIPE._replace(epochs=2, schedule="step", milestones=(1,), factor=0.0, weight_decay=0.0)
    seen = []

    def validate(params):
        seen.append(np.asarray(params["head"]["kernel"]))
        return {"val_acc": 0.0, "val_wga": 0.0}

    run_fit(examples, tmp_path / "a", selectors.everyone(40), recipe=recipe, validate=validate)
    assert np.abs(seen[0] - np.asarray(PARAMS["head"]["kernel"])).max() > 0
    moved = np.abs(seen[1] - seen[0]).max()
    assert moved == 0
    steady = recipe._replace(schedule="constant")
    run_fit(examples, tmp_path / "b", selectors.everyone(40), recipe=steady, validate=validate)
    np.testing.assert_array_equal(seen[2], seen[0])
    assert np.abs(seen[3] - seen[2]).max() > 0
