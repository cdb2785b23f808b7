"""The windows of time that statistics look at, cut where the host's clock is round. Pure."""

from datetime import datetime, timedelta, tzinfo

from attrs import frozen

from hyperhive.errors import BadRequest


class UnknownWindow(BadRequest):
    """No window is called so; the text lists those that are."""


@frozen
class Bucket:
    """A stretch of time: from ``start`` on, before ``end`` (POSIX seconds)."""

    start: float
    end: float


@frozen
class Window:
    """So many buckets, of which the last is not over yet.

    :param bucket: ``hour``, ``6h`` or ``day``, by the clock on the host's wall: when
        that is changed, a bucket is an hour shorter or longer.
    """

    name: str
    bucket: str
    count: int

    def buckets(self, now: float, zone: tzinfo | None = None) -> tuple[Bucket, ...]:
        """Cut it, the oldest first.

        :param zone: ``None``: the host's own.
        """
        if self.bucket == "hour":
            edges = _hours(now, self.count, zone)
        else:
            edges = _wall_hours(now, self.count, 6 if self.bucket == "6h" else 24, zone)
        return tuple(map(Bucket, edges, edges[1:]))


WINDOWS = {
    window.name: window
    for window in (
        Window("24h", "hour", 24),
        Window("7d", "6h", 28),
        Window("30d", "day", 30),
    )
}


def window(name: str) -> Window:
    """The window of that name.

    :raises UnknownWindow:
    """
    try:
        return WINDOWS[name]
    except KeyError:
        raise UnknownWindow(
            f"{name[:20]!r} is no window; there are {', '.join(WINDOWS)}."
        ) from None


def today(now: float, zone: tzinfo | None = None) -> Bucket:
    """From the host's last midnight to its next one."""
    first, last = _wall_hours(now, 1, 24, zone)
    return Bucket(first, last)


def _hours(now: float, count: int, zone: tzinfo | None) -> list[float]:
    """Edges of the last hours. An hour is an hour: no change of clocks shortens it."""
    at = datetime.fromtimestamp(now, zone)
    into = at.minute * 60 + at.second + at.microsecond / 1e6
    last = round(now - into) + 3600
    return [float(last - 3600 * back) for back in range(count, -1, -1)]


def _wall_hours(now: float, count: int, step: int, zone: tzinfo | None) -> list[float]:
    """Edges where a clock on the wall shows a multiple of ``step`` hours."""
    at = datetime.fromtimestamp(now, zone)
    last = at.replace(
        hour=at.hour // step * step, minute=0, second=0, microsecond=0, fold=0
    )
    # Arithmetic on local times is the wall's: its days have 24 hours.
    return [
        (last + timedelta(hours=step * ahead)).timestamp()
        for ahead in range(1 - count, 2)
    ]
