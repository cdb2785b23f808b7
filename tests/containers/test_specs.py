"""Paths, inside and outside."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from hyperhive.containers.interfaces import (
    Bind,
    Command,
    ContainerSpec,
    InvalidSpec,
)
from hyperhive.containers.specs import check_spec, path_inside


class PathTests(SynchronousTestCase):
    """How a path of the host is called inside."""

    def setUp(self) -> None:
        self.base = Path(self.mktemp()).resolve()
        for name in ("home", "login", "tools", "elsewhere"):
            (self.base / name).mkdir(parents=True)
        self.spec = ContainerSpec(
            "h-bob",
            (
                Bind(self.base / "home", "/root", True),
                Bind(self.base / "login", "/root/.claude", True),
                Bind(self.base / "tools", str(self.base / "tools")),
            ),
        )

    def inside(self, name: str) -> str:
        return path_inside(self.spec, self.base / name)

    def test_bound(self) -> None:
        """Below a source it is below the destination; it need not exist."""
        self.assertEqual(self.inside("home"), "/root")
        self.assertEqual(self.inside("home/a/b"), "/root/a/b")
        self.assertEqual(self.inside("login/key"), "/root/.claude/key")

    def test_not_bound(self) -> None:
        """What is not bound can't be seen, nor what another bind lies over."""
        for name in ("elsewhere", "homeless", "", "home/.claude", "home/.claude/x"):
            with self.assertRaises(InvalidSpec):
                self.inside(name)

    def test_system(self) -> None:
        """Of the host's system, programs can be seen, and /etc can't."""
        self.assertEqual(path_inside(self.spec, Path("/usr/bin")), "/usr/bin")
        for path in ("/etc/shadow", "/", "/var/lib", "/usrlocal"):
            with self.assertRaises(InvalidSpec):
                path_inside(self.spec, Path(path))

    def test_link_that_holds(self) -> None:
        """A symlink that leads to the same place inside stays one."""
        (self.base / "tools" / "python").symlink_to("python3.11")
        (self.base / "tools" / "python3.11").touch()
        self.assertEqual(self.inside("tools/python"), str(self.base / "tools/python"))

    def test_link_that_would_not_hold(self) -> None:
        """A symlink that leads to a place with another name inside is followed."""
        (self.base / "tools" / "notes").symlink_to(self.base / "home" / "notes")
        self.assertEqual(self.inside("tools/notes"), "/root/notes")

    def test_link_that_leads_out(self) -> None:
        """A symlink that leads to what can't be seen can't be used."""
        (self.base / "tools" / "out").symlink_to(self.base / "elsewhere")
        with self.assertRaises(InvalidSpec):
            self.inside("tools/out")

    def test_link_that_leads_in(self) -> None:
        """A symlink from outside to what can be seen is called by where it leads."""
        (self.base / "claude").symlink_to(self.base / "tools" / "claude")
        self.assertEqual(self.inside("claude"), str(self.base / "tools" / "claude"))

    def test_sources_are_canonical(self) -> None:
        """A checked spec has sources without symlinks on the way."""
        (self.base / "link").symlink_to(self.base)
        spec = ContainerSpec("h-bob", (Bind(self.base / "link" / "home", "/root"),))
        checked = check_spec(spec)
        self.assertEqual(checked.binds[0].source, self.base / "home")
        self.assertEqual(path_inside(spec, self.base / "home" / "x"), "/root/x")


class CommandTests(SynchronousTestCase):
    """What is to be run."""

    def test_secrets(self) -> None:
        """A log that shows a command shows neither keys nor messages."""
        shown = repr(Command(("claude",), {"API_KEY": "sk-1"}, "/", b"hello"))
        self.assertIn("claude", shown)
        self.assertNotIn("sk-1", shown)
        self.assertNotIn("hello", shown)
