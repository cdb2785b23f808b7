"""Sentences that the operator should see on the dashboard until they no longer hold."""

from collections.abc import Callable

#: How many are kept; the oldest goes first.
MAX_NOTICES = 20


class Notices:
    """A bounded list of sentences, without repetitions, oldest first.

    :param changed: told all of them each time that they change.
    """

    def __init__(
        self, changed: Callable[[tuple[str, ...]], object] = lambda notices: None
    ) -> None:
        self._changed = changed
        self._notices: dict[str, None] = {}

    def add(self, sentence: str) -> None:
        """Show a sentence. Adding it again changes nothing."""
        if sentence in self._notices:
            return
        self._notices[sentence] = None
        while len(self._notices) > MAX_NOTICES:
            del self._notices[next(iter(self._notices))]
        self._changed(self.all())

    def remove(self, sentence: str) -> None:
        """Show it no more. Removing what is not there is fine."""
        if sentence in self._notices:
            del self._notices[sentence]
            self._changed(self.all())

    def all(self) -> tuple[str, ...]:
        """What is shown, oldest first."""
        return tuple(self._notices)
