"""The one exception that a user causes and a user can mend."""


class UserError(Exception):
    """Bad input: one line that names the value, the place and the mend.

    The command line prints it without a traceback and exits with code 2.
    """
