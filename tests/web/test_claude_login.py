"""The routes of claude's login: what they answer, who gets at them, and what they don't tell."""

import io
from typing import Any

from twisted.logger import globalLogPublisher, textFileLogObserver

from hyperhive.containers.interfaces import ContainerSpec
from hyperhive.names import container_name
from hyperhive.testing.claude_auth import RIGHT_CODE
from hyperhive.testing.containers import MemoryProcess
from tests.web.support import WebCase

LINK = "https://claude.ai/oauth/authorize?z-1"


class ClaudeLoginTests(WebCase):
    """Alice's claude, which a test plays."""

    def setUp(self) -> None:
        """Let containers run."""
        super().setUp()
        self.container = ContainerSpec(container_name("alice"))
        self.hive.driver.create(self.container)
        self.hive.driver.start(self.container.name)

    def begin(self) -> MemoryProcess:
        """Start it up to its link."""
        code, answer = self.post("/agent/alice/login/start")
        self.assertEqual((code, answer["login"]["state"]), (200, "starting"))
        self.clock.advance(0)
        process: MemoryProcess = self.hive.driver.processes[-1]
        process.says(f"visit:\n{LINK}\nPaste code here > ".encode())
        return process

    def login(self) -> Any:
        """How it is."""
        return self.get("/agent/alice/login/state")["login"]

    def test_steps(self) -> None:
        """None, link, code, and what claude says of it."""
        self.assertEqual(self.login(), {"name": "alice", "state": "none"})
        process = self.begin()
        login = self.login()
        self.assertEqual((login["state"], login["link"]), ("link", LINK))
        self.assertLess(login["since"], login["until"])
        code, answer = self.post("/agent/alice/login/code", {"code": RIGHT_CODE})
        self.assertEqual((code, answer["login"]["state"]), (200, "checking"))
        self.assertEqual(process.written.decode(), f"{RIGHT_CODE}\n")
        process.complains(b"Couldn't log in: no\n")
        process.exits(1)
        self.clock.pump([0, 0])
        login = self.login()
        self.assertEqual(login["state"], "failed")
        self.assertIn("Couldn't log in", login["note"])

    def test_cancel(self) -> None:
        """It is answered when nothing of it runs any more."""
        process = self.begin()
        asking = self.client.post(
            "http://localhost:7000/agent/alice/login/cancel", headers=self.bearer
        )
        self.client.flush()
        self.clock.pump([0, 0])
        self.client.flush()
        self.assertEqual(self.successResultOf(asking).code, 200)
        self.assertTrue(process.destroyed)
        self.assertEqual(self.login()["state"], "cancelled")

    def test_refusals(self) -> None:
        """What can't be done is a sentence and a code."""
        path = "/agent/alice/login"
        self.assert_refused(
            self.ask("POST", f"{path}/code", json={"code": RIGHT_CODE}),
            409,
            "start one",
        )
        self.assert_refused(self.ask("POST", f"{path}/cancel"), 409, "start one")
        self.begin()
        self.assert_refused(
            self.ask("POST", f"{path}/code", json={"code": "half"}), 400, "#"
        )
        self.assert_refused(self.ask("POST", f"{path}/code", json={}), 400, "code")
        self.assert_refused(
            self.ask("POST", "/agent/nobody/login/start"), 404, "nobody"
        )
        self.hive.agents.change("bob", running=False)
        self.assert_refused(self.ask("POST", "/agent/bob/login/start"), 409, "start it")

    def test_own_port(self) -> None:
        """An agent's own port has them at /login/…, for the operator only."""
        client = self.agent_client("alice")
        base = "http://localhost:8100"
        for method, path in (("GET", "state"), ("POST", "start"), ("POST", "code")):
            response = self.ask(
                method, f"/login/{path}", base=base, client=client, login=False
            )
            self.assertIn(response.code, (401, 403), path)
        self.assertEqual(self.hive.driver.processes, [])
        response = self.ask("POST", "/login/start", base=base, client=client)
        self.assertEqual(response.code, 200)
        page = self.ask("GET", "/login", base=base, client=client, login=False)
        self.assertIn("token", self.text(page))

    def test_foreign_origin(self) -> None:
        """No other page begins a login with the operator's cookie, on any port."""
        entered = self.ask(
            "POST", "/login", data={"token": self.hive.token}, login=False
        )
        cookie = entered.headers.getRawHeaders("set-cookie")[0].partition(";")[0]
        own = self.agent_client("alice")
        for headers in ({}, {"origin": "http://evil.example"}):
            for path, client in (("/agent/alice/login", None), ("/login", own)):
                response = self.ask(
                    "POST",
                    f"{path}/start",
                    headers={"cookie": cookie, **headers},
                    login=False,
                    client=client,
                )
                self.assertEqual(response.code, 403, (path, headers))
        self.assertEqual(self.hive.driver.processes, [])

    def test_code_is_not_told(self) -> None:
        """No answer, event or log line has the code, whether it was taken or refused."""
        lines = io.StringIO()
        observer = textFileLogObserver(lines)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        events: list[str] = []
        subscription = self.hive.bus.subscribe(
            lambda event: events.append(event.json.decode()), lambda: None
        )
        assert subscription is not None
        subscription.resume()
        wrong = RIGHT_CODE.replace("#", "%")
        self.begin()
        path = "/agent/alice/login"
        answers = [
            self.text(self.ask("POST", f"{path}/code", **body))
            for code in (wrong, RIGHT_CODE, RIGHT_CODE)
            for body in ({"json": {"code": code}}, {"data": {"code": code}})
        ]
        answers.append(self.text(self.ask("GET", f"{path}/state")))
        self.assertIn("/agent/alice/login/code", lines.getvalue())
        self.assertIn("checking", "".join(events))
        for part in (RIGHT_CODE, wrong, *RIGHT_CODE.split("#")):
            self.assertNotIn(part, lines.getvalue() + "".join(events + answers))
