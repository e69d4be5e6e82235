"""The run-time type checker of the test session: as static checkers do, it takes an int for a float."""

from beartype import BeartypeConf, beartype

checker = beartype(conf=BeartypeConf(is_pep484_tower=True))
