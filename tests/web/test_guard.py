"""The guard: which host, whose origin, and whether it is the operator."""

import socket

from hyperhive.web.login import MAX_WRONG
from tests.web.support import WebCase

#: Every address behind the login, by what a stranger gets: a page, or an error.
PAGES = ("/", "/stats", "/agent/alice", "/agent/alice/")
GETS = (
    "/api/state",
    "/api/messages",
    "/events/stream",
    "/messages/stream",
    "/metrics",
    "/agent/alice/api/state",
    "/agent/alice/api/messages",
    "/agent/alice/events/history",
    "/agent/alice/events/stream",
    "/agent/alice/login/state",
    "/login/state",
    "/nothing",
    "//",
    "/Login",
    "/%6cogi",
)
POSTS = (
    "/spawn",
    "/start/alice",
    "/kill/alice",
    "/restart/alice",
    "/destroy/alice",
    "/pause/alice",
    "/requeue/1",
    "/op-send",
    "/read",
    "/logout",
    "/agent/alice/send",
    "/agent/alice/api/cancel",
    "/agent/alice/api/compact",
    "/agent/alice/api/new-session",
    "/agent/alice/api/model",
    "/agent/alice/login/start",
    "/agent/alice/login/code",
    "/agent/alice/login/cancel",
)


