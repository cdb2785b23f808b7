"""Logins of claude in the swarm in memory: the steps, what ends them, and what stays secret."""

import io
from typing import Any

from twisted.logger import globalLogPublisher, textFileLogObserver
from zope.interface.verify import verifyObject

from hyperhive.agents.claude_auth import BadCode
from hyperhive.agents.claude_login import (
    LIMIT,
    MAX_OUTPUT,
    STATUS_LIMIT,
)
from hyperhive.agents.claude_login_machine import CHECK_LIMIT, LINK_LIMIT
from hyperhive.agents.claude_logins import ClaudeLogins
from hyperhive.agents.interfaces import IAgentSurface, NoSuchAgent
from hyperhive.agents.login_interfaces import (
    IClaudeLogins,
    LoginRefused,
    NoLoginRuns,
)
from hyperhive.testing.containers import MemoryProcess
from tests.agents.swarm import INIT, RESULT, SwarmTestCase
from tests.agents.test_claude_auth import CODE, NEWEST, SHORT

STATUS = (
    b'{"loggedIn": true, "email": "op@example.org", "orgName": "Example", '
    b'"subscriptionType": "max"}'
)


class LoginTestCase(SwarmTestCase):
    """Bob has no login; a message waits for him."""

    def setUp(self) -> None:
        """Let all be logged."""
        super().setUp()
        self.lines = io.StringIO()
        observer = textFileLogObserver(self.lines)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.do(self.agents.spawn("bob"))
        self.logins = ClaudeLogins(
            self.clock,
            self.driver,
            self.launcher,
            self.agents,
            self.bus,
            self.clock.seconds,
        )
        self.agents.add_surface(self.logins)
        self.status = STATUS
        self.driver.program = self.run_claude
        self.launcher.logged_out.add("bob")
        self.seen.clear()

    def run_claude(self, process: MemoryProcess) -> None:
        """``auth status`` answers; everything else is steered by the test."""
        if process.command.argv[-1] == "status":
            process.says(self.status)
            process.exits(0 if b"true" in self.status else 1)

    def begin(self) -> MemoryProcess:
        """Start a login up to its link."""
        self.logins.start("bob")
        self.clock.advance(0)
        process = self.claude()
        process.says(NEWEST.encode())
        return process

    def succeed(self, process: MemoryProcess) -> None:
        """Let claude take the code."""
        self.launcher.logged_out.discard("bob")
        process.exits(0)
        self.clock.pump([0] * 4)

    def view(self) -> dict[str, Any]:
        """The login as pages see it, without its times."""
        view = self.logins.view("bob").as_wire()
        return {key: view[key] for key in view if key not in ("since", "until", "name")}

    def over(self, state: str) -> str:
        """It has ended so, and nothing of it runs; answers why."""
        self.clock.pump([0] * 4)
        view = self.view()
        self.assertEqual(view["state"], state, view)
        self.assertEqual(self.driver.alive, 0)
        self.assertEqual(self.logins._running, {})
        self.clock.advance(LIMIT)
        self.assertEqual(self.view(), view)
        self.assertEqual(self.agents.status("bob").claude_login, None)
        return str(view.get("note"))


class StepTests(LoginTestCase):
    """A login that goes well."""

    def test_interfaces(self) -> None:
        """It is what surfaces are given, and is told of agents."""
        verifyObject(IClaudeLogins, self.logins)
        verifyObject(IAgentSurface, self.logins)

    def test_steps(self) -> None:
        """Link, code, proof: each step is an event with all that pages show."""
        self.assertEqual(self.view(), {"state": "none"})
        process = self.begin()
        self.assertEqual(process.command.argv[1:], ("auth", "login"))
        self.assertEqual(self.view(), {"state": "link", "link": SHORT})
        self.logins.give_code("bob", f" {CODE}\n")
        self.assertEqual(process.written, f"{CODE}\n".encode())
        self.assertEqual(self.view(), {"state": "checking"})
        self.succeed(process)
        self.over("done")
        account = {"email": "op@example.org", "organisation": "Example", "plan": "max"}
        self.assertEqual(self.view(), {"state": "done", "account": account})
        events = self.of_kind("claude_login")
        self.assertEqual(
            [event["state"] for event in events],
            ["waiting", "starting", "link", "checking", "checking", "done"],
        )
        self.assertEqual({event["agent"] for event in events}, {"bob"})
        self.assertEqual(
            [event.get("link") for event in events if event["state"] == "link"], [SHORT]
        )

    def test_status(self) -> None:
        """The agent's status says that it is being logged in, and how far it is."""
        self.begin()
        status = self.agents.status("bob")
        self.assertEqual((status.state, status.claude_login), ("logging in", "link"))
        self.clock.advance(1)
        states = [
            (event["state"], event.get("claude_login"))
            for event in self.of_kind("agent_state")
            if event["name"] == "bob"
        ]
        self.assertEqual(states, [("logging in", "link")])

    def test_goes_on_by_itself(self) -> None:
        """What waited for the login is dispatched when it is proven, not before."""
        self.send("hello")
        process = self.begin()
        self.logins.give_code("bob", CODE)
        self.launcher.logged_out.discard("bob")
        self.agents.login_changed("bob")  # the file is noticed first
        self.clock.advance(0)
        self.assertIs(self.claude(), process)
        process.exits(0)
        self.clock.pump([0] * 6)
        self.assertIn(b"hello", self.claude().command.stdin)

    def test_shared(self) -> None:
        """Who starts one that is under way joins it."""
        self.begin()
        self.assertEqual(self.logins.start("bob"), self.logins.view("bob"))
        self.assertEqual(len(self.driver.processes), 1)

    def test_waits_for_the_turn(self) -> None:
        """A turn that runs ends first; none begins until the login is over."""
        self.launcher.logged_out.clear()
        self.send("first")
        turn = self.claude()
        self.send("second")
        self.launcher.logged_out.add("bob")
        self.assertEqual(self.logins.start("bob").state, "waiting")
        self.assertIn("turn", str(self.view()["note"]))
        self.clock.advance(1)
        self.assertIs(self.claude(), turn)
        self.say(INIT, RESULT)
        self.clock.pump([0] * 4)
        self.assertEqual(self.claude().command.argv[1], "auth")
        self.assertEqual(self.view(), {"state": "starting"})

    def test_without_a_code(self) -> None:
        """One that claude completes by itself needs no code."""
        self.succeed(self.begin())
        self.over("done")


