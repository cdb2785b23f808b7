"""A link decides one thing, once, within its time, as it was shown; and nobody can make one."""

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.approvals.interfaces import AlreadyDecided
from hyperhive.errors import BadRequest, Conflict, PublicError
from hyperhive.names import BY_LINK, OPERATOR
from hyperhive.notify.interfaces import LinkExpired, NoSuchLink, ShownChanged
from hyperhive.notify.links import KEPT_SECONDS, Links, Shown, link_key
from hyperhive.store.links import LinkTable
from tests.notify.support import HOME, NotifyCase

TTL = 3600.0


class LinkCase(NotifyCase):
    """A hive with links."""

    def setUp(self) -> None:
        """Make them."""
        super().setUp()
        self.links = self.made(b"k" * 32)

    def made(self, key: bytes) -> Links:
        """Links that are signed with a key."""
        return Links(
            self.database,
            self.approvals,
            self.questions,
            key,
            HOME,
            TTL,
            self.clock.seconds,
        )

    def token(self, kind: str, id: int) -> str:
        """The token of a link."""
        url = self.successResultOf(self.links.make(kind, id))
        self.assertTrue(url.startswith(f"{HOME}decide/"))
        return url.rpartition("/")[2]

    def look(self, token: str) -> Shown:
        """What the link's page shows."""
        return self.successResultOf(self.links.look(token))


