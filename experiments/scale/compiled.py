"""The programs of this folder's plans one by one, what the plans hang on first: memory, traffic and time of each.

python experiments/scale/compiled.py

Compiles what no plan has compiled before, for the chips of a v5e:2x4, minutes each on a CPU core; adds each to
compiled.json as it is done. It may be cut off at any time and goes on. The plans (plans.py) then find the compiler's
answers in the cache folder.
"""

import json
import os
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"

from plans import PLANS

from oilwater_jax import load
from oilwater_jax.planning import chips, kept, programs, report, roofline, sizes
from oilwater_jax.reporting.progress import Progress

HERE = Path(__file__).parent
ORDER = (  # plan, program, chips
    ("waterbirds", "train step", 1),
    ("celeba_gm", "GM crafting step, pixels", 1),
    ("celeba_gm", "GM crafting step, gradient", 1),
    ("waterbirds_bfloat16", "train step", 1),
    ("waterbirds", "train step", 8),
    ("waterbirds", "scoring chunk", 1),
    ("waterbirds", "GM crafting step", 1),
    ("celeba", "train step", 1),
    ("waterbirds_bfloat16", "train step", 8),
    ("waterbirds_bfloat16", "scoring chunk", 1),
    ("waterbirds_bfloat16", "GM crafting step", 1),
    ("celeba", "train step", 8),
)


def main() -> None:
    """All of ORDER."""
    target, place = chips.find("v5e:2x4"), HERE / "compiled.json"
    for plan, name, count in ORDER:
        file, *settings = PLANS[plan]
        fields = {one.partition("=")[0]: one.partition("=")[2] for one in (*settings, "model.init_from=")}
        config = load(str(HERE.parent.parent / file), fields)
        planned = programs.plan(config, sizes.find(config), target)
        (one,) = (found for found in planned if (found.name, found.chips) == (name, count))
        with Progress(print) as progress:
            _, text, lowered, said = report.ask(one, target, progress)
        if said is None:
            said = report.compile_one(one, lowered)
            kept.write(kept.key(text, target.name), said)
        refusal = said.get("refusal")
        cost = roofline.refused(refusal, one.known) if refusal else roofline.measure(said, one.known)
        assert cost is not None
        least = roofline.least_time(cost, target.chip)
        known = json.loads(place.read_text()) if place.exists() else {}
        known[f"{plan}: {name}, {count} chips"] = {
            "note": one.note,
            "memory_gb": cost.total / 1e9,
            "fits": roofline.fits(cost, target.chip),
            "moved_gb": cost.moved and cost.moved / 1e9,
            "gflop": cost.flops and cost.flops / 1e9,
            "ms": least and 1e3 * least.seconds,
            "bound": least and least.bound,
            "of_peak": least and least.share,
            "compile_seconds": said["seconds"],
        }
        place.write_text(json.dumps(known, indent=1) + "\n")
        print(plan, name, count, known[f"{plan}: {name}, {count} chips"], flush=True)


if __name__ == "__main__":
    main()
