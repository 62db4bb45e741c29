"""The one exception that is meant for the user."""


class UserError(Exception):
    """A fault that the user can mend: one line that says what, where, and what would do.

    A step prints it without a stack trace and leaves no output behind. Any other exception is a fault of the program
    and keeps its trace.
    """
