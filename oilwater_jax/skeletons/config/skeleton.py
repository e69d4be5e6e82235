"""An experiment: ERM, JTT and the defence EPIc under a dirty-label backdoor on waterdigits.

oilwater run --config=skeleton.py --workdir=runs/skeleton

In seconds: --config.smoke=true. All fields: oilwater run --help-config
"""

from oilwater_jax import Config, default


def get_config() -> Config:
    """The defaults, and what differs from them."""
    config = default()
    config.data.name = "waterdigits"
    config.attack.name = "dlbd"
    config.attack.budget = 0.01  # poisons / clean training samples
    config.rows = ("erm", "jtt", "epic+jtt", "jtt:ideal")
    return config
