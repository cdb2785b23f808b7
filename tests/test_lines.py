"""Lines: bounded, in any chunks, and in time linear in what arrives."""

import sys
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.lines import LineSplitter, LineTooLong


class LineTests(SynchronousTestCase):
    """What is given for what arrives."""

    def test_lines_without_their_newline(self) -> None:
        """Each complete line is given once; the rest is held."""
        splitter = LineSplitter(10)
        self.assertEqual(list(splitter.feed(b"one\ntwo\nthr")), [b"one", b"two"])
        self.assertEqual(list(splitter.feed(b"ee\n\n")), [b"three", b""])
        self.assertEqual(splitter.finish(), b"")

    def test_unfinished_line_at_the_end(self) -> None:
        """What has no newline is given at the end, once."""
        splitter = LineSplitter(10)
        list(splitter.feed(b"a\nre"))
        list(splitter.feed(b"st"))
        self.assertEqual(splitter.finish(), b"rest")
        self.assertEqual(splitter.finish(), b"")

    @given(
        st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b""))),
        st.lists(st.integers(0, 200)),
    )
    def test_chunks_do_not_matter(self, lines: list[bytes], cuts: list[int]) -> None:
        """However the stream is cut, the same lines come."""
        stream = b"".join(line + b"\n" for line in lines)
        places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
        splitter = LineSplitter(20)
        given: list[bytes] = []
        for start, end in pairwise(places):
            given += splitter.feed(stream[start:end])
        self.assertEqual(given, lines)
        self.assertEqual(splitter.finish(), b"")


class LimitTests(SynchronousTestCase):
    """Lines that are too long."""

    def refused(self, feed: Iterable[bytes]) -> list[bytes]:
        """What was given before the line that was too long."""
        given = []
        with self.assertRaises(LineTooLong) as caught:
            for line in feed:
                given.append(line)  # noqa: PERF402  # kept when it raises
        self.assertEqual(caught.exception.limit, 5)
        self.assertIn("5 bytes", str(caught.exception))
        return given

    def test_the_limit_itself_is_allowed(self) -> None:
        """A line of exactly the limit passes, in one piece or several."""
        splitter = LineSplitter(5)
        self.assertEqual(list(splitter.feed(b"12345\n")), [b"12345"])
        self.assertEqual(list(splitter.feed(b"123")), [])
        self.assertEqual(list(splitter.feed(b"45\n")), [b"12345"])

    def test_lines_before_it_are_given(self) -> None:
        """What came complete before the long line is not lost."""
        splitter = LineSplitter(5)
        self.assertEqual(
            self.refused(splitter.feed(b"a\nb\n123456\nc\n")), [b"a", b"b"]
        )

    def test_goes_on_behind_it(self) -> None:
        """After skip, the lines behind a long one come, also those that had arrived."""
        splitter = LineSplitter(5)
        self.refused(splitter.feed(b"123456\nc\nd"))
        self.assertEqual(list(splitter.skip()), [b"c"])
        self.assertEqual(list(splitter.feed(b"e\n")), [b"de"])

    def test_goes_on_when_its_end_arrives(self) -> None:
        """The rest of a long line is dropped however late it comes."""
        splitter = LineSplitter(5)
        self.assertEqual(list(splitter.feed(b"123")), [])
        self.refused(splitter.feed(b"456"))
        self.assertEqual(list(splitter.skip()), [])
        self.assertEqual(list(splitter.feed(b"789" * 10)), [])
        self.assertEqual(list(splitter.feed(b"0\nnext\n")), [b"next"])

    def test_a_line_of_parts_is_measured_whole(self) -> None:
        """A line that passes the limit only with its last part is refused."""
        splitter = LineSplitter(5)
        self.assertEqual(list(splitter.feed(b"1234")), [])
        self.refused(splitter.feed(b"56\nok\n"))
        self.assertEqual(list(splitter.skip()), [b"ok"])

    def test_two_long_lines_at_once(self) -> None:
        """Each long line is reported."""
        splitter = LineSplitter(5)
        self.refused(splitter.feed(b"1234567\n89012345\nok\n"))
        self.refused(splitter.skip())
        self.assertEqual(list(splitter.skip()), [b"ok"])

    def test_holds_no_more_than_the_limit(self) -> None:
        """A line without an end does not fill the memory."""
        splitter = LineSplitter(5)
        self.refused(splitter.feed(b"1" * 100))
        for _ in range(100):
            self.assertEqual(list(splitter.feed(b"1" * 100)), [])
        self.assertEqual(splitter.finish(), b"")


class Chunk(bytes):
    """Bytes that no one may add to others: that would copy all of them, each time."""

    def __add__(self, other: object) -> bytes:
        raise AssertionError("chunks were added")

    def __radd__(self, other: object) -> bytes:
        raise AssertionError("chunks were added")


class LinearTests(SynchronousTestCase):
    """The work for a long line, counted."""

    def test_one_join_and_one_search_for_each_byte(self) -> None:
        """A line in 1,000 chunks is joined once, and no byte is searched twice."""
        work = {"joins": 0, "searched": 0}

        def profile(frame: Any, event: str, function: Any) -> None:
            if event != "c_call":
                return
            if function.__name__ == "join":
                work["joins"] += 1
            elif function.__name__ in ("find", "index", "split", "partition"):
                work["searched"] += len(function.__self__)

        splitter = LineSplitter(1_000_000)
        chunks = [Chunk(b"x" * 100)] * 1000
        given: list[bytes] = []
        before = sys.getprofile()
        sys.setprofile(profile)
        try:
            for chunk in chunks:
                given += splitter.feed(chunk)
            joined_early = work["joins"]
            given += splitter.feed(Chunk(b"\n"))
        finally:
            sys.setprofile(before)
        self.assertEqual(given, [b"x" * 100_000])
        self.assertEqual(joined_early, 0)
        self.assertEqual(work["joins"], 1)
        # The newline's chunk is searched once more, behind the line.
        self.assertEqual(work["searched"], 100_000 + 2)
