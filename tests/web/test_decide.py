"""The page of a one-time link: what it shows, what it takes, and from whom."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from hyperhive.names import BY_LINK
from hyperhive.store.approvals import ApprovalRow, ApprovalTable
from hyperhive.store.questions import QuestionRow, QuestionTable
from hyperhive.web.decide import CARRY_OUT_SECONDS
from hyperhive.web.login import MAX_WRONG
from tests.web.support import Hive, WebCase

PUBLIC = "https://hive.example.org/"
SHA = "0123456789" * 4


class DecideCase(WebCase):
    """A hive with links, and somebody with a phone and no login."""

    def make_hive(self) -> Hive:
        """See WebCase."""
        return Hive(self.clock, Path(self.mktemp()), self._now, public_url=PUBLIC)

    def link(self, kind: str, id: int) -> str:
        """The path of a link."""
        links = self.hive.links
        assert links is not None
        url = self.successResultOf(links.make(kind, id))
        self.assertTrue(url.startswith(PUBLIC))
        return "/" + url.removeprefix(PUBLIC)

    def commit_asked(self) -> int:
        """An approval of a commit."""
        return self.successResultOf(
            self.hive.decisions.approvals.request_apply_commit(
                "alice", SHA, "manager", "<b>more</b> memory"
            )
        )

    def asked(self, **more: Any) -> int:
        """A question."""
        asking = self.hive.decisions.questions.ask("bob", "<i>Why?</i>", **more)
        return self.successResultOf(asking)

    def approval(self, id: int) -> ApprovalRow:
        """An approval on disk."""
        row = self.hive.database.read(
            lambda connection: ApprovalTable.get(connection, id)
        )
        assert row is not None
        return row

    def question(self, id: int) -> QuestionRow:
        """A question on disk."""
        row = self.hive.database.read(
            lambda connection: QuestionTable.get(connection, id)
        )
        assert row is not None
        return row

    def page(self, path: str, code: int = 200, **options: Any) -> str:
        """What somebody with the link sees."""
        response = self.ask("GET", path, login=False, **options)
        self.assertEqual(response.code, code)
        return self.text(response)

    def seen(self, path: str) -> str:
        """The proof that is in the page's form."""
        found = re.search(r'name="seen" value="([\w-]{43})"', self.page(path))
        assert found is not None
        return found[1]

    def send(self, path: str, /, origin: str | None = "null", **fields: Any) -> Any:
        """Send the page's form as a browser does, whose page has no referrer."""
        fields = {"seen": self.seen(path), **fields}
        return self.raw(path, fields, {} if origin is None else {"origin": origin})

    def raw(self, path: str, fields: Any, headers: dict[str, str]) -> Any:
        """Send a form."""
        kind = {"content-type": "application/x-www-form-urlencoded"}
        return self.ask(
            "POST",
            path,
            data=urlencode(fields).encode(),
            headers={**kind, **headers},
            login=False,
        )


