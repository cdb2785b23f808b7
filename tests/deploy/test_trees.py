"""What paths a commit may have, and how files are written."""

import os
import shutil

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.deploy.trees import (
    SourceTree,
    TreeFile,
    UnfitCommit,
    check_path,
    check_shown,
    parse_batch,
    parse_listing,
    write_files,
)
from hyperhive.errors import Conflict
from tests.containers.suite import new_folder

BLOB = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


class PathTests(SynchronousTestCase):
    """Paths that can be written anywhere as they are."""

    def test_taken(self) -> None:
        """Plain names, in any language, also such as begin with a dash or a dot."""
        for path in (
            "agent.toml",
            "a/b/c",
            "-rf",
            ".gitignore",
            "näm e",
            "日本",
            "a..b",
        ):
            self.assertEqual(check_path(path.encode()), path)

    def test_refused(self) -> None:
        """What leads elsewhere, is git's own, or is not seen as what it is."""
        for path in (
            *(b"", b"/", b"/etc/passwd", b"a//b", b"a/", b".", b"..", b"a/../b"),
            *(b".git", b".GIT/config", b"a/.Git/x", b"git~1/x", b"a\\b", b"a\0b"),
            *(b"a\nb", b"a\x7fb", b"\xff", b"\xc2\x85", b"n" * 256, b"d/" * 512 + b"f"),
        ):
            self.assertRaises(UnfitCommit, check_path, path)

    @given(st.text(max_size=2000))
    def test_message(self, text: str) -> None:
        """A refusal is one short line, whatever the name."""
        try:
            check_path(
                text.encode("utf-8", "surrogateescape" if text.isascii() else "replace")
            )
        except UnfitCommit as error:
            self.assertLess(len(str(error)), 2000)
            self.assertNotIn("\n", str(error))
            self.assertNotIn("\x1b", str(error))

    @given(st.binary(max_size=40))
    def test_stays_inside(self, path: bytes) -> None:
        """A path that is taken never leaves the folder that it is joined to."""
        try:
            taken = check_path(path)
        except UnfitCommit:
            return
        joined = os.path.normpath(os.path.join("/folder", taken))
        self.assertEqual(joined, f"/folder/{taken}")


class ListingTests(SynchronousTestCase):
    """What git says of a tree."""

    def test_files(self) -> None:
        """Size, content and whether it can be executed."""
        records = (
            f"100644 blob {BLOB}       7\ta b",
            f"100755 blob {BLOB}      12\tc/d",
        )
        listing = "".join(f"{record}\0" for record in records)
        self.assertEqual(
            parse_listing(listing.encode()),
            [TreeFile("a b", BLOB, 7), TreeFile("c/d", BLOB, 12, True)],
        )
        self.assertEqual(parse_listing(b""), [])

    def test_contents(self) -> None:
        """Contents are told apart by their sizes alone: they may hold anything."""
        files = [
            TreeFile("a", BLOB, 4),
            TreeFile("b", BLOB, 0),
            TreeFile("c", BLOB, 55),
        ]
        tricky = f"\n{BLOB} blob 3\nxyz\n".encode()[:55].ljust(55, b"x")
        output = b"".join(
            f"{BLOB} blob {len(data)}\n".encode() + data + b"\n"
            for data in (b"\n\0\n\n", b"", tricky)
        )
        self.assertEqual(
            parse_batch(files, output), {"a": b"\n\0\n\n", "b": b"", "c": tricky}
        )
        for wrong in (output[:-2], output[1:], b"", f"{BLOB} missing\n".encode()):
            self.assertRaises(ValueError, parse_batch, files, wrong)


class ShownTests(SynchronousTestCase):
    """What the operator would not be shown."""

    def test_bytes(self) -> None:
        """A NUL makes git take a file for no text; Nix imports one of any name."""
        for path in ("agent.nix", "lib/more.nix", "agent.toml", "logo.png"):
            tree = SourceTree({"ok": b"{ }", path: b"# \0\nx"})
            error = self.assertRaises(UnfitCommit, check_shown, tree)
            self.assertIn(f"{path!r} holds a NUL", str(error))
        check_shown(SourceTree({"agent.nix": b"{ }", "odd": b"\xff\x01"}))


class WriteTests(SynchronousTestCase):
    """Files on disk."""

    def setUp(self) -> None:
        self.base = new_folder()
        self.addCleanup(shutil.rmtree, self.base)

    def test_programs(self) -> None:
        """Files come as they are in the commit, each in its folder."""
        folder = self.base / "new"
        write_files(
            folder, SourceTree({"a/run": b"x", "a/b": b"y"}, frozenset({"a/run"}))
        )
        self.assertEqual((folder / "a/run").read_bytes(), b"x")
        self.assertTrue(os.access(folder / "a/run", os.X_OK))
        self.assertFalse((folder / "a/b").stat().st_mode & 0o111)

    def test_only_new(self) -> None:
        """Nothing that is there is touched."""
        (self.base / "there").mkdir()
        (self.base / "link").symlink_to(self.base / "there")
        for name in ("there", "link"):
            folder = self.base / name
            self.assertRaises(Conflict, write_files, folder, SourceTree({"a": b"x"}))
        self.assertEqual(os.listdir(self.base / "there"), [])

    def test_nothing_in_part(self) -> None:
        """If one can't be written, none stays."""
        for files in ({"a": b"", "a/b": b""}, {"ok": b"", "../out": b""}):
            folder = self.base / "new"
            tree = SourceTree(files)
            self.assertRaises((OSError, UnfitCommit), write_files, folder, tree)
            self.assertFalse(folder.exists())
        self.assertEqual(os.listdir(self.base), [])
