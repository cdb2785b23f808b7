"""Sentences that the operator should see on the dashboard until they no longer hold."""

from collections.abc import Callable

#: How many are kept; the oldest goes first.
MAX_NOTICES = 20


class Notices:
    """A bounded list of sentences, without repetitions, oldest first."""

    def __init__(self) -> None:
        self._notices: dict[str, None] = {}
        self._watchers: list[Callable[[tuple[str, ...]], object]] = []

    def watch(self, watcher: Callable[[tuple[str, ...]], object]) -> None:
        """Tell ``watcher`` all of them each time that they change."""
        self._watchers.append(watcher)

    def add(self, sentence: str) -> None:
        """Show a sentence. Adding it again changes nothing."""
        if sentence in self._notices:
            return
        self._notices[sentence] = None
        while len(self._notices) > MAX_NOTICES:
            del self._notices[next(iter(self._notices))]
        self._tell()

    def remove(self, sentence: str) -> None:
        """Show it no more. Removing what is not there is fine."""
        if sentence in self._notices:
            del self._notices[sentence]
            self._tell()

    def all(self) -> tuple[str, ...]:
        """What is shown, oldest first."""
        return tuple(self._notices)

    def _tell(self) -> None:
        for watcher in self._watchers:
            watcher(self.all())
