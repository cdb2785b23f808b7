"""Removing what somebody else has built."""

import os
import shutil

from twisted.trial.unittest import SynchronousTestCase

from hyperhive.deploy.removal import remove_tree
from tests.containers.suite import new_folder


class RemovalTests(SynchronousTestCase):
    """In a folder of its own, beside what must stay."""

    def setUp(self) -> None:
        self.base = new_folder()
        self.addCleanup(shutil.rmtree, self.base)
        self.kept = self.base / "kept"
        self.kept.mkdir()
        (self.kept / "file").write_text("kept")
        self.doomed = self.base / "doomed"

    def assert_gone(self) -> None:
        self.assertEqual(os.listdir(self.base), ["kept"])
        self.assertEqual((self.kept / "file").read_text(), "kept")

    def test_anything(self) -> None:
        """Files, folders, links and pipes go; what links lead to stays."""
        (self.doomed / "a" / "b").mkdir(parents=True)
        (self.doomed / "a" / "file").write_text("x")
        (self.doomed / "a" / "0").mkdir()
        (self.doomed / "a" / "b" / "up").symlink_to(self.kept)
        (self.doomed / "link").symlink_to(self.kept / "file")
        (self.doomed / "dangling").symlink_to("/nowhere")
        os.link(self.kept / "file", self.doomed / "hard")
        os.mkfifo(self.doomed / "pipe")
        remove_tree(self.doomed)
        self.assert_gone()

    def test_not_a_folder(self) -> None:
        """A link or a file goes likewise; where nothing is, nothing is done."""
        self.doomed.symlink_to(self.kept)
        remove_tree(self.doomed)
        self.assert_gone()
        self.doomed.write_text("x")
        remove_tree(self.doomed)
        remove_tree(self.doomed)
        self.assert_gone()

    def test_deep(self) -> None:
        """Folders nested deeper than any path can name, or any stack can follow."""
        self.doomed.mkdir()
        folder = os.open(self.doomed, os.O_RDONLY)
        for _ in range(5000):
            os.mkdir("d", dir_fd=folder)
            inner = os.open("d", os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder = inner
        os.close(folder)
        remove_tree(self.doomed)
        self.assert_gone()

    def test_locked_folders(self) -> None:
        """Folders that their owner may not write."""
        (self.doomed / "a" / "b").mkdir(parents=True)
        (self.doomed / "a" / "b" / "file").write_text("x")
        for folder in (self.doomed / "a" / "b", self.doomed / "a", self.doomed):
            folder.chmod(0)
        remove_tree(self.doomed)
        self.assert_gone()
