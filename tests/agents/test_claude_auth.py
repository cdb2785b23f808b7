"""Reading what ``claude auth`` prints, and what an operator pastes."""

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.agents.claude_auth import (
    MAX_CODE,
    MAX_FACT,
    MAX_SAID,
    Account,
    BadCode,
    Code,
    ForeignLink,
    account,
    find_link,
    said,
)

SHORT = (
    "https://claude.ai/oauth/authorize?z-F7El4y8vd3gN1fblUT1INX1UamZue8JdLni9nj0ruB0"
)
LONG = (
    "https://claude.com/cai/oauth/authorize?code=true&client_id=9d1c250a&response_type="
    "code&redirect_uri=https%3A%2F%2Fplatform.claude.com%2Foauth%2Fcode%2Fcallback&"
    "scope=org%3Acreate_api_key+user%3Aprofile&code_challenge=BiikIHbWFskVG5-VV2RAqyPf&"
    "code_challenge_method=S256&state=pfpyx3lqDxdD8s-AF9nIfTf8yqsFLVf0CP4G8MSfIXA"
)
#: As the newest version prints it, and as an older one does.
NEWEST = (
    "Opening browser to sign in…\nIf the browser didn't open, visit:\n"
    f"{SHORT}\nPaste code here if prompted > "
)
OLDER = (
    "Opening browser to sign in…\nIf the browser didn't open, visit: "
    f"{LONG}\nPaste code here if prompted > "
)
CODE = "b1gSecretOfTheOperator_0-9#andItsOtherHalf"


class LinkTests(SynchronousTestCase):
    """The link in claude's output."""

    def test_found(self) -> None:
        """It is found on a line of its own, and at the end of a sentence."""
        self.assertEqual(find_link(NEWEST), SHORT)
        self.assertEqual(find_link(OLDER), LONG)

    def test_whole_or_not_at_all(self) -> None:
        """However the output is cut, the link is whole or not found yet."""
        for output, link in ((NEWEST, SHORT), (OLDER, LONG)):
            found = {find_link(output[:end]) for end in range(len(output))}
            self.assertEqual(found, {None, link})

    def test_wrapped(self) -> None:
        """One that a terminal has wrapped is joined, and nothing else is."""
        wrapped = "\r\n".join(LONG[at : at + 80] for at in range(0, len(LONG), 80))
        for end in ("\r\nPaste code here > ", "\r\n\r\nPaste\r\n", "\r\n  next"):
            self.assertEqual(find_link(f"visit:\r\n{wrapped}{end}"), LONG)

    def test_escapes(self) -> None:
        """Colours, titles and links of a terminal are no part of it."""
        coloured = (
            f"\x1b[2J\x1b]0;claude\x07\x1b]8;;{SHORT}\x1b\\\x1b[1;34m{SHORT}\x1b[0m\n> "
        )
        self.assertEqual(find_link(coloured), SHORT)

    def test_none(self) -> None:
        """No link, no guess; one that ends with the output is whole only then."""
        self.assertIs(find_link("Opening browser to sign in…\n"), None)
        self.assertIs(find_link(SHORT), None)
        self.assertEqual(find_link(SHORT, ended=True), SHORT)

    def test_foreign(self) -> None:
        """A link to anybody else is not shown to the operator."""
        for host in (
            "evil.example",
            "claude.ai.evil.example",
            "notclaude.ai",
            "claude.ai@evil.example",
            "user@claude.ai",
        ):
            self.assertRaises(ForeignLink, find_link, f"https://{host}/oauth?a=b\n \n")
        self.assertIs(find_link("javascript:alert(1)\nhttp://claude.ai/\n"), None)

    @given(st.text(max_size=300))
    def test_anything(self, text: str) -> None:
        """Whatever is printed, the answer is a link to Anthropic, none, or a refusal."""
        try:
            link = find_link(text + SHORT + "\n \n")
        except ForeignLink:
            return
        self.assertTrue(link is None or link.startswith("https://"))


class CodeTests(SynchronousTestCase):
    """What is pasted."""

    def test_taken(self) -> None:
        """A code is taken as it is, but for white space, which wraps or surrounds it."""
        self.assertEqual(Code.parse(CODE).text, CODE)
        self.assertEqual(Code.parse(f"  {CODE[:9]}\n{CODE[9:]}\r\n").text, CODE)

    def test_refused(self) -> None:
        """What can't be a code is refused with what to do, and not repeated."""
        for text, word in (
            ("", "Paste"),
            ("half0fACode", "#"),
            ("a#b#c", "#"),
            ("ab\x00c#d", "#"),
            ("x" * MAX_CODE + "#y", "#"),
            (SHORT, "link"),
        ):
            error = self.assertRaises(BadCode, Code.parse, text)
            self.assertIn(word, str(error))
            if len(text) > 5:
                self.assertNotIn(text, str(error))

    def test_not_shown(self) -> None:
        """A code can't be printed by mistake."""
        self.assertEqual(repr(Code.parse(CODE)), "Code()")
        self.assertNotIn(CODE, f"{Code.parse(CODE)}")

    def test_hidden(self) -> None:
        """It is taken out of a text: whole, in parts, and as a URL has it."""
        first, second = CODE.split("#")
        hidden = Code.parse(CODE).hide_in(
            f"{CODE} {first} {second} {first}%23{second} a#b"
        )
        self.assertEqual(hidden, "… … … …%23… a#b")


class SaidTests(SynchronousTestCase):
    """Claude's last words."""

    def test_last_line(self) -> None:
        """They are its last line, without a terminal's escapes and the prompt."""
        output = "first\n\x1b[31mCouldn't log in: no\x1b[0m\x07\n\n"
        self.assertEqual(said(output, None), "Couldn't log in: no")
        self.assertEqual(said("Paste code here if prompted > ", None), "")

    def test_without_the_code(self) -> None:
        """They never hold the code, whatever claude makes of it."""
        words = said(f"Invalid code: {CODE}\n", Code.parse(CODE))
        self.assertEqual(words, "Invalid code: …")

    def test_bounded(self) -> None:
        """They are as long as a sentence."""
        self.assertEqual(len(said("x" * 10_000, None)), MAX_SAID)


class AccountTests(SynchronousTestCase):
    """Whom ``auth status`` names."""

    def test_named(self) -> None:
        """What it says of the account is taken, what is null or odd is not."""
        status = {
            "loggedIn": True,
            "email": "op@example.org",
            "orgName": None,
            "subscriptionType": "max",
        }
        found = account(json.dumps(status).encode())
        self.assertEqual(found, Account("op@example.org", None, "max"))
        assert found is not None
        self.assertEqual(found.as_wire(), {"email": "op@example.org", "plan": "max"})

    def test_bounded(self) -> None:
        """An agent may have written it: it is text, of one line, and short."""
        status = {"loggedIn": True, "email": "a\nb" + "c" * 999, "orgName": [1]}
        found = account(json.dumps(status).encode())
        assert found is not None
        assert found.email is not None
        self.assertEqual(found.email[:4], "a bc")
        self.assertEqual((len(found.email), found.organisation), (MAX_FACT, None))

    def test_nobody(self) -> None:
        """Anything but a clear yes is a no."""
        for text in (b"", b"{", b"[]", b'{"loggedIn": "true"}', b'{"loggedIn": false}'):
            self.assertIs(account(text), None)
