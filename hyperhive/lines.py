"""Split a byte stream into lines, bounded, in time linear in what arrives."""

from collections.abc import Iterator


class LineTooLong(Exception):
    """A line passed the limit. What was held of it is dropped."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"a line is longer than the limit of {limit} bytes")
        self.limit = limit


class LineSplitter:
    """Give the complete lines of a stream, without their newline.

    Twisted's own line receivers add each chunk to one growing buffer and search
    it from its start, which is quadratic: a 16 MB line, which an agent can send,
    would stop the reactor for seconds. Here the parts of an unfinished line are
    kept in a list and joined once.

    :param limit: the longest line in bytes, without its newline.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._parts: list[bytes] = []
        self._held = 0
        self._behind = b""
        self._skipping = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take what arrived and give each line that it completes.

        Take all of what this gives before feeding more.

        :raises LineTooLong: when a line passes the limit, after the lines
            before it were given. The caller drops the connection or, with
            :meth:`skip`, the line.
        """
        start = 0
        if self._skipping:
            start = data.find(b"\n") + 1
            if not start:
                return
            self._skipping = False
        while (end := data.find(b"\n", start)) >= 0:
            line = data[start:end]
            start = end + 1
            if self._parts:
                self._parts.append(line)
                line = b"".join(self._parts)
                self._parts.clear()
                self._held = 0
            if len(line) > self.limit:
                self._behind = data[start:]
                raise LineTooLong(self.limit)
            yield line
        rest = data[start:]
        if rest:
            self._parts.append(rest)
            self._held += len(rest)
            if self._held > self.limit:
                self._parts.clear()
                self._held = 0
                self._skipping = True
                raise LineTooLong(self.limit)

    def skip(self) -> Iterator[bytes]:
        """Go on after a :class:`LineTooLong`: as :meth:`feed`, with what had arrived behind that line.

        If the line's end has not arrived yet, :meth:`feed` drops the rest of it.
        """
        behind, self._behind = self._behind, b""
        return self.feed(behind)

    def finish(self) -> bytes:
        """The unfinished line at the stream's end, empty if there is none."""
        line = b"".join(self._parts)
        self._parts.clear()
        self._held = 0
        return line
