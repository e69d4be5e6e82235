"""`python -m oilwater_jax` is `oilwater`."""

from oilwater_jax.cli import main

main()