class ShowingTests(DecideCase):
    """What a GET shows, and that it does nothing."""

    def test_approval(self) -> None:
        """Who asks, why, and every line of the diff; agents' words are text."""
        page = self.page(self.link("approval", self.commit_asked()))
        for part in (
            "Deploy to <b>alice</b>?",
            "manager",
            SHA[:12],
            "&lt;b&gt;more&lt;/b&gt; memory",
            '<span class="added">+new</span>',
            '<span class="deleted">-old</span>',
            "agent.toml",
            "one decision, within 60 min",
            'value="approve"',
            'value="deny"',
        ):
            self.assertIn(part, page)
        self.assertNotIn("<script", page)

    def test_lines_that_pretend(self) -> None:
        """An added line can't look like the names of files, which nobody reads."""
        self.hive.decisions.deployer.text = (
            "diff --git a/x b/x\nindex 1..2\n--- a/x\n+++ b/x\n@@ -1 +1,2 @@\n-- old\n"
            "+++ evil\n kept\n\\ No newline at end of file\ndiff --git a/y b/y\n"
            "Binary files differ\n"
        )
        page = self.page(self.link("approval", self.commit_asked()))
        for mark, line in (
            ("meta", "+++ b/x"),
            ("meta", "--- a/x"),
            ("deleted", "-- old"),
            ("added", "+++ evil"),
            ("", " kept"),
            ("file", "diff --git a/y b/y"),
            ("meta", "Binary files differ"),
        ):
            self.assertIn(f'<span class="{mark}">{line}</span>', page)

    def test_new_agent(self) -> None:
        """A new agent has no diff."""
        approvals = self.hive.decisions.approvals
        id = self.successResultOf(approvals.request_spawn("carol", "manager"))
        page = self.page(self.link("approval", id))
        self.assertIn("Make <b>carol</b>?", page)
        self.assertNotIn("<pre", page)

    def test_question(self) -> None:
        """A question with its options, and room for own words."""
        page = self.page(self.link("question", self.asked(options=("re<d", "blue"))))
        for part in (
            "&lt;i&gt;Why?&lt;/i&gt;",
            'type="radio" name="choice" value="re&lt;d"',
            "<textarea",
        ):
            self.assertIn(part, page)

    def test_several_options(self) -> None:
        """Several options can be chosen where the asker allows it."""
        id = self.asked(options=("red", "blue"), multi=True)
        page = self.page(self.link("question", id))
        self.assertIn('type="checkbox" name="choice2" value="blue"', page)

    def test_headers(self) -> None:
        """Nothing of the page is kept, framed, indexed, or told to another site."""
        path = self.link("approval", self.commit_asked())
        for shown in (path, "/decide/1.wrong"):
            headers = self.ask("GET", shown, login=False).headers
            said = {
                name.decode().lower(): values[0].decode()
                for name, values in headers.getAllRawHeaders()
            }
            self.assertEqual(said["referrer-policy"], "no-referrer")
            self.assertEqual(said["cache-control"], "no-store")
            self.assertEqual(said["x-robots-tag"], "noindex, nofollow")
            policy = said["content-security-policy"]
            self.assertIn("default-src 'none'", policy)
            self.assertIn("frame-ancestors 'none'", policy)
            self.assertNotIn("script-src", policy)

    def test_looking_changes_nothing(self) -> None:
        """Scanners, previews and prefetching browsers decide nothing, however often."""
        id = self.commit_asked()
        path = self.link("approval", id)
        for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE"):
            for query in ("", "?do=approve", f"?do=approve&seen={self.seen(path)}"):
                headers = {"purpose": "prefetch", "sec-purpose": "prefetch"}
                self.ask(method, path + query, headers=headers, login=False)
        self.assertEqual(self.approval(id).status, "pending")
        self.assertIn("APPR0VE", self.page(path))

    def test_nothing_else_opens(self) -> None:
        """A link is no login: everything else still asks for one."""
        path = self.link("approval", self.commit_asked())
        response = self.ask("GET", path, login=False)
        self.assertFalse(response.headers.hasHeader("set-cookie"))
        token = path.rpartition("/")[2]
        for elsewhere in ("/api/state", f"/api/state?token={token}"):
            self.assert_refused(self.ask("GET", elsewhere, login=False), 401)
        bearer = {"authorization": f"Bearer {token}"}
        asked = self.ask("GET", "/api/state", login=False, headers=bearer)
        self.assert_refused(asked, 401)

    def test_public_name(self) -> None:
        """The dashboard's public name is one of its own; others are not."""
        path = self.link("approval", self.commit_asked())
        self.page(path, base="https://hive.example.org")
        self.page(path, 421, base="https://evil.example.org")


