"""The one error type for bad input, so that every message to a user reads the same way."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one or two sentences: what is wrong, and what to do about it. Commands print
    it without a traceback; notebooks show it as the last line of the failing cell.
    """