class EndTests(LoginTestCase):
    """Logins that end otherwise."""

    def test_refused_code(self) -> None:
        """What claude says of the code is told, without the code; the next try is new."""
        process = self.begin()
        self.logins.give_code("bob", CODE)
        process.complains(f"Couldn't log in: 400 for {CODE}\n".encode())
        process.exits(1)
        why = self.over("failed")
        self.assertIn("Couldn't log in: 400 for …", why)
        self.assertIn("Start again", why)
        self.begin()
        self.assertEqual(self.view()["state"], "link")

    def test_no_network(self) -> None:
        """That the container can't reach Anthropic is said in words."""
        process = self.begin()
        self.logins.give_code("bob", CODE)
        process.complains(
            b"Couldn't log in: getaddrinfo EAI_AGAIN platform.claude.com\n"
        )
        process.exits(1)
        self.assertIn("proxy", self.over("failed"))

    def test_not_proven(self) -> None:
        """Claude's exit alone is no success: a login must be there, and known to claude."""
        process = self.begin()
        self.logins.give_code("bob", CODE)
        process.exits(0)
        self.assertIn("without a login", self.over("failed"))
        self.status = b'{"loggedIn": false}'
        process = self.begin()
        self.succeed(process)
        self.assertIn("without a login", self.over("failed"))

    def test_an_old_login_is_no_proof(self) -> None:
        """A login that was there before, and that claude names, does not make a new one."""
        self.launcher.logged_out.discard("bob")
        process = self.begin()
        process.exits(0)
        self.assertIn("without a login", self.over("failed"))

    def test_status_hangs(self) -> None:
        """A status that never comes is ended, and fails the login."""
        self.driver.program = lambda process: None
        process = self.begin()
        self.launcher.logged_out.discard("bob")
        process.exits(0)
        self.clock.pump([0, 0, STATUS_LIMIT, 0])
        self.assertIn("could not be checked", self.over("failed"))

    def test_cancel(self) -> None:
        """Cancelling ends claude and all that it has started, then tells so."""
        process = self.begin()
        process.descendants = 2
        cancelled = self.logins.cancel("bob")
        self.clock.pump([0, 0])
        self.assertEqual(self.successResultOf(cancelled).state, "cancelled")
        self.assertTrue(process.destroyed)
        self.over("cancelled")
        self.assertEqual(self.of_kind("claude_login")[-2]["state"], "ending")

    def test_cancel_while_it_is_proven(self) -> None:
        """The question for the status is ended too."""
        self.driver.program = lambda process: None
        process = self.begin()
        self.launcher.logged_out.discard("bob")
        process.exits(0)
        self.clock.advance(0)
        self.assertEqual(self.claude().command.argv[-1], "status")
        self.successResultOf(self.logins.cancel("bob"))
        self.over("cancelled")

    def test_cancel_while_it_waits(self) -> None:
        """One that waits for a turn can be cancelled, and the turn goes on."""
        self.launcher.logged_out.clear()
        self.send("first")
        self.logins.start("bob")
        self.successResultOf(self.logins.cancel("bob"))
        self.assertEqual(self.view()["state"], "cancelled")
        self.say(INIT, RESULT)
        self.clock.pump([0] * 4)
        self.assertEqual(len(self.driver.processes), 1)

    def test_time_is_over(self) -> None:
        """A login that nobody finishes is ended, and says until when it would have been."""
        process = self.begin()
        until = self.logins.view("bob").until
        self.assertEqual(until, self.clock.seconds() + LIMIT)
        self.clock.advance(LIMIT)
        self.assertTrue(process.destroyed)
        self.assertIn("10 minutes", self.over("timed_out"))

    def test_no_link(self) -> None:
        """A claude that prints no link is not waited for."""
        self.logins.start("bob")
        self.clock.advance(0)
        self.claude().says(b"thinking\n")
        self.clock.advance(LINK_LIMIT)
        self.assertIn("no link", self.over("failed"))

    def test_no_answer(self) -> None:
        """A claude that says nothing of the code is not waited for."""
        self.begin()
        self.logins.give_code("bob", CODE)
        self.claude().complains(b"That doesn't look like the full code.\n")
        self.clock.advance(CHECK_LIMIT)
        self.assertIn("look like the full code", self.over("failed"))

    def test_foreign_link(self) -> None:
        """A link to somebody else is never shown."""
        self.logins.start("bob")
        self.clock.advance(0)
        self.claude().says(b"visit https://evil.example/oauth\nPaste it > ")
        self.assertIn("evil.example", self.over("failed"))
        self.assertFalse(any("link" in one for one in self.of_kind("claude_login")))

    def test_flood(self) -> None:
        """A claude that prints without end is ended."""
        process = self.begin()
        for _ in range(3):
            process.complains(bytes(MAX_OUTPUT // 2))
        self.assertIn("printed more", self.over("failed"))

    def test_not_installed(self) -> None:
        """A claude that can't be run is said with the driver's reason."""
        self.driver.missing.add("claude")
        self.logins.start("bob")
        self.assertIn("no program", self.over("failed"))

    def test_container_stops(self) -> None:
        """Stopping the agent ends its login."""
        self.begin()
        self.do(self.agents.stop("bob", "operator"))
        self.over("failed")

    def test_agent_destroyed(self) -> None:
        """A destroyed agent's login ends, and the next of that name begins with none."""
        self.begin()
        self.agents.destroy("bob")
        self.clock.pump([0] * 6)
        self.assertNotIn("bob", self.agents.names())
        self.assertEqual((self.driver.alive, self.logins._running), (0, {}))
        self.do(self.agents.spawn("bob"))
        self.assertEqual(self.view(), {"state": "none"})

    def test_daemon_ends(self) -> None:
        """No login outlives the daemon, and none begins any more."""
        process = self.begin()
        stopped = self.logins.stop()
        self.clock.pump([0, 0])
        self.successResultOf(stopped)
        self.assertTrue(process.destroyed)
        self.over("cancelled")
        self.assertRaises(LoginRefused, self.logins.start, "bob")


class RefusalTests(LoginTestCase):
    """What is refused at once."""

    def test_unknown(self) -> None:
        """Only agents that exist are logged in."""
        for method in (self.logins.start, self.logins.view):
            self.assertRaises(NoSuchAgent, method, "carol")
        self.failureResultOf(self.logins.cancel("carol"), NoSuchAgent)

    def test_not_running(self) -> None:
        """A stopped agent is to be started first, says the refusal."""
        self.do(self.agents.stop("bob", "operator"))
        error = self.assertRaises(LoginRefused, self.logins.start, "bob")
        self.assertIn("start it", str(error))
        self.assertEqual(self.view(), {"state": "none"})

    def test_nothing_runs(self) -> None:
        """A code or a cancellation without a login is refused."""
        self.assertRaises(NoLoginRuns, self.logins.give_code, "bob", CODE)
        self.failureResultOf(self.logins.cancel("bob"), NoLoginRuns)

    def test_too_early_and_twice(self) -> None:
        """A code is taken once, when the link is there."""
        self.logins.start("bob")
        self.assertRaises(NoLoginRuns, self.logins.give_code, "bob", CODE)
        self.clock.advance(0)
        process = self.claude()
        process.says(NEWEST.encode())
        self.logins.give_code("bob", CODE)
        self.assertRaises(NoLoginRuns, self.logins.give_code, "bob", CODE)
        self.assertEqual(process.written, f"{CODE}\n".encode())

    def test_no_code(self) -> None:
        """What is no code does not get to claude, and the login goes on."""
        process = self.begin()
        self.assertRaises(BadCode, self.logins.give_code, "bob", "half")
        self.assertEqual((process.written, self.view()["state"]), (b"", "link"))

    def test_failing(self) -> None:
        """While one that failed is cleared away it takes no code."""
        process = self.begin()
        process.complains(bytes(MAX_OUTPUT + 1))
        self.assertRaises(NoLoginRuns, self.logins.give_code, "bob", CODE)


class SecrecyTests(LoginTestCase):
    """Where the code does not appear."""

    def test_nowhere(self) -> None:
        """No event, log line, row of a database or view holds the code or a part of it."""
        process = self.begin()
        self.logins.give_code("bob", CODE)
        process.complains(f"bad: {CODE}\n".encode())
        process.exits(1)
        self.over("failed")
        process = self.begin()
        self.logins.give_code("bob", CODE)
        self.succeed(process)
        self.over("done")
        self.do(self.history.stop())
        places = [repr(self.seen), self.lines.getvalue(), repr(self.logins.__dict__)]
        places += [
            "\n".join(database.read(lambda connection: list(connection.iterdump())))
            for database in (self.database, self.events_database)
        ]
        self.assertIn("bob", places[1])
        for place in places:
            for part in (CODE, *CODE.split("#")):
                self.assertNotIn(part, place)
