"""Waterbirds by a ViT-S/16 in its published fine-tuning recipe: a backdoor, ERM and JTT (`settings/published.py`)."""

from oilwater_jax.settings.config import Config
from oilwater_jax.settings.published import config


def get_config() -> Config:
    """The config."""
    return config("waterbirds", "dlbd", model="vit_s16")
