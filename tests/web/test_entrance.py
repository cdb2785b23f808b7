"""The login page, links, the logout, and static files."""

import html
import re

from hyperhive.web.login import MAX_WRONG, TICKET_LIFE
from tests.web.support import WebCase


class LoginPageTests(WebCase):
    """Logging in and out."""

    def setUp(self) -> None:
        """A dashboard that listens, so that it has links."""
        super().setUp()
        self.successResultOf(self.hive.web.start())

    def ticket(self) -> str:
        """The path of a login link."""
        base, path = self.hive.web.login_url().split("/login?", 1)
        self.assertRegex(base, r"^http://[^/]+$")
        return f"/login?{path}"

    def page(self, path: str, **options: object) -> str:
        """A page's text."""
        return self.text(self.ask("GET", path, login=False, **options))

    def assert_logged_in(self, response: object) -> None:
        """The answer brings a strict cookie that opens the dashboard."""
        [cookie] = response.headers.getRawHeaders("set-cookie")
        for part in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age=2592000"):
            self.assertIn(part, cookie)
        value = {"cookie": cookie.partition(";")[0]}
        inside = self.ask("GET", "/api/state", login=False, headers=value)
        self.assertEqual(inside.code, 200)

    def test_link(self) -> None:
        """A link logs in once, and leaves the URL by a redirect."""
        path = self.ticket()
        response = self.ask("GET", path, login=False)
        self.assertEqual(response.code, 303)
        self.assertEqual(response.headers.getRawHeaders("location"), ["/"])
        self.assert_logged_in(response)
        again = self.ask("GET", path, login=False)
        self.assertEqual(again.code, 401)
        self.assertIsNone(again.headers.getRawHeaders("set-cookie"))
        self.assertIn("used already", self.text(again))

    def test_old_link(self) -> None:
        """A link of ten minutes ago is refused with what to do."""
        path = self.ticket()
        self.clock.advance(TICKET_LIFE)
        response = self.ask("GET", path, login=False)
        self.assertEqual(response.code, 401)
        self.assertIn("hive-c0re login-url", self.text(response))

    def test_head_does_not_use_it_up(self) -> None:
        """A HEAD, which previews send, leaves a link good."""
        path = self.ticket()
        self.assertEqual(self.ask("HEAD", path, login=False).code, 200)
        self.assertEqual(self.ask("GET", path, login=False).code, 303)

    def test_token_in_a_browser(self) -> None:
        """The form leads to where the operator wanted to go."""
        response = self.ask(
            "POST",
            "/login",
            login=False,
            headers={"accept": "text/html", "origin": "http://localhost:7000"},
            data={
                "username": "operator",
                "token": f" {self.hive.token}\n",
                "next": "/agent/alice/",
            },
        )
        self.assertEqual(response.code, 303)
        self.assertEqual(response.headers.getRawHeaders("location"), ["/agent/alice/"])
        self.assert_logged_in(response)

    def test_back_with_the_query(self) -> None:
        """What was asked for is come back to as it was: a page may keep its choice there."""
        wanted = "/stats?window=7d&agent=alice"
        response = self.ask("GET", wanted, login=False)
        [location] = response.headers.getRawHeaders("location")
        page = self.text(self.ask("GET", location, login=False))
        [after] = re.findall(r'name="next" value="([^"]*)"', page)
        response = self.ask(
            "POST",
            "/login",
            login=False,
            headers={"accept": "text/html", "origin": "http://localhost:7000"},
            data={"token": self.hive.token, "next": html.unescape(after)},
        )
        self.assertEqual(response.headers.getRawHeaders("location"), [wanted])

    def test_token_from_a_script(self) -> None:
        """A script gets JSON."""
        response = self.ask(
            "POST", "/login", login=False, json={"token": self.hive.token}
        )
        self.assertEqual(response.code, 200)
        self.assert_logged_in(response)

    def test_wrong_token(self) -> None:
        """A wrong token is said so on the page, where the form is still there."""
        response = self.ask(
            "POST",
            "/login",
            login=False,
            headers={"accept": "text/html"},
            data={"token": "wrong", "next": "/agent/bob/"},
        )
        self.assertEqual(response.code, 401)
        self.assertIsNone(response.headers.getRawHeaders("set-cookie"))
        page = self.text(response)
        self.assertIn("not the operator", page)
        self.assertIn('value="/agent/bob/"', page)
        self.assertNotIn("wrong", page)

    def test_many_wrong_tokens(self) -> None:
        """Too many wrong tokens are told to wait; the right one still comes in."""
        for _ in range(MAX_WRONG):
            code, _ = self.post("/login", {"token": "wrong"}, login=False)
            self.assertEqual(code, 401)
        code, answer = self.post("/login", {"token": "wrong"}, login=False)
        self.assertEqual(code, 429)
        self.assertIn("Wait", answer["error"])
        code, _ = self.post("/login", {"token": self.hive.token}, login=False)
        self.assertEqual(code, 200)

    def test_missing_token(self) -> None:
        """A form without the field is a bad request."""
        code, answer = self.post("/login", {"other": "x"}, login=False)
        self.assertEqual(code, 400)
        self.assertIn("'token'", answer["error"])

    def test_only_our_places(self) -> None:
        """After a login the browser goes nowhere else."""
        for path in (
            "//evil.example",
            "http://evil.example",
            "/\\evil.example",
            "/%0d%0aset-cookie:x\n",
            "javascript:alert(1)",
            "/a?b\r\nx",
            "/a?//evil.example\\",
            "/a#b",
            "?a=b",
        ):
            page = self.page("/login", params={"next": path})
            self.assertIn('name="next" value="/"', page)
            response = self.ask(
                "POST",
                "/login",
                login=False,
                headers={"accept": "text/html"},
                data={"token": self.hive.token, "next": path},
            )
            self.assertEqual(response.headers.getRawHeaders("location"), ["/"])

    def test_logout(self) -> None:
        """A logout ends the session and takes the cookie back."""
        login = self.ask("GET", self.ticket(), login=False)
        [cookie] = login.headers.getRawHeaders("set-cookie")
        headers = {
            "cookie": cookie.partition(";")[0],
            "origin": "http://localhost:7000",
        }
        response = self.ask("POST", "/logout", login=False, headers=headers)
        self.assertEqual(response.code, 303)
        self.assertIn("Max-Age=0", response.headers.getRawHeaders("set-cookie")[0])
        after = self.ask("GET", "/api/state", login=False, headers=headers)
        self.assert_refused(after, 401)

    def test_banners(self) -> None:
        """The login page says already that this is a demo, or without isolation."""
        self.assertNotIn("DEM0", self.page("/login"))

    def test_static(self) -> None:
        """What the page names is there, for ever under this name, and typed."""
        page = self.page("/login")
        paths = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)
        self.assertEqual(len(paths), 4)
        for path in paths:
            response = self.ask("GET", path, login=False)
            self.assertEqual(response.code, 200)
            header = response.headers.getRawHeaders
            self.assertIn("immutable", header("cache-control")[0])
            kind = {
                "css": "text/css; charset=utf-8",
                "js": "text/javascript; charset=utf-8",
                "svg": "image/svg+xml; charset=utf-8",
            }[path.rpartition(".")[2]]
            self.assertEqual(header("content-type"), [kind])
            again = self.ask(
                "GET", path, login=False, headers={"if-none-match": header("etag")[0]}
            )
            self.assertEqual((again.code, self.text(again)), (304, ""))

    def test_static_of_another_version(self) -> None:
        """A file under another version's name is missing, and so is one beside them."""
        for path in (
            "/static/",
            "/static/base.css",
            "/static/0000000000000000/base.css",
            "/static/../login.py",
            "/static/%2e%2e/login.py",
        ):
            self.assert_refused(self.ask("GET", path, login=False), 404)
