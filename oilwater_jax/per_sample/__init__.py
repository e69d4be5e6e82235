"""Per-sample figures: each written for ONE sample; vmapped and chunked in `chunks.py` and nowhere else.

Stage: one pass over a data set with frozen parameters, in evaluation mode, without augmentation.

For any network without coupling between the samples of a batch (batch normalisation frozen), from parameters and
images to the norm of every sample's gradient over all parameters:

    from oilwater_jax import per_sample
    from oilwater_jax.models.cnn import CNN

    network = CNN(n_classes=2)
    apply = lambda params, images: network.apply({"params": params}, images)  # -> (logits, features)
    params = network.init(jax.random.key(0), jnp.zeros((1, *images.shape[1:])))["params"]
    norms = per_sample.gradient_norms(apply, params, images, labels, prepare=lambda x: x / 255)

Make `apply` and `prepare` once: what is compiled is kept by them. Inputs stay on the host (a np.memmap will do) and
only a chunk is on the device; results are NumPy arrays. Several devices share every chunk. All functions raise
ValueError for no samples; parameters that are not finite yield figures that are not finite.

`make_scorer` offers the same figures by name; its names are the functions' in the singular.
"""

from oilwater_jax.per_sample.chunks import Apply, Prepare, activation_bytes, gradient_chunk
from oilwater_jax.per_sample.distances import LastLayer, distance_blocks, pairwise_distances
from oilwater_jax.per_sample.figures import (
    FROM_LOGITS,
    Params,
    correct,
    flat_gradient,
    gradient_cosine,
    gradient_norm,
    last_layer_gradient,
    loss,
    margin,
)
from oilwater_jax.per_sample.passes import (
    flat_gradients,
    gradient_cosines,
    gradient_norms,
    gradients,
    last_layer_gradients,
    last_layer_weight_gradients,
    losses,
    margins,
    projected_gradients,
)
from oilwater_jax.per_sample.projection import Projection
from oilwater_jax.per_sample.scores import NAMES, Scorer, make_scorer

__all__ = [
    "FROM_LOGITS",
    "NAMES",
    "Apply",
    "LastLayer",
    "Params",
    "Prepare",
    "Projection",
    "Scorer",
    "activation_bytes",
    "correct",
    "distance_blocks",
    "flat_gradient",
    "flat_gradients",
    "gradient_chunk",
    "gradient_cosine",
    "gradient_cosines",
    "gradient_norm",
    "gradient_norms",
    "gradients",
    "last_layer_gradient",
    "last_layer_gradients",
    "last_layer_weight_gradients",
    "loss",
    "losses",
    "make_scorer",
    "margin",
    "margins",
    "pairwise_distances",
    "projected_gradients",
]
