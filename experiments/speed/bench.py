"""Our side and PyTorch's of an epoch, per-sample gradients and a crafting step; first checked to compute the same."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch  # pyright: ignore[reportMissingImports]
import torch_side
from turns import Row, alternate, fastest, rows, same, timed

from oilwater_jax import data, default, objectives, per_sample
from oilwater_jax.attacks import crafting, matching
from oilwater_jax.attacks.augment import augment
from oilwater_jax.attacks.gradient_matching import first_step
from oilwater_jax.training import program as programs
from oilwater_jax.training.feed import place
from oilwater_jax.training.recipes import Form, optimiser, random_shift
from oilwater_jax.training.step import Kind, make_step
from oilwater_jax.types import Recipe

BATCH_CHUNKS = (32, 64, 128, 256)  # of torch.func, whose best is taken
BARE_STEPS = 100
POISONS = 47  # 1% of the training set, as in the main job


class Bench:
    """The model, the images and both sides' programs."""

    def __init__(self, name: str, source: str, threads: int, *, smoke: bool, repeats: int) -> None:
        torch.set_num_threads(threads)
        self.repeats = repeats
        self.config = default()
        self.train = data.load(name, source=source, smoke=smoke).train
        self.image = np.asarray(self.train.image)
        shape = self.train.image.shape[1:]
        self.network = programs.network(self.config, shape, 2)
        self.program = programs.build(self.config, shape, 2)
        self.recipe, self.begin_objective = Recipe(**self.config.erm), objectives.erm().init
        self.params = self.network.init_params(0)
        self.widths = tuple(self.config.cnn.widths)

    def torch_network(self, params: Any, *, channels_last: bool) -> Any:
        """PyTorch's network with the weights `params`."""
        return torch_side.network(jax.device_get(params), self.widths, 2, channels_last=channels_last)

    def begin(self) -> Any:
        """A training state of its own: an epoch donates it."""
        return jax.tree.map(
            jnp.array, self.program.begin((self.params,), self.recipe, self.begin_objective(), None)
        )

    def epoch(self) -> list[Row]:
        """(a) A training epoch, as `fit` runs it: shuffled rows, random shifts, the loss of each step fetched."""
        train, settings = self.train, self.config.train
        resident = place(train.image, train.label, np.zeros(len(train), np.int32))
        draws = np.random.default_rng(0).permutation(len(train))
        key = jax.random.key(0)
        segments = list(self.program.epoch(self.begin(), resident, draws, key, 0))
        state, losses = segments[-1][0], np.concatenate([some for _, some, _ in segments])
        keys = [jax.random.fold_in(key, i) for i in range(len(losses))]
        corners = [
            np.asarray(jax.random.randint(one, (settings.batch, 2), 0, 2 * settings.shift + 1))
            for one in keys
        ]
        sides = {}
        for layout, last in (("PyTorch", False), ("PyTorch, channels last", True)):
            sides[layout] = torch_side.Training(
                self.torch_network(self.params, channels_last=last),
                self.image,
                train.label,
                batch=settings.batch,
                shift=settings.shift,
                recipe=self.recipe,
                momentum=settings.momentum,
            )
            same(f"losses of an epoch, {layout}", losses, sides[layout].epoch(draws, corners), 1e-3)
        sides["PyTorch, torch.compile"] = sides["PyTorch"].compiled()
        self.params = jax.tree.map(np.asarray, state.params)  # what all later parts start from

        def ours() -> None:
            nonlocal state
            for now, _, _ in self.program.epoch(state, resident, draws, key, 0):
                state = now

        runs = {"ours": timed(ours)}
        runs |= {name: timed(lambda side=side: side.epoch(draws)) for name, side in sides.items()}
        times = alternate(runs, self.repeats)
        return [
            *rows("a", f"a training epoch of {len(draws):,}", times, "ours", list(sides), 0.65),
            *self.anatomy(),
        ]

    def anatomy(self) -> list[Row]:
        """(a) What of a training step is its batch, its forward pass and its gradient."""
        own, shift, train = self.network, self.config.train.shift, self.train
        pixels, label = jnp.asarray(train.image), jnp.asarray(train.label[: self.config.train.batch])
        at, key = jnp.arange(len(label)), jax.random.key(0)
        batch = jax.jit(lambda at: own.prepare(random_shift(pixels[at], key, shift)))
        image = batch(at)

        def mean_loss(params: per_sample.Params, image: jax.Array) -> jax.Array:
            return jnp.mean(jax.vmap(per_sample.loss)(own.forward(params, image)[0], label))

        forward, gradient = jax.jit(mean_loss), jax.jit(jax.grad(mean_loss))

        def repeated(call: Callable[[], Any]) -> Callable[[], float]:
            return lambda: (
                timed(lambda: [jax.block_until_ready(call()) for _ in range(BARE_STEPS)])() / BARE_STEPS
            )

        times = alternate(
            {
                "its batch: gather, shift, normalise": repeated(lambda: batch(at)),
                "forward pass": repeated(lambda: forward(self.params, image)),
                "gradient, forward pass included": repeated(lambda: gradient(self.params, image)),
                "all of it": self.step(),
            },
            self.repeats,
        )
        return [
            Row("a", "of one training step", what, statistics.median(own), min(own))
            for what, own in times.items()
        ]

    def norms(self) -> list[Row]:
        """(b) Norms of the gradients of all training samples in all parameters."""
        train, own = self.train, self.network
        peers = {
            layout: torch_side.PerSample(
                self.torch_network(self.params, channels_last=last), self.image, train.label
            )
            for layout, last in (("contiguous", False), ("channels last", True))
        }

        def ours() -> Any:
            return per_sample.gradient_norms(
                own.apply, self.params, train.image, train.label, prepare=own.prepare
            )

        for layout, peer in peers.items():
            same(f"norms, {layout}", ours(), peer.norms(64), 1e-4)
        tries = {
            (layout, chunk): timed(lambda peer=peer, chunk=chunk: peer.norms(chunk))
            for layout, peer in peers.items()
            for chunk in BATCH_CHUNKS
        }
        layout, chunk = fastest(tries)
        best = f"torch.func, {layout}, chunk {chunk}"
        times = alternate({"ours": timed(ours), best: tries[layout, chunk]}, self.repeats)
        return rows("b", f"gradient norms of {len(train):,}", times, "ours", [best], 0.7)

    def last_layer(self) -> list[Row]:
        """(c) Gradients in the last layer: from the images, and from what the last layer sees."""
        train, own = self.train, self.network
        given = (own.forward, self.params, train.image, train.label)
        peer = torch_side.PerSample(
            self.torch_network(self.params, channels_last=True), self.image, train.label
        )
        scores = own.score(self.params, train, ("logits", "features"))
        closed_form = jax.jit(jax.vmap(per_sample.last_layer_gradient))

        def from_images() -> Any:
            return per_sample.last_layer_weight_gradients(*given, prepare=own.prepare)

        given_features = per_sample.last_layer_weight_gradients(*given, prepare=own.prepare).features

        def from_logits() -> Any:
            return per_sample.LastLayer(
                np.asarray(closed_form(scores["logits"], train.label)), given_features
            )

        def full() -> None:
            per_sample.gradients(own.apply, *given[1:], prepare=own.prepare)

        for ours in (from_images(), from_logits()):
            outer = np.einsum("nd,nk->nkd", ours.features, ours.error)
            for found in (peer.last_layer(64), peer.last_layer_of(scores["features"], 4096)):
                same(
                    "last layer's gradients",
                    outer,
                    np.concatenate([found[0], found[1][..., None]], axis=2),
                    1e-4,
                )
        image_chunk = fastest(
            {chunk: timed(lambda chunk=chunk: peer.last_layer(chunk)) for chunk in BATCH_CHUNKS}
        )
        times = alternate(
            {
                "ours, forward pass and closed form": timed(from_images),
                "ours, closed form": timed(from_logits),
                f"torch.func from the images, chunk {image_chunk}": timed(
                    lambda: peer.last_layer(image_chunk)
                ),
                "torch.func from the features": timed(lambda: peer.last_layer_of(scores["features"], 4096)),
                "ours, vmap(grad) in all parameters": timed(full),
            },
            self.repeats,
        )
        passing, closed, images, features, everything = times
        what = f"last layer's gradients of {len(train):,}"
        found = rows("c", f"{what}, from the images", times, passing, [images, everything], 0.1)
        return found + rows(
            "c", f"{what}, given the forward pass", times, closed, [features, everything], 0.1
        )

    def crafting(self) -> list[Row]:
        """(d) A step of gradient matching, all restarts, as `craft` runs it."""
        gm, own, train = self.config.gm, self.network, self.train
        chosen = np.flatnonzero(train.label == 0)[:POISONS]
        image, label = train.image[chosen], train.label[chosen]
        aim = np.flatnonzero(train.label == 1)[:1]
        wanted = matching.target_gradient(own.apply, own.prepare, self.params, train.image[aim], 0)
        shift = float(self.config.train.shift)
        problem = matching.Problem(self.params, wanted, jnp.asarray(label), shift, False)
        pixels = image.astype(np.float32)

        def theirs(*, channels_last: bool) -> torch_side.Crafting:
            return torch_side.Crafting(
                self.torch_network(self.params, channels_last=channels_last),
                image,
                label,
                torch_side.in_order(self.torch_network(wanted, channels_last=False)),
                restarts=gm.restarts,
                eps=gm.eps,
                rate=first_step(gm) * gm.eps,
                shift=shift,
            )

        peers = {"PyTorch": theirs(channels_last=False), "PyTorch, channels last": theirs(channels_last=True)}
        both = jax.jit(matching.loss_and_pixel_gradient, static_argnums=(0, 1))
        key = jax.random.key(1)
        loss, gradient = both(own.apply, own.prepare, problem, jnp.asarray(pixels), key)
        move = shift * np.asarray(
            jax.random.uniform(jax.random.split(key)[0], (len(image), 2), jnp.float32, -1.0, 1.0)
        )
        for name, peer in peers.items():
            moved = augment(jnp.asarray(pixels), key, shift, False)
            same(
                f"augmented images, {name}", moved, peer.moved(torch.tensor(pixels), torch.tensor(move)), 1e-4
            )
            found = peer.loss_and_pixel_gradient(torch.tensor(pixels, requires_grad=True), torch.tensor(move))
            same(f"matching loss, {name}", loss, found[0].numpy(), 1e-4)
            same(f"pixel gradient, {name}", gradient, found[1].numpy(), 5e-3)
        settings = crafting.Settings(
            gm.eps, 3 * crafting.LISTEN_EVERY, gm.restarts, first_step(gm), shift, gm.flip
        )

        def ours() -> float:
            """Seconds of a step: from the first report of `craft` to its last."""
            heard: list[tuple[int, int, float]] = []
            crafting.craft(
                own.apply,
                own.prepare,
                self.params,
                image=image,
                label=label,
                target_gradient=wanted,
                settings=settings,
                key=key,
                listener=lambda step, of, loss: heard.append((step, of, time.perf_counter())),
            )
            done = (heard[-1][0] - heard[0][0]) * settings.steps / heard[-1][1]  # by all restarts
            return (heard[-1][2] - heard[0][2]) / done

        runs: dict[str, Callable[[], float]] = {"ours": ours}
        for name, peer in peers.items():
            runs[name] = lambda peer=peer: timed(lambda: [peer.step() for _ in range(10)])() / 10
        what = f"a crafting step, {len(image)} poisons, {gm.restarts} restarts"
        return rows("d", what, alternate(runs, self.repeats), "ours", list(peers), 0.7)

    def step(self) -> Callable[[], float]:
        """Seconds of a bare jitted training step: its arithmetic, called over and over on the same rows."""
        settings, own, train = self.config.train, self.network, self.train
        resident = place(train.image, train.label, np.zeros(len(train), np.int32))
        rule = optimiser(settings.momentum, Form())(self.recipe)
        kind = Kind(objectives.erm_update)
        pure = make_step(own.train_apply, own.apply, own.prepare, rule, kind, settings.shift)
        jitted = jax.jit(
            lambda state, data, rows, mask, key: pure(state, data.batch(rows, mask), key), donate_argnums=0
        )
        state, key = self.begin(), jax.random.key(0)
        rows, mask = (jax.device_put(x) for x in (np.arange(settings.batch), np.ones(settings.batch, bool)))

        def steps() -> None:
            nonlocal state
            for _ in range(BARE_STEPS):
                state, _ = jitted(state, resident, rows, mask, key)
            jax.block_until_ready(state)

        steps()
        return lambda: timed(steps)() / BARE_STEPS