class DecidingTests(LinkCase):
    """Decisions by links."""

    def test_approve(self) -> None:
        """An approval is shown with its diff, and approved by whoever has the link."""
        id = self.commit_asked()
        token = self.token("approval", id)
        shown = self.look(token)
        assert shown.approval is not None
        assert shown.diff is not None
        self.assertEqual((shown.approval.id, shown.pending), (id, True))
        self.assertIn("+new", shown.diff.text)
        self.successResultOf(self.links.approve(token, shown.seen))
        row = self.approval(id)
        self.assertEqual((row.status, row.resolved_by), ("approved", BY_LINK))

    def test_deny(self) -> None:
        """Whoever asked is told of a denial, with its note."""
        id = self.spawn_asked()
        token = self.token("approval", id)
        denying = self.links.deny(token, self.look(token).seen, "not now")
        self.successResultOf(denying)
        self.assertEqual(self.approval(id).resolved_by, BY_LINK)
        [told] = self.told("manager")
        self.assertEqual((told["status"], told["note"]), ("denied", "not now"))

    def test_answer(self) -> None:
        """A question is answered, in own words or by its options."""
        for answer, text in (("go on", "go on"), (["red"], "red")):
            id = self.asked(options=("red", "blue"))
            token = self.token("question", id)
            answering = self.links.answer(token, self.look(token).seen, answer)
            self.successResultOf(answering)
            row = self.question(id)
            self.assertEqual((row.answer, row.resolved_by), (text, BY_LINK))

    def test_the_operators_own_wish(self) -> None:
        """Who denies his own request by a link is not told that he did."""
        id = self.spawn_asked(asker=OPERATOR)
        token = self.token("approval", id)
        self.successResultOf(self.links.deny(token, self.look(token).seen, None))
        self.assertEqual(self.said(), [])

    def test_replay(self) -> None:
        """A used link says who decided, and when, and decides nothing more."""
        id = self.commit_asked()
        token = self.token("approval", id)
        seen = self.look(token).seen
        self.successResultOf(self.links.deny(token, seen, None))
        self.clock.advance(60)
        for again in (
            self.links.approve(token, seen),
            self.links.deny(token, seen, "x"),
        ):
            error = self.failureResultOf(again, AlreadyDecided)
            self.assertIn("was denied by operator (link) at", error.getErrorMessage())
        shown = self.look(token)
        self.assertFalse(shown.pending)
        self.assertEqual(self.approval(id).status, "denied")

    def test_decided_elsewhere(self) -> None:
        """A link to what was decided on the dashboard says so."""
        id = self.commit_asked()
        token = self.token("approval", id)
        seen = self.look(token).seen
        self.successResultOf(self.approvals.deny(id, OPERATOR))
        error = self.failureResultOf(self.links.approve(token, seen), AlreadyDecided)
        self.assertIn("by operator at", error.getErrorMessage())

    def test_use_is_part_of_the_decision(self) -> None:
        """A decision that fails uses nothing up; one that is made uses the link up with it."""
        id = self.asked()
        token = self.token("question", id)
        seen = self.look(token).seen
        self.failureResultOf(self.links.answer(token, seen, "  "), BadRequest)
        self.assertIsNone(self.used_at(1))
        self.successResultOf(self.links.answer(token, seen, "yes"))
        self.assertEqual(self.used_at(1), self.clock.seconds())

    def test_use_of_approvals(self) -> None:
        """Approving and denying use a link up, each with the decision."""
        for number, decide in enumerate((self.links.approve, self.deny), 1):
            token = self.token("approval", self.commit_asked(ref=str(number) * 40))
            self.assertIsNone(self.used_at(number))
            self.successResultOf(decide(token, self.look(token).seen))
            self.assertEqual(self.used_at(number), self.clock.seconds())

    def deny(self, token: str, seen: str) -> Deferred[None]:
        """Deny, without a note."""
        return self.links.deny(token, seen, None)

    def test_used_for_something_that_waits(self) -> None:
        """A link that was used is good for nothing, whatever waits."""
        id = self.asked()
        token = self.token("question", id)
        self.database.write(lambda connection: LinkTable.use(connection, 1, 1.0))
        answering = self.links.answer(token, self.look(token).seen, "yes")
        self.failureResultOf(answering, Conflict)
        self.assertEqual(self.question(id).status, "pending")

    def used_at(self, id: int) -> float | None:
        """When a link was used."""
        row = self.database.read(lambda connection: LinkTable.get(connection, id))
        assert row is not None
        return row.used_at

    def test_only_what_was_shown(self) -> None:
        """What was not shown, or has changed since, is not decided."""
        id = self.commit_asked()
        token = self.token("approval", id)
        seen = self.look(token).seen
        self.failureResultOf(self.links.approve(token, ""), ShownChanged)
        self.failureResultOf(self.links.approve(token, "\udcff"), ShownChanged)
        self.deployer.text += "+more\n"
        self.failureResultOf(self.links.approve(token, seen), ShownChanged)
        self.failureResultOf(self.links.deny(token, seen, None), ShownChanged)
        self.assertEqual(self.approval(id).status, "pending")
        self.successResultOf(self.links.approve(token, self.look(token).seen))

    def test_seen_is_of_one_link(self) -> None:
        """What one link's page has shown proves nothing to another link."""
        first, second = self.asked(), self.asked()
        seen = self.look(self.token("question", first)).seen
        other = self.token("question", second)
        self.failureResultOf(self.links.answer(other, seen, "yes"), ShownChanged)
        self.clock.advance(TTL / 2)
        another = self.token("question", first)
        self.failureResultOf(self.links.answer(another, seen, "yes"), ShownChanged)

    def test_what_cant_be_shown(self) -> None:
        """What can't be shown in full can't be approved, but denied."""
        breaking = (self.fail_diffs, self.widen_diffs, self.lengthen_diffs)
        for number, break_it in enumerate(breaking):
            id = self.commit_asked(ref=str(number) * 40)
            break_it()
            token = self.token("approval", id)
            shown = self.look(token)
            self.assertTrue(shown.problem)
            self.assertIsNone(shown.diff)
            approving = self.links.approve(token, shown.seen)
            self.failureResultOf(approving, Conflict)
            self.successResultOf(self.links.deny(token, shown.seen, None))
            self.deployer.failures.clear()

    def fail_diffs(self) -> None:
        """Let there be nothing to compare with."""
        self.deployer.failures["diff"] = BadRequest("There is nothing approved yet.")

    def widen_diffs(self) -> None:
        """Let what changes be too much for a page."""
        self.deployer.text = f"+{'x' * 100_000}\n"

    def lengthen_diffs(self) -> None:
        """Let what changes have too many lines."""
        self.deployer.text = "+\n" * 2001

    def test_wrong_kind(self) -> None:
        """A question's link approves nothing, and the other way around."""
        question, approval = self.asked(), self.commit_asked()
        token = self.token("question", question)
        seen = self.look(token).seen
        self.failureResultOf(self.links.approve(token, seen), NoSuchLink)
        self.failureResultOf(self.links.deny(token, seen, None), NoSuchLink)
        token = self.token("approval", approval)
        seen = self.look(token).seen
        self.failureResultOf(self.links.answer(token, seen, "yes"), NoSuchLink)


