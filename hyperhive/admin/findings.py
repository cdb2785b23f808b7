"""What an examination of the host tells, line by line."""

from attrs import frozen

#: What a finding can be; only a problem counts.
OK, NOTE, PROBLEM = "ok", "note", "problem"


@frozen
class Finding:
    """One line of the report.

    :param mark: :data:`OK`, :data:`NOTE` or :data:`PROBLEM`.
    :param remedy: what to do about a problem, where the text does not say it.
    """

    subject: str
    mark: str
    text: str
    remedy: str | None = None
