"""The root of all errors that explain themselves to a user."""


class ExplainedError(Exception):
    """Something went wrong that a user can act on: the message says what happened, to what, and what to do next."""