class GoodForTests(LinkCase):
    """Which links are good, and for how long."""

    def test_expiry(self) -> None:
        """A link ends when its time is over, for looking and for deciding."""
        token = self.token("approval", self.commit_asked())
        self.clock.advance(TTL - 1)
        seen = self.look(token).seen
        self.clock.advance(1)
        for failing in (self.links.look(token), self.links.approve(token, seen)):
            self.failureResultOf(failing, LinkExpired)

    def test_reuse(self) -> None:
        """A thing has one link for all who are told, and another when that grows old."""
        id = self.commit_asked()
        first = self.token("approval", id)
        self.assertEqual(self.token("approval", id), first)
        self.clock.advance(TTL / 2)
        second = self.token("approval", id)
        self.assertNotEqual(second, first)
        self.assertTrue(self.look(first).pending)

    def test_two_links_one_decision(self) -> None:
        """Of two links to one thing, the second finds it decided."""
        id = self.commit_asked()
        first = self.token("approval", id)
        self.clock.advance(TTL / 2)
        second = self.token("approval", id)
        seen = self.look(second).seen
        self.successResultOf(self.links.deny(first, self.look(first).seen, None))
        self.failureResultOf(self.links.approve(second, seen), AlreadyDecided)

    def test_tampering(self) -> None:
        """A token is good as it is, or not at all."""
        ids = [self.asked(), self.asked()]
        good, other = (self.token("question", id) for id in ids)
        number, signature = good.split(".")
        last = "A" if signature[-1] != "A" else "Q"
        for bad in (
            "",
            ".",
            number,
            f"{number}.",
            f"{number}.{signature[:-1]}",
            f"{number}.{signature[:-1]}{last}",
            f"{number}.{signature}A",
            f"{number}.{signature}\n",
            f"0{number}.{signature}",
            f"-{number}.{signature}",
            f"{other.split('.')[0]}.{signature}",
            f"999.{signature}",
            f"{'9' * 30}.{signature}",
            f"{number}.{'é' * 43}",
            good + "\0",
        ):
            self.failureResultOf(self.links.look(bad), NoSuchLink)
        self.assertTrue(self.look(good).pending)

    def test_rows_alone_are_nothing(self) -> None:
        """Who can write the table, and knows no key, has no link; nor by changing a row."""
        token = self.token("approval", self.commit_asked())
        for change in ("expires_at = 1e12", "subject = 2", "kind = 'question'"):
            self.database.write(
                lambda connection, change=change: connection.execute(
                    f"UPDATE links SET {change}"  # a test's own
                )
            )
            self.failureResultOf(self.links.look(token), NoSuchLink)

    def test_another_key(self) -> None:
        """Another key makes all links void."""
        token = self.token("approval", self.commit_asked())
        self.links = self.made(b"x" * 32)
        self.failureResultOf(self.links.look(token), NoSuchLink)

    def test_restart(self) -> None:
        """Links outlast the daemon."""
        token = self.token("approval", self.commit_asked())
        self.links = self.made(b"k" * 32)
        self.assertTrue(self.look(token).pending)

    def test_prune(self) -> None:
        """Links are forgotten a week after they expired."""
        token = self.token("approval", self.commit_asked())
        self.clock.advance(TTL + KEPT_SECONDS - 1)
        self.successResultOf(self.links.prune())
        self.failureResultOf(self.links.look(token), LinkExpired)
        self.clock.advance(2)
        self.successResultOf(self.links.prune())
        self.failureResultOf(self.links.look(token), NoSuchLink)

    def test_not_on_disk(self) -> None:
        """What makes a link good is in no table, and in no event."""
        happened: list[Any] = []
        listening = self.bus.subscribe(happened.append, self.fail)
        assert listening is not None
        listening.resume()
        token = self.token("approval", self.commit_asked())
        seen = self.look(token).seen
        self.successResultOf(self.links.deny(token, seen, "no"))
        dumped = self.database.read(lambda connection: [*connection.iterdump()])
        said = "\n".join([*dumped, *(event.json.decode() for event in happened)])
        self.assertIn("operator (link)", said)
        for secret in (token, token.split(".")[1], seen):
            self.assertNotIn(secret, said)


class KeyTests(SynchronousTestCase):
    """The key that signs."""

    def test_made_once(self) -> None:
        """It is made at the first start, for its owner only, and stays."""
        path = Path(self.mktemp())
        key = link_key(path)
        self.assertEqual(len(key), 32)
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(link_key(path), key)

    def test_open_file(self) -> None:
        """A file that others may read is closed to them."""
        path = Path(self.mktemp())
        path.write_text("ab" * 32)
        path.chmod(0o644)
        link_key(path)
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)

    def test_wrong(self) -> None:
        """A file that holds no key is named, and so is a place that has none."""
        path = Path(self.mktemp())
        for text in ("", "ab", "é" * 64, "zz" * 32):
            path.write_text(text)
            with self.assertRaises(PublicError) as raised:
                link_key(path)
            self.assertIn(str(path), str(raised.exception))
        with self.assertRaises(PublicError):
            link_key(path / "under" / "it")
