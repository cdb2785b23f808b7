"""Figures and moments as people read them in a terminal."""

from datetime import UTC, datetime


def seconds_since(moment: object, now: float) -> float | None:
    """How long ago an RFC 3339 time was; ``None`` if it is none."""
    at = _parsed(moment)
    return None if at is None else now - at.timestamp()


def clock(moment: object, now: float) -> str:
    """The local time, with the day if it is another one: ``14:05``, ``Feb 3 14:05``."""
    at = _parsed(moment)
    if at is None:
        return "?"
    local = at.astimezone()
    today = datetime.fromtimestamp(now, UTC).astimezone().date() == local.date()
    time = f"{local:%H:%M}"
    return time if today else f"{local:%b} {local.day} {time}"


def seconds_clock(moment: object) -> str:
    """The local time to the second: ``14:05:59``."""
    at = _parsed(moment)
    return "?" if at is None else f"{at.astimezone():%H:%M:%S}"


def duration(seconds: float) -> str:
    """``12s``, ``4m``, ``2h05m``, ``3d``."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d"


def took(milliseconds: float) -> str:
    """``830 ms``, ``12.3 s``, ``4m05s``."""
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.1f} s"
    seconds = round(milliseconds / 1000)
    return f"{seconds // 60}m{seconds % 60:02}s"


def count(number: float) -> str:
    """``950``, ``12.3k``, ``200k``, ``1.5M``."""
    if number < 1000:
        return f"{number:.0f}"
    if number < 100_000:
        return f"{number / 1000:.1f}k"
    if number < 1_000_000:
        return f"{number / 1000:.0f}k"
    return f"{number / 1_000_000:.1f}M"


def plural(number: int, word: str) -> str:
    """``1 line``, ``2 lines``."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def _parsed(moment: object) -> datetime | None:
    if not isinstance(moment, str):
        return None
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
