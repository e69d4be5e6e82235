"""The one exception that a user causes and a user can mend."""


class UserError(Exception):
    """Bad input: one line that names the value, the place and the mend.

    The command line prints it without a traceback and exits with code 2.
    """


def one_line(error: BaseException) -> str:
    """An error's type and the start of its message, on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:160]}" if text else type(error).__name__
