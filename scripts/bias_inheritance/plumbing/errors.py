"""The exception whose message is meant for the user."""


class UserError(Exception):
    """An error that the user can fix; its message is one line: what is wrong, where, and how to fix it.

    A step prints the message without a stack trace and leaves no output. Any other exception is a bug and is shown with its
    trace.
    """
