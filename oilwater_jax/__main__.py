"""`python -m oilwater_jax` is `oilwater`."""

from typing import NoReturn

from oilwater_jax import preemption


def main() -> NoReturn:
    """Run the command. Ctrl-C and SIGTERM end it with one line, from the start."""
    with preemption.heard(at_once=True):
        from oilwater_jax.cli import main as run

        run()


if __name__ == "__main__":
    main()
