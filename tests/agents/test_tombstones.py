"""What is kept of destroyed agents: listed, revived with them, and purged safely."""

import os
import shutil
import stat
import tempfile
from pathlib import Path

from twisted.trial.unittest import TestCase

from hyperhive.agents.interfaces import NoSuchTombstone
from hyperhive.agents.tombstones import Tombstones, _remove
from hyperhive.deferreds import deferred
from hyperhive.errors import PublicError
from hyperhive.names import InvalidName
from hyperhive.settings import Layout

NOW = 1769860800.0
NOBODY = 65534


class TombstoneTests(TestCase):
    """On real folders."""

    def setUp(self) -> None:
        base = Path(self.mktemp()).absolute()
        self.layout = Layout(base / "s", base / "r")
        self.layout.agents.mkdir(parents=True)
        self.living = {"hm1nd", "alice"}
        self.tombstones = Tombstones(
            self.layout, lambda name: name in self.living, lambda: NOW
        )
        self.outside = base / "outside"
        self.outside.mkdir()
        (self.outside / "precious").write_text("keep me")

    def keep(self, name: str, files: dict[str, str]) -> None:
        """Let there be files of an agent."""
        for file, text in files.items():
            path = self.layout.agent(name) / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    @deferred
    async def test_all(self) -> None:
        """Each one's size, age and login; the living have none."""
        self.keep("alice", {"state/notes": "x"})
        self.keep("bob", {"state/notes": "12345", "claude/.credentials.json": "{}"})
        self.keep("carol", {"state/notes": "12"})
        (self.layout.agent("carol") / "state" / "link").symlink_to(self.outside)
        self.tombstones.bury("bob")
        bob, carol = await self.tombstones.all()
        self.assertEqual(
            bob.as_wire(),
            {
                "name": "bob",
                "bytes": 7,
                "since": "2026-01-31T12:00:00.000Z",
                "login": True,
            },
        )
        self.assertEqual((carol.name, carol.size, carol.logged_in), ("carol", 2, False))

    @deferred
    async def test_what_is_no_tombstone(self) -> None:
        """Files, links and odd names are nobody's state."""
        (self.layout.agents / "file").write_text("")
        (self.layout.agents / "link").symlink_to(self.outside)
        (self.layout.agents / "UPPER").mkdir()
        self.assertEqual(await self.tombstones.all(), [])

    @deferred
    async def test_remove(self) -> None:
        """All of it goes; where links lead stays."""
        self.keep("bob", {"state/notes": "x"})
        (self.layout.agent("bob") / "state" / "link").symlink_to(self.outside)
        await self.tombstones.remove("bob")
        self.assertEqual(list(self.layout.agents.iterdir()), [])
        self.assertTrue((self.outside / "precious").exists())
        await self.tombstones.remove("bob")

    @deferred
    async def test_remove_a_link(self) -> None:
        """A link in an agent's place is removed, not what it leads to."""
        self.layout.agent("bob").symlink_to(self.outside)
        await self.tombstones.remove("bob")
        self.assertEqual(list(self.layout.agents.iterdir()), [])
        self.assertTrue((self.outside / "precious").exists())

    @deferred
    async def test_names(self) -> None:
        """No name reaches outside."""
        for name in ("..", "../outside", str(self.outside), "a/b", "hm1nd", ""):
            with self.assertRaises(InvalidName):
                await self.tombstones.remove(name)
            with self.assertRaises(InvalidName):
                await self.tombstones.check(name)
        self.assertTrue((self.outside / "precious").exists())

    @deferred
    async def test_check(self) -> None:
        """What is not kept is answered with what is."""
        self.keep("bob", {"state/notes": "x"})
        self.assertEqual(await self.tombstones.check("bob"), "bob")
        with self.assertRaises(NoSuchTombstone) as raised:
            await self.tombstones.check("carol")
        self.assertIn("bob", str(raised.exception))

    @deferred
    async def test_sweep(self) -> None:
        """What was removed in part goes at the next start."""
        self.keep("bob", {"state/notes": "x"})
        self.layout.agent("bob").rename(self.layout.agents / ".purged-bob")
        self.assertEqual(await self.tombstones.all(), [])
        await self.tombstones.sweep()
        self.assertEqual(list(self.layout.agents.iterdir()), [])

    @deferred
    async def test_what_can_not_be_removed(self) -> None:
        """The error says what is left, and how to go on."""
        self.keep("bob", {"state/notes": "x"})
        (self.layout.agents / ".purged-bob").write_text("in the way")
        with self.assertRaises(PublicError) as raised:
            await self.tombstones.remove("bob")
        self.assertIn(".purged-bob", str(raised.exception))
        self.assertTrue(self.layout.agent("bob").exists())

    def test_folders_that_can_not_be_written(self) -> None:
        """What tools protect from their own user goes too, and no link is followed."""
        top = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, top, ignore_errors=True)
        folder = top / "bob"
        deep = folder / "go" / "pkg"
        deep.mkdir(parents=True)
        (deep / "file").write_text("x")
        precious = top / "precious"
        precious.mkdir(mode=0o500)
        (folder / "link").symlink_to(precious)
        if os.geteuid() == 0:
            # Root may write everything: be somebody else.
            for path in (top, folder, folder / "go", deep, deep / "file", precious):
                os.chown(path, NOBODY, NOBODY)
            os.seteuid(NOBODY)
            self.addCleanup(os.seteuid, 0)
        for path in (deep, folder / "go"):
            path.chmod(0o500)
        _remove(folder, top / "doomed")
        self.assertEqual(list(top.iterdir()), [precious])
        self.assertEqual(stat.S_IMODE(precious.stat().st_mode), 0o500)

    @deferred
    async def test_very_deep_folders(self) -> None:
        """An agent can't make what can't be listed or removed."""
        self.keep("bob", {"state/notes": "12345"})
        folder = os.open(self.layout.agent("bob") / "state", os.O_RDONLY)
        for _ in range(3000):
            os.mkdir("d", dir_fd=folder)
            below = os.open("d", os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder = below
        os.close(folder)
        [bob] = await self.tombstones.all()
        self.assertEqual(bob.size, 5)
        await self.tombstones.remove("bob")
        self.assertEqual(list(self.layout.agents.iterdir()), [])
