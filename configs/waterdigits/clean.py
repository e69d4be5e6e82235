"""The phenomenon without an attack: ERM, JTT and two oracles that know the groups, on clean waterdigits.

oilwater run --config=configs/waterdigits/clean.py --workdir=runs/clean --seeds=5

About 3 minutes on 2 CPU cores. To expect (test, experiments/headline): WGA of ERM 54%, of JTT 84%, of the
group-balanced oracle 93%.
"""

from oilwater_jax import Config, default


def get_config() -> Config:
    """Default + delta."""
    config = default()
    config.attack.name = "none"
    config.jtt.lambda_up = 20.0  # as under the main job's attack
    config.rows = ("erm", "jtt", "balanced", "group_dro")
    return config