class DecidingTests(DecideCase):
    """What a POST decides."""

    def assert_leads_back(self, response: Any, path: str) -> None:
        """It was decided; the page shows it."""
        self.assertEqual(response.code, 303)
        self.assertEqual(response.headers.getRawHeaders("location"), [path])

    def test_approve(self) -> None:
        """Approved: the page says by whom and when."""
        id = self.commit_asked()
        path = self.link("approval", id)
        self.assert_leads_back(self.send(path, do="approve"), path)
        row = self.approval(id)
        self.assertEqual((row.status, row.resolved_by), ("approved", BY_LINK))
        page = self.page(path)
        self.assertIn("<strong>approved</strong>", page)
        self.assertIn("by operator (link) at", page)
        self.assertNotIn("<form", page)

    def test_approve_that_takes_long(self) -> None:
        """A build is not waited for; it goes on."""
        self.hive.decisions.deployer.holding = True
        id = self.commit_asked()
        path = self.link("approval", id)
        fields = {"seen": self.seen(path), "do": "approve"}
        asking = self.client.request(
            "POST",
            f"http://localhost:7000{path}",
            data=urlencode(fields).encode(),
            headers={"content-type": "application/x-www-form-urlencoded"},
            allow_redirects=False,
        )
        self.client.flush()
        self.assertNoResult(asking)
        self.clock.advance(CARRY_OUT_SECONDS)
        self.client.flush()
        self.assertEqual(self.successResultOf(asking).code, 303)
        self.assertIn("It is being carried out", self.page(path))
        self.hive.decisions.deployer.finish()

    def test_approve_that_fails(self) -> None:
        """What was approved and could not be done is said so."""
        self.hive.decisions.deployer.failing["alice"] = "It does not build."
        path = self.link("approval", self.commit_asked())
        self.assert_leads_back(self.send(path, do="approve"), path)
        page = self.page(path)
        self.assertIn("<strong>failed</strong>", page)
        self.assertIn("It does not build.", page)

    def test_deny(self) -> None:
        """Denied, with a note."""
        id = self.commit_asked()
        path = self.link("approval", id)
        self.assert_leads_back(self.send(path, do="deny", note="not now"), path)
        row = self.approval(id)
        self.assertEqual((row.status, row.note), ("denied", "not now"))
        self.assertIn("not now", self.page(path))

    def test_answers(self) -> None:
        """Each option is a line of the answer, and own words are added, as on the dashboard."""
        options = ("red", "blue")
        for more, fields, text in (
            ({}, {"answer": "yes\r\nno"}, "yes\nno"),
            ({"options": options}, {"choice": "blue", "answer": " "}, "blue"),
            (
                {"options": options},
                {"choice": "blue", "answer": "green"},
                "blue\ngreen",
            ),
            (
                {"options": options, "multi": True},
                {"choice1": "red", "choice2": "blue", "answer": ""},
                "red\nblue",
            ),
            (
                {"options": options, "multi": True},
                {"choice2": "blue", "choice1": "red", "answer": "not on Mondays"},
                "red\nblue\nnot on Mondays",
            ),
        ):
            id = self.asked(**more)
            path = self.link("question", id)
            self.assert_leads_back(self.send(path, do="answer", **fields), path)
            self.assertEqual(self.question(id).answer, text)
            self.assertIn("<strong>answered</strong>", self.page(path))

    def test_fields_that_there_are_not(self) -> None:
        """What the page does not have is refused, and nothing is decided."""
        id = self.asked()
        path = self.link("question", id)
        response = self.send(path, do="answer", answer="yes", choices="red")
        self.assertEqual(response.code, 400)
        self.assertEqual(self.question(id).status, "pending")

    def test_empty_answer(self) -> None:
        """An empty answer is asked for again, and the link is still good."""
        id = self.asked()
        path = self.link("question", id)
        response = self.send(path, do="answer", answer=" ")
        self.assertEqual(response.code, 400)
        self.assertIn("The answer is empty", self.text(response))
        self.assert_leads_back(self.send(path, do="answer", answer="yes"), path)

    def test_typed_text_is_kept(self) -> None:
        """What was typed is still there when something else was wrong."""
        path = self.link("question", self.asked())
        fields = {"seen": "stale", "do": "answer", "answer": "a <long> text"}
        response = self.raw(path, fields, {})
        self.assertEqual(response.code, 409)
        self.assertIn(">a &lt;long&gt; text</textarea>", self.text(response))

    def test_name_that_was_taken(self) -> None:
        """A new agent whose name was taken meanwhile waits on, and the page says why."""
        approvals = self.hive.decisions.approvals
        id = self.successResultOf(approvals.request_spawn("carol", "manager"))
        path = self.link("approval", id)
        self.hive.agents.add("carol")
        response = self.send(path, do="approve")
        self.assertEqual(response.code, 409)
        said = self.text(response)
        self.assertIn("There is an agent &#39;carol&#39; already.", said)
        self.assertIn('value="deny"', said)

    def test_note_that_is_too_long(self) -> None:
        """A note has a limit, which is told."""
        path = self.link("approval", self.commit_asked())
        response = self.send(path, do="deny", note="x" * 5000)
        self.assertEqual(response.code, 413)
        self.assertIn("5000 bytes", self.text(response))

    def test_replay(self) -> None:
        """The same form again is told who decided, and when."""
        id = self.commit_asked()
        path = self.link("approval", id)
        fields = {"seen": self.seen(path), "do": "deny"}
        self.assertEqual(self.raw(path, fields, {}).code, 303)
        self.clock.advance(60)
        for do in ("deny", "approve"):
            response = self.raw(path, {**fields, "do": do}, {})
            self.assertEqual(response.code, 409)
            said = self.text(response)
            self.assertIn("was denied by operator (link) at 20", said)
            self.assertNotIn("<form", said)
        self.assertEqual(self.approval(id).status, "denied")

    def test_two_devices_at_once(self) -> None:
        """Of two that decide at the same moment one does, and the other is told."""
        id = self.commit_asked()
        path = self.link("approval", id)
        fields = {"seen": self.seen(path)}
        asking = [
            self.client.request(
                "POST",
                f"http://localhost:7000{path}",
                data=urlencode({**fields, "do": do}).encode(),
                headers={"content-type": "application/x-www-form-urlencoded"},
                allow_redirects=False,
            )
            for do in ("approve", "deny")
        ]
        self.client.flush()
        codes = [self.successResultOf(one).code for one in asking]
        self.assertEqual(sorted(codes), [303, 409])

    def test_changed_meanwhile(self) -> None:
        """What is no longer as it was shown is shown anew, and not decided."""
        id = self.commit_asked()
        path = self.link("approval", id)
        fields = {"seen": self.seen(path), "do": "approve"}
        self.hive.decisions.deployer.text += "+evil\n"
        response = self.raw(path, fields, {})
        self.assertEqual(response.code, 409)
        said = self.text(response)
        self.assertIn("Look again", said)
        self.assertIn("+evil", said)
        self.assertEqual(self.approval(id).status, "pending")

    def test_without_the_page(self) -> None:
        """Who has the link and has not been shown the page decides nothing."""
        id = self.commit_asked()
        path = self.link("approval", id)
        for fields, code in (
            ({"do": "approve"}, 400),
            ({"do": "approve", "seen": ""}, 409),
            ({"do": "approve", "seen": "x" * 43}, 409),
            ({"do": "dance", "seen": "x" * 43}, 400),
        ):
            self.assertEqual(self.raw(path, fields, {}).code, code)
        self.assertEqual(self.approval(id).status, "pending")

    def test_origins(self) -> None:
        """Another site's page decides nothing, not even with the link and the proof."""
        id = self.commit_asked()
        path = self.link("approval", id)
        for headers in (
            {"origin": "https://evil.example"},
            {"origin": "null", "sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
        ):
            fields = {"seen": self.seen(path), "do": "approve"}
            self.assert_refused(self.raw(path, fields, headers), 403)
        self.assertEqual(self.approval(id).status, "pending")
        for origin in ("http://localhost:7000", None, "null"):
            id = self.asked()
            path = self.link("question", id)
            response = self.send(path, origin, do="answer", answer="yes")
            self.assert_leads_back(response, path)

    def test_null_origin_elsewhere(self) -> None:
        """A sandboxed page, whose origin is null too, reaches nothing else."""
        for path in ("/spawn", "/login", "/approve/1"):
            refused = self.raw(path, {"name": "carol"}, {"origin": "null"})
            self.assert_refused(refused, 403)


class GoodForTests(DecideCase):
    """Links that are not good."""

    def test_wrong(self) -> None:
        """A wrong link shows nothing; many of them are answered shortly."""
        path = self.link("approval", self.commit_asked())
        for _ in range(MAX_WRONG):
            page = self.page(path[:-1] + "!", 404)
            self.assertIn("no link of this hive", page)
            self.assertNotIn("alice", page)
        self.page(path[:-1] + "!", 429)
        self.assertEqual(self.raw(path[:-1], {"seen": "", "do": "deny"}, {}).code, 429)
        # A good one is good all the same: nobody can be locked out.
        self.page(path)

    def test_expired(self) -> None:
        """An expired link says so, and nothing else."""
        id = self.commit_asked()
        path = self.link("approval", id)
        fields = {"seen": self.seen(path), "do": "approve"}
        self.clock.advance(3600)
        page = self.page(path, 410)
        self.assertIn("expired", page)
        self.assertNotIn("alice", page)
        self.assertEqual(self.raw(path, fields, {}).code, 410)
        self.assertEqual(self.approval(id).status, "pending")

    def test_too_long_to_show(self) -> None:
        """A diff that the page can't show can only be denied there."""
        self.hive.decisions.deployer.text = "+x\n" * 50_000
        path = self.link("approval", self.commit_asked())
        page = self.page(path)
        self.assertIn("too long for this page", page)
        self.assertNotIn('value="approve"', page)
        response = self.send(path, do="approve")
        self.assertEqual(response.code, 409)
        self.assert_still(path)

    def assert_still(self, path: str) -> None:
        """It still waits."""
        self.assertIn('value="deny"', self.page(path))


class OffTests(WebCase):
    """A hive without links."""

    def test_off(self) -> None:
        """Without the setting there is nothing at such an address."""
        path = f"/decide/1.{'A' * 43}"
        for method in ("GET", "POST"):
            response = self.ask(method, path, login=False)
            self.assertEqual(response.code, 404)
            self.assertIn("not turned on", self.text(response))

    def test_notify_test(self) -> None:
        """A test without a target says what to set."""
        code, said = self.post("/notify-test")
        self.assertEqual(code, 409)
        self.assertIn("[notify.ntfy]", said["error"])
        self.assert_refused(self.ask("POST", "/notify-test", login=False), 403)