class GuardTests(WebCase):
    """Who comes in."""

    def cookie(self) -> dict[str, str]:
        """The cookie of a browser that logged in."""
        response = self.ask(
            "POST", "/login", data={"token": self.hive.token}, login=False
        )
        set_cookie = response.headers.getRawHeaders("set-cookie")[0]
        return {"cookie": set_cookie.partition(";")[0]}

    def assert_nothing_done(self) -> None:
        """Nothing was asked of the swarm, and no message written."""
        self.assertEqual(self.hive.agents.calls, [])
        self.assertEqual(self.successResultOf(self.hive.broker.history()), [])

    def test_strangers_are_sent_to_the_login(self) -> None:
        """Without a login a page leads to /login, and back afterwards."""
        for path in PAGES:
            response = self.ask("GET", path, login=False)
            self.assertEqual(response.code, 303, path)
            [location] = response.headers.getRawHeaders("location")
            self.assertEqual(location.partition("?")[0], "/login")
            if path != "/":
                self.assertEqual(location, f"/login?next={path}")

    def test_strangers_get_no_data(self) -> None:
        """Without a login everything else is 401 with a sentence in JSON."""
        for path in GETS:
            for method in ("GET", "POST"):
                headers = {"origin": "http://localhost:7000"}
                response = self.ask(method, path, login=False, headers=headers)
                self.assert_refused(response, 401, "Log in")

    def test_strangers_do_nothing(self) -> None:
        """Without a login no verb works."""
        for path in POSTS:
            response = self.ask(
                "POST",
                path,
                login=False,
                headers={"origin": "http://localhost:7000"},
                json={"name": "carol", "to": "bob", "body": "x", "paused": True},
            )
            self.assert_refused(response, 401)
        self.assert_nothing_done()

    def test_open_doors(self) -> None:
        """The login, static files and the health check need none."""
        self.assertEqual(self.ask("GET", "/login", login=False).code, 200)
        health = self.ask("GET", "/healthz", login=False)
        self.assertEqual((health.code, self.text(health)), (200, "ok\n"))

    def test_bearer(self) -> None:
        """The operator's token comes in everywhere, from a script without Origin."""
        self.assertTrue(self.get("/api/state")["ok"])
        code, _ = self.post("/pause/alice", {"paused": True})
        self.assertEqual(code, 200)

    def test_wrong_bearer(self) -> None:
        """A wrong token is refused, also beside a good cookie, and many are slowed."""
        cookie = self.cookie()
        for _ in range(MAX_WRONG):
            response = self.ask(
                "GET",
                "/api/state",
                login=False,
                headers={"authorization": "Bearer wrong", **cookie},
            )
            self.assert_refused(response, 401, "not the operator's token")
        response = self.ask(
            "GET", "/", login=False, headers={"authorization": "Bearer wrong"}
        )
        self.assert_refused(response, 429)
        self.assertTrue(self.get("/api/state")["ok"], "the right one always comes in")

    def test_cookie(self) -> None:
        """A browser's session reads, and changes from our own page."""
        cookie = self.cookie()
        self.assertEqual(self.ask("GET", "/", login=False, headers=cookie).code, 200)
        code, answer = self.post(
            "/pause/alice",
            {"paused": True},
            login=False,
            headers={**cookie, "origin": "http://localhost:7000"},
        )
        self.assertEqual((code, answer["ok"]), (200, True))

    def test_wrong_cookie(self) -> None:
        """A cookie that is no session is no login, however many there are."""
        for value in ("hyperhive=x", "hyperhive=", "other=1", ";;=;hyperhive"):
            response = self.ask(
                "GET", "/api/state", login=False, headers={"cookie": value}
            )
            self.assert_refused(response, 401)

    def test_foreign_origins_change_nothing(self) -> None:
        """Another page can't use our cookie, whatever it says of itself."""
        cookie = self.cookie()
        for headers in (
            {},
            {"origin": "null"},
            {"origin": ""},
            {"origin": "http://evil.example"},
            {"origin": "http://localhost:7001"},
            {"origin": "http://localhost"},
            {"origin": "http://localhost:7000.evil.example"},
            {"origin": "file://localhost:7000"},
            {"origin": "http://localhost:7000", "sec-fetch-site": "same-site"},
            {"origin": "http://localhost:7000", "sec-fetch-site": "cross-site"},
        ):
            for path in POSTS:
                response = self.ask(
                    "POST",
                    path,
                    login=False,
                    headers={**cookie, **headers},
                    json={"name": "carol", "to": "bob", "body": "x", "paused": True},
                )
                self.assert_refused(response, 403, "own page")
        self.assert_nothing_done()

    def test_foreign_origin_with_bearer(self) -> None:
        """A page of somebody else's is refused even with the token."""
        response = self.ask(
            "POST", "/start/alice", headers={"origin": "http://evil.example"}
        )
        self.assert_refused(response, 403)

    def test_foreign_origin_at_the_login(self) -> None:
        """Another page can't log a browser in."""
        response = self.ask(
            "POST",
            "/login",
            login=False,
            headers={"origin": "http://evil.example"},
            data={"token": self.hive.token},
        )
        self.assert_refused(response, 403)
        self.assertIsNone(response.headers.getRawHeaders("set-cookie"))

    def test_own_origin(self) -> None:
        """Our page is ours by each name, also behind a proxy that speaks TLS."""
        for host, origin in (
            ("127.0.0.1:7000", "http://127.0.0.1:7000"),
            ("LOCALHOST:7000", "http://localhost:7000"),
            ("localhost:7000", "https://localhost:7000"),
            ("[::1]:7000", "http://[::1]:7000"),
        ):
            response = self.ask(
                "POST",
                "/pause/alice",
                headers={
                    "host": host,
                    "origin": origin,
                    "sec-fetch-site": "same-origin",
                },
                json={"paused": True},
            )
            self.assertEqual(response.code, 200, origin)

    def test_our_hosts(self) -> None:
        """localhost, addresses and this machine's name are ours, on any port."""
        name = socket.gethostname()
        for host in ("localhost", "127.0.0.1", "192.168.7.9:80", "[::1]:1", name):
            response = self.ask(
                "GET", "/api/state", base="http://127.0.0.1", headers={"host": host}
            )
            self.assertEqual(response.code, 200, host)

    def test_foreign_hosts(self) -> None:
        """A rebound name gets nothing, not even the login page."""
        for host in (
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil.example:7000",
            "localhost:7000@evil.example",
            "localhost/evil",
            "",
            "[evil]",
        ):
            for path in ("/", "/login", "/api/state", "/healthz", "/static/x"):
                response = self.ask("GET", path, headers={"host": host})
                self.assert_refused(response, 421, "localhost")
                response = self.ask("HEAD", path, headers={"host": host})
                self.assertEqual((response.code, self.text(response)), (421, ""))

    def test_options_is_a_change(self) -> None:
        """No other method slips past as harmless, and nothing allows other origins."""
        for method in ("OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"):
            response = self.ask(
                method,
                "/api/state",
                login=False,
                headers={**self.cookie(), "origin": "http://evil.example"},
            )
            self.assert_refused(response, 403)
            self.assertIsNone(
                response.headers.getRawHeaders("access-control-allow-origin")
            )

    def test_headers(self) -> None:
        """Every answer, errors included, forbids scripts of others, framing and sniffing."""
        responses = [
            self.ask("GET", "/"),
            self.ask("GET", "/agent/alice/"),
            self.ask("GET", "/login", login=False),
            self.ask("GET", "/api/state"),
            self.ask("GET", "/nothing"),
            self.ask("GET", "/api/state", login=False),
            self.ask("GET", "/", headers={"host": "evil.example"}),
            self.ask("POST", "/start/nobody"),
        ]
        for response in responses:
            header = {
                name.decode().lower(): values[0].decode()
                for name, values in response.headers.getAllRawHeaders()
            }
            policy = header["content-security-policy"]
            self.assertIn("default-src 'none'; script-src 'self'", policy)
            self.assertIn("frame-ancestors 'none'", policy)
            self.assertNotIn("unsafe", policy)
            self.assertEqual(header["x-content-type-options"], "nosniff")
            self.assertEqual(header["referrer-policy"], "same-origin")
            self.assertEqual(header["cache-control"], "no-store")

    def test_agents_port(self) -> None:
        """An agent's own port has the same guard and the same login."""
        client = self.agent_client("alice")
        base = "http://localhost:8101"
        stranger = self.ask("GET", "/", base=base, login=False, client=client)
        self.assertEqual(stranger.code, 303)
        cookie = self.cookie()
        page = self.ask(
            "GET", "/", base=base, login=False, client=client, headers=cookie
        )
        self.assertEqual(page.code, 200)
        for path in ("/send", "/api/cancel"):
            response = self.ask(
                "POST",
                path,
                base=base,
                login=False,
                client=client,
                headers={**cookie, "origin": "http://localhost:7000"},
            )
            self.assert_refused(response, 403)
        response = self.ask("GET", "/spawn", base=base, client=client)
        self.assert_refused(response, 404)
