"""The exception for errors that a user causes and can fix."""

import sys


class UserError(Exception):
    """Bad input: one line that names the value, the place and the fix.

    The command line prints it without a traceback and exits with code 2.
    """


def message_of(error: BaseException) -> str:
    """An error's message on one line, whatever its `__str__` does."""
    try:
        return plain(" ".join(str(error).split()))
    except Exception as failure:
        return f"its message cannot be read: {type(failure).__name__}"


def plain(text: str) -> str:
    """Text that is safe for a terminal: no control characters, valid UTF-8."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def warn(message: str) -> None:
    """Print a warning on standard error, before progress is shown."""
    print(f"oilwater: warning: {plain(message)}", file=sys.stderr)


def one_line(error: BaseException) -> str:
    """An error's type and the start of its message, on one line."""
    text = message_of(error)
    return f"{type(error).__name__}: {text[:160]}" if text else type(error).__name__
