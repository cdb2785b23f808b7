"""The real claude's ``auth``, as far as it goes without Anthropic, and the stand-in beside it.

Claude runs in a network namespace of its own, so that nothing that is pasted here
leaves the machine.
"""

import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import SkipTest, TestCase

from hyperhive.agents.claude import login_stamp
from hyperhive.agents.claude_auth import Code, find_link
from hyperhive.agents.claude_login import ClaudeLogin, LoginPlan
from hyperhive.agents.login_interfaces import LoginView
from hyperhive.containers.interfaces import Command, ContainerSpec
from hyperhive.containers.process import ProcessDriver
from hyperhive.testing import claude_auth
from hyperhive.testing.claude_cli import (
    OLDER_VERSION,
    VERSION,
    NoClaudeHere,
    installed,
)
from tests.daemon import processes_with
from tests.e2e.test_claude import ClaudeTestCase

#: It has the shape of a code, and is none.
WRONG = "wrongCodeOfATest#wrongStateOfATest"
NAME = "h-bob"


class ClaudeAuthTests:
    """What every claude does, and what is made to look like it."""

    timeout = 60

    def setUp(self: Any) -> None:
        """Folders for it."""
        folder = Path(self.mktemp()).absolute()
        self.containers = folder / "containers"
        self.containers.mkdir(parents=True)
        self.config = folder / "claude"

    def program(self: Any) -> tuple[str, ...]:
        """How it is called."""
        raise NotImplementedError

    async def begin(self: Any) -> None:
        """A login in a container without isolation, up to its link."""
        self.driver = ProcessDriver(reactor, self.containers)
        await self.driver.create(ContainerSpec(NAME))
        await self.driver.start(NAME)
        self.addCleanup(self.driver.stop, NAME)
        self.views: list[LoginView] = []
        self.login = ClaudeLogin(
            reactor,
            self.driver,
            "bob",
            LoginPlan(
                NAME,
                self.command("login", keep_stdin=True),
                self.command("status"),
                lambda: login_stamp(self.config),
            ),
            self.views.append,
            reactor.seconds,
        )
        self.login.begin()
        await self.until(lambda: self.login.view.state != "starting")

    def command(self: Any, *words: str, keep_stdin: bool = False) -> Command:
        """``claude auth …``."""
        environment = {
            "PATH": "/usr/bin:/bin:/usr/sbin",
            "HOME": str(self.config),
            "CLAUDE_CONFIG_DIR": str(self.config),
            "DISABLE_TELEMETRY": "1",
            "DISABLE_ERROR_REPORTING": "1",
            "DISABLE_AUTOUPDATER": "1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        }
        argv = (*self.program(), "auth", *words)
        return Command(argv, environment, "/", keep_stdin=keep_stdin)

    async def until(self: Any, happened: Any) -> None:
        """Wait for something that the login does by itself."""
        while not happened():
            await deferLater(reactor, 0.02)

    async def ended(self: Any) -> LoginView:
        """How it ended; nothing of it runs then."""
        await self.login.over
        self.assertEqual(self.driver._processes.get(NAME, set()), set())
        view: LoginView = self.login.view
        return view

    async def test_link(self: Any) -> None:
        """It prints one link on a pipe, and waits for a code; cancelled, it is gone."""
        await self.begin()
        self.assertEqual(self.login.view.state, "link", self.login.view)
        self.assertIn("/oauth/authorize?", self.login.view.link)
        said = self.login._stdout.decode()
        self.assertEqual(find_link(said), self.login.view.link)
        self.assertTrue(said.startswith("Opening browser to sign in…\n"), said)
        self.assertTrue(said.endswith("\nPaste code here if prompted > "), said)
        self.assertEqual(self.login._stderr, b"")
        self.login.cancel("The test is over.")
        self.assertEqual((await self.ended()).state, "cancelled")

    async def test_half_a_code(self: Any) -> None:
        """A code without its # is refused on the spot, and another is waited for."""
        await self.begin()
        process = self.login._processes[0]
        process.write(b"halfOfACode\n")
        await self.until(lambda: self.login._stderr.endswith(b"\n"))
        self.assertIn(b"full code", self.login._stderr)
        self.assertFalse(process.exited.happened)
        self.login.cancel("The test is over.")
        await self.ended()

    async def test_wrong_code(self: Any) -> None:
        """A wrong code ends it with a sentence on its standard error, and no login."""
        await self.begin()
        self.login.give_code(Code.parse(WRONG))
        view = await self.ended()
        self.assertEqual(view.state, "failed")
        self.assertRegex(view.note, "Claude says: “(Couldn't log in|Login failed): ")
        for part in (WRONG, *WRONG.split("#")):
            self.assertNotIn(part, repr(self.views))
        self.assertIs(login_stamp(self.config), None)

    async def test_end_of_input(self: Any) -> None:
        """At the end of its input it waits on: it has to be ended."""
        await self.begin()
        process = self.login._processes[0]
        process.transport.closeStdin()
        await deferLater(reactor, 0.5)
        self.assertFalse(process.exited.happened)
        self.login.cancel("The test is over.")
        await self.ended()

    def test_status(self: Any) -> None:
        """It names nobody with status 1, and whom a login file is of with status 0."""
        self.config.mkdir()
        status, found = self.status()
        self.assertEqual((status, found["loggedIn"]), (1, False))
        login = {
            "accessToken": "none",
            "refreshToken": "none",
            "expiresAt": 4102444800000,
            "scopes": ["user:inference", "user:profile"],
            "subscriptionType": "max",
        }
        (self.config / ".credentials.json").write_text(
            json.dumps({"claudeAiOauth": login})
        )
        status, found = self.status()
        self.assertEqual((status, found["loggedIn"]), (0, True))
        self.assertEqual(found["subscriptionType"], "max")
        self.assertLessEqual({"email", "orgName"}, set(found))

    def status(self: Any) -> tuple[int, dict[str, Any]]:
        """Ask ``auth status``."""
        command = self.command("status")
        done = subprocess.run(
            command.argv,
            env=dict(command.environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
            check=False,
        )
        self.assertEqual(done.stderr, b"")
        return done.returncode, json.loads(done.stdout)


class StandInTests(ClaudeAuthTests, TestCase):
    """The stand-in, on which the pages' tests rely."""

    def program(self) -> tuple[str, ...]:
        """See ClaudeAuthTests."""
        return (sys.executable, "-I", str(claude_auth.__file__))


class NewestTests(ClaudeAuthTests, TestCase):
    """The pinned version."""

    version: ClassVar[str] = VERSION

    def program(self) -> tuple[str, ...]:
        """See ClaudeAuthTests."""
        refusal = _no_namespace()
        if refusal:
            raise SkipTest(refusal)
        try:
            claude = installed(self.version)
        except NoClaudeHere as error:
            raise SkipTest(str(error)) from None
        return (*_ALONE, str(claude))


class OlderTests(NewestTests):
    """One that prints a longer link on the line of its sentence."""

    version = OLDER_VERSION


class InTheHiveTests(ClaudeTestCase):
    """Bob's own claude, in his sandbox under a running hive; nothing is pasted here."""

    environment: ClassVar[dict[str, str]] = {}

    def test_link_and_cancel(self) -> None:
        """His container gives a link; cancelled, nothing is left in it."""
        with contextlib.closing(self.hive.events("claude")) as events:
            self.hive.do(cmd="claude_login_start", name="bob")
            view = events.until(lambda event: event["state"] not in _BEFORE_THE_LINK)
            self.assertEqual(view["state"], "link", view)
            self.assertNotEqual(processes_with(str(self.hive.run), "auth\0login"), [])
            bob = self.hive.status("bob")
            self.assertEqual(
                (bob["state"], bob["claude_login"]), ("logging in", "link")
            )
            self.hive.do(cmd="claude_login_cancel", name="bob")
            self.assertEqual(processes_with(str(self.hive.run), "auth\0login"), [])
        self.assertEqual(self.hive.status("bob")["state"], "needs login")


_BEFORE_THE_LINK = ("waiting", "starting")

#: Runs a program where there is no network, not even loopback.
_ALONE = ("/usr/bin/unshare", "--map-root-user", "--net", "--")


def _no_namespace() -> str:
    """Why a network namespace can't be had; nothing if it can."""
    if shutil.which("unshare", path="/usr/bin") is None:
        return "there is no /usr/bin/unshare"
    done = subprocess.run(
        [*_ALONE, "/bin/true"], capture_output=True, text=True, timeout=30, check=False
    )
    return done.stderr.strip() if done.returncode else ""
