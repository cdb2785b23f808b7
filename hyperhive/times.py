"""Times as the wire shows them: RFC 3339 in UTC."""

from datetime import UTC, datetime


def rfc3339(moment: float) -> str:
    """Spell a POSIX timestamp (seconds) as ``2026-01-31T12:00:00.123Z``."""
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
