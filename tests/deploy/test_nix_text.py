"""Texts as Nix expressions: real nix gives back what was written."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.deploy.nix_text import NotNix, nix_attribute, nix_path, nix_string
from tests.nixos.support import Nix, missing

#: What is special in Nix, often enough to meet itself.
PIECES = ("$", "${", "}", "$$", '"', "''", "\\", "\n", "\r", "\t", "/", "..", "#", "x")
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXTS = st.lists(st.sampled_from(PIECES) | CHARACTERS, max_size=12).map("".join)
#: Many at once: starting nix takes longer than all that it does for them.
MANY = st.lists(TEXTS, min_size=40, max_size=80)
PARTS = TEXTS.map(lambda text: text.replace("/", "")).filter(
    lambda text: text not in ("", ".", "..")
)
few = settings(max_examples=10)


class RoundTripTests(SynchronousTestCase):
    """What real nix reads."""

    skip = missing()

    def setUp(self) -> None:
        self.nix = Nix()
        self.addCleanup(self.nix.remove)

    @few
    @given(MANY)
    def test_strings(self, texts: list[str]) -> None:
        """A literal's value is the text."""
        self.assertEqual(self.nix.values([nix_string(text) for text in texts]), texts)

    @few
    @given(MANY)
    def test_attributes(self, names: list[str]) -> None:
        """A set with a name in it has just that name."""
        self.assertEqual(
            self.nix.values(
                [
                    f"builtins.attrNames {{ {nix_attribute(name)} = 1; }}"
                    for name in names
                ]
            ),
            [[name] for name in names],
        )

    @few
    @given(st.lists(st.lists(PARTS, min_size=1, max_size=3), min_size=40, max_size=80))
    def test_paths(self, paths: list[list[str]]) -> None:
        """A path's parts are below the folder of the file that it stands in."""
        self.assertEqual(
            self.nix.values([f"toString {nix_path('/'.join(one))}" for one in paths]),
            ["/".join([str(self.nix.folder), *one]) for one in paths],
        )

    def test_every_keyword(self) -> None:
        """The words of the language can be names too, and no word is unknown to us."""
        words = [
            *("assert", "else", "false", "if", "in", "inherit", "let", "null"),
            *("or", "rec", "then", "true", "with"),
        ]
        self.assertEqual(
            self.nix.values(
                [f"builtins.attrNames {{ {nix_attribute(one)} = 1; }}" for one in words]
            ),
            [[one] for one in words],
        )


class SpellingTests(SynchronousTestCase):
    """What needs no nix."""

    def test_string(self) -> None:
        """Every dollar is escaped, and each character that ends or changes a string."""
        self.assertEqual(nix_string('a"b\\c\n\r\t$${d}'), r'"a\"b\\c\n\r\t\$\${d}"')

    def test_attribute(self) -> None:
        """A plain name stays plain."""
        self.assertEqual(nix_attribute("bob-2"), "bob-2")
        self.assertEqual(nix_attribute("with"), '"with"')
        self.assertEqual(nix_attribute("2"), '"2"')
        self.assertEqual(nix_attribute(""), '""')

    def test_refused(self) -> None:
        """A NUL and half of a surrogate pair are refused everywhere."""
        for bad in ("a\0b", "a\ud800b"):
            for write in (nix_string, nix_attribute, nix_path):
                with self.assertRaises(NotNix):
                    write(bad)

    def test_paths_refused(self) -> None:
        """No path leads out of the folder, or is absolute."""
        for bad in ("", "/", "/etc", "..", "a/../b", "a//b", "a/", "./a"):
            with self.assertRaises(NotNix):
                nix_path(bad)
