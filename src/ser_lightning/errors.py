"""The one exception whose message is meant for the user."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one line that says what came, what was expected and what to do, with the path. The commands
    print it without a traceback and exit with 1.
    """
