"""The one exception that a user causes and a user can mend."""

import sys


class UserError(Exception):
    """Bad input: one line that names the value, the place and the mend.

    The command line prints it without a traceback and exits with code 2.
    """


def message_of(error: BaseException) -> str:
    """An error's message on one line, whatever its `__str__` does."""
    try:
        return plain(" ".join(str(error).split()))
    except Exception as failure:
        return f"its message cannot be read: {type(failure).__name__}"


def plain(text: str) -> str:
    """Text as a terminal can be given it: no control characters, nothing that is not UTF-8."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def warn(message: str) -> None:
    """Tell, on standard error, what a user should know, where no progress is shown yet."""
    print(f"oilwater: warning: {plain(message)}", file=sys.stderr)


def one_line(error: BaseException) -> str:
    """An error's type and the start of its message, on one line."""
    text = message_of(error)
    return f"{type(error).__name__}: {text[:160]}" if text else type(error).__name__
