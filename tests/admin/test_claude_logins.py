"""``hive-c0re login`` against a served hive, whose claude a test plays."""

import io
import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher, textFileLogObserver

from hyperhive.admin.console import Console
from hyperhive.containers.interfaces import ContainerSpec
from hyperhive.deferreds import deferred
from hyperhive.names import container_name
from hyperhive.testing.claude_auth import RIGHT_CODE
from hyperhive.testing.containers import MemoryProcess
from tests.admin.support import AdminCase
from tests.admin.terminal import console, printed, said
from tests.admin.test_cli import CliCase

LINK = "https://claude.ai/oauth/authorize?z-1"


def offer(process: MemoryProcess) -> None:
    """Print a link; refuse each code."""

    def read(data: bytes) -> None:
        process.complains(b"Couldn't log in: no\n")
        process.exits(1)

    process.reader = read
    process.says(f"visit:\n{LINK}\nPaste code here > ".encode())


class LoginSubcommandTests(CliCase):
    """The whole of it in a terminal, or with a pipe."""

    @deferred
    async def setUp(self) -> None:
        """Let bob's container run."""
        await super().setUp()
        self.hive.driver.create(ContainerSpec(container_name("bob")))
        self.hive.driver.start(container_name("bob"))
        self.hive.driver.program = offer

    def login(self, one: Console, *flags: str) -> Deferred[int]:
        """Run it."""
        return self.run_on(one, *flags, "login", "bob")

    @deferred
    async def test_refused_code(self) -> None:
        """The link is printed, half a code is asked for again, and why it failed is said."""
        one = console(f"half\n{RIGHT_CODE}\n")
        self.assertEqual(await self.login(one), 1)
        self.assertEqual(printed(one), f"{LINK}\n")
        self.assertIn("not the whole code", said(one))
        self.assertIn("Couldn't log in: no", said(one))
        for part in (RIGHT_CODE, *RIGHT_CODE.split("#")):
            self.assertNotIn(part, printed(one) + said(one))
        self.assertEqual(
            self.hive.driver.processes[0].written.decode(), f"{RIGHT_CODE}\n"
        )

    @deferred
    async def test_no_code(self) -> None:
        """At the end of its input the login is cancelled."""
        one = console("")
        self.assertEqual(await self.login(one), 1)
        self.assertIn("cancelled", said(one))
        self.assertEqual(self.hive.driver.alive, 0)

    @deferred
    async def test_json(self) -> None:
        """Programs get each view as JSON, a line each."""
        one = console("")
        await self.login(one, "--json")
        views: list[dict[str, Any]] = [
            json.loads(line) for line in printed(one).splitlines()
        ]
        states = [view.get("state") or view["login"]["state"] for view in views]
        self.assertEqual(states, ["starting", "link", "ending", "cancelled"])
        self.assertEqual(views[1]["link"], LINK)

    @deferred
    async def test_refusal(self) -> None:
        """What can't be logged in is said."""
        self.hive.agents.change("bob", running=False)
        self.assertIn("start it", await self.refused("login", "bob"))


class LoginVerbTests(AdminCase):
    """The verbs on the socket."""

    def test_code_is_not_logged(self) -> None:
        """Who gives a code is logged, and the code is not."""
        lines = io.StringIO()
        observer = textFileLogObserver(lines)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        asked = {"cmd": "claude_login_code", "name": "bob", "code": RIGHT_CODE}
        self.assert_refused(self.client.ask(asked), "start one")
        self.assertIn("claude_login_code", lines.getvalue())
        self.assertNotIn(RIGHT_CODE.split("#")[0], lines.getvalue())
