"""Text of agents, shown so that nothing of it hides."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.deploy.visible import decoded, last_words, quoted, visible


class VisibleTests(SynchronousTestCase):
    """What is drawn stays; what is not is spelled."""

    def test_stays(self) -> None:
        """Text, in any language, with its lines and tabs."""
        for text in ("a\tb\nc", "äöü ß €", "日本語", "emoji 🐝", "\\x1b as it is"):
            self.assertEqual(visible(text), text)

    def test_spelled(self) -> None:
        """Codes of terminals, and what turns, hides or imitates others."""
        for text, shown in (
            ("\x1b[2J", "\\x1b[2J"),
            ("a\r\nb", "a\\x0d\nb"),
            ("\x9b", "\\x9b"),
            ("x\u202ey", "x\\u202ey"),
            ("\u200b\u2066\ufeff", "\\u200b\\u2066\\ufeff"),
            ("\u2028", "\\u2028"),
            ("\U000e0041", "\\U000e0041"),
            ("a\ufe0f", "a\\ufe0f"),
            ("\ud800", "\\ud800"),
        ):
            self.assertEqual(visible(text), shown)
        self.assertEqual(decoded(b"\xe9\xff ok"), "\\xe9\\xff ok")

    @given(st.characters(categories=("Cc", "Cf", "Cs", "Zl", "Zp")))
    def test_categories(self, one: str) -> None:
        """Nothing passes that Unicode counts as control, format or separator of lines."""
        self.assertTrue(
            one in "\n\t" or visible(one) != one, unicodedata.name(one, "?")
        )

    def test_quoted(self) -> None:
        """A name in a sentence is one line, and cut."""
        self.assertEqual(quoted("a\nb"), "'a\\nb'")
        self.assertEqual(len(quoted("x" * 5000)), 102)

    @given(st.binary(max_size=3000))
    def test_last_words(self, data: bytes) -> None:
        """Whatever a program says, at most eight lines and a thousand characters remain."""
        said = last_words(data)
        self.assertLessEqual(len(said), 1000)
        self.assertLessEqual(said.count("\n"), 7)
        self.assertNotIn("\x1b", said)
