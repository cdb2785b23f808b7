"""Errors whose text may be shown to a person or to an agent.

Everything else that is raised is a defect: it is logged with its traceback,
and whoever asked hears only that something went wrong.
"""

#: What is said of a defect to whoever asked.
DEFECT = "Something went wrong in the hive; its log says what."


class PublicError(Exception):
    """A sentence that a person can act on. The base of all that is shown."""


class BadRequest(PublicError):
    """What was asked is malformed: a wrong name, a missing field, a bad value."""


class NotFound(PublicError):
    """What was asked for does not exist."""


class Conflict(PublicError):
    """What was asked contradicts the present state (already there, already done)."""


class TooLarge(PublicError):
    """What was sent is over a limit; the text gives both numbers."""
