"""A network of one's own: one hidden layer; and a score of one's own, how sure the network is of its answer."""

import flax.linen as nn
import jax

import oilwater_jax as ow


class Line(nn.Module):
    """Pixels to `width` features to logits."""

    n_classes: int
    width: int

    @nn.compact
    def __call__(self, image, mask=None):
        """Logits and features."""
        features = nn.relu(nn.Dense(self.width)(image.reshape(len(image), -1)))
        return nn.Dense(self.n_classes, name="head")(features), features


LINE = ow.Model(
    name="line",
    help="one hidden layer",
    fields={"width": ow.Field(16, "hidden units", 1, 4096)},
    build=lambda config, n_classes, dtype: Line(n_classes, config.line.width),
    features=lambda config: config.line.width,
)
SURENESS = ow.Score(
    name="sureness",
    help="largest probability of a sample",
    figure=lambda logits, label: jax.nn.softmax(logits).max(),
)
