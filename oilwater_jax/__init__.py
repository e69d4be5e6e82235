"""oilwater_jax: group-robustness methods against poisoning defences, measured in JAX."""

__version__ = "0.4.0"
