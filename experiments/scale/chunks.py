"""How much memory, traffic and time a chunk of per-sample gradients takes on a TPU v5e, by its rows.

python experiments/scale/chunks.py 5 16 44

Compiles the pass for gradient norms of ResNet-50 (float32, 224 x 224), for one chip, with the TPU's own compiler; adds
a line for each number of rows to chunks.json. Minutes each on a CPU core; needs no TPU.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"

import jax

from oilwater_jax import load
from oilwater_jax.per_sample import activation_bytes
from oilwater_jax.per_sample.chunks import Backward, program
from oilwater_jax.per_sample.scores import Named
from oilwater_jax.planning import chips, programs, roofline
from oilwater_jax.training.program import network

HERE = Path(__file__).parent
CONFIG = str(HERE.parent.parent / "configs/waterbirds/gm.py")
SHAPE = (224, 224, 3)


def measure(rows: int) -> dict:
    """What the compiler says of a chunk of so many rows."""
    target = chips.find("v5e:2x4").one
    net = network(load(CONFIG, {"model.init_from": ""}), SHAPE, 2)
    params = jax.eval_shape(lambda: net.init_params(0))
    layout = programs.Layout(target)
    per_chunk = Backward(net.apply, net.prepare, Named(("gradient_norm",)), target.platform)
    arguments = (
        layout.whole(params),
        (),
        layout.cut((rows, *SHAPE), jax.numpy.uint8),
        layout.cut((rows,), jax.numpy.int32),
    )
    began = time.monotonic()
    with chips.quiet():
        said = roofline.said(program(per_chunk, layout.mesh).lower(*arguments).compile())
    cost = roofline.measure(said, {})
    least = roofline.least_time(cost, target.chip)
    assert least is not None
    return {
        "memory_gb": cost.total / 1e9,
        "gflop": said["flops"] / 1e9,
        "moved_gb": said["moved"] / 1e9,
        "ms_a_sample": 1e3 * least.seconds / rows,
        "bound": least.bound,
        "compile_seconds": round(time.monotonic() - began),
        "gradient_mb": programs.nbytes(params) / 1e6,
        "activation_mb": activation_bytes(net.apply, params, SHAPE) / 1e6,
    }


def main() -> None:
    """The numbers of rows that are given."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", type=int, nargs="+")
    place = HERE / "chunks.json"
    for rows in parser.parse_args().rows:
        found = measure(rows)
        known = json.loads(place.read_text()) if place.exists() else {}
        known[str(rows)] = found
        ordered = sorted(known.items(), key=lambda item: int(item[0]))
        place.write_text(json.dumps(dict(ordered), indent=1) + "\n")
        print(rows, found, flush=True)


if __name__ == "__main__":
    main()
