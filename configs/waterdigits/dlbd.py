"""The main job: JTT under a dirty-label backdoor of 1% on waterdigits.

oilwater run --config=configs/waterdigits/dlbd.py --workdir=runs/first

About 50 seconds on 2 CPU cores. To expect (5 seeds, test, experiments/frontiers): net ASR of ERM 3%, of JTT 21%
(0 to 70 from seed to seed), of the same without the poisons 5%; IDNF of poisons 98%. The attack at its strongest:
--config.jtt.lambda_up=50 or --config.train.select=last.

Any other row under the same attack: --config.rows=erm,epic,epic+jtt,epic/george,george:ideal
"""

from oilwater_jax import Config, default


def get_config() -> Config:
    """Default + delta."""
    config = default()
    config.attack.name = "dlbd"
    config.attack.budget = 0.01
    # A trigger in a colour that neither photograph has, away from the edge that random shifts cut off.
    config.dlbd.size = 5
    config.dlbd.margin = 2
    config.dlbd.colour = (255, 0, 255)
    config.dlbd.opacity = 0.35  # chosen on validation by experiments/headline/headline.py
    # Of 3, 5, 10, 20, 50 the one of highest validation WGA (experiments/frontiers); with 50, which earlier versions had
    # here, net ASR is 81%.
    config.jtt.lambda_up = 20.0
    config.epic.ratio = 0.3  # chosen on validation by experiments/frontiers, ratio_dlbd
    config.epic.stop_after = 5
    return config
