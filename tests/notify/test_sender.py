"""One target is told what waits: once, in its own time, floods as one."""

from typing import Any

from hyperhive.notify import sender
from hyperhive.notify.digests import Digests
from hyperhive.notify.interfaces import NotTold, Refused
from hyperhive.notify.sender import GATHER_SECONDS, REST_SECONDS, Sender
from hyperhive.store.messages import MessageTable
from tests.notify.support import HOME, Notices, NotifyCase, Recorder


class SenderTests(NotifyCase):
    """A sender with a clock."""

    targets = ("ntfy",)

    def setUp(self) -> None:
        """A sender that has started."""
        super().setUp()
        self.notices = Notices()
        self.target = Recorder()
        self.chance = 0.5
        self.sender = self.made()
        self.sender.start()

    def made(self) -> Sender:
        """A sender, as a daemon makes it that starts."""
        digests = Digests(self.database, self.agents, HOME, None, self.clock.seconds)
        return Sender(
            self.clock,
            self.database,
            "ntfy",
            "ntfy.example",
            self.target,
            digests,
            self.notices,
            lambda: self.chance,
        )

    def after(self, seconds: float) -> list[tuple[str, int]]:
        """What the target is told within so long: kinds, and how many of each."""
        self.target.told.clear()
        self.clock.pump([0.5] * int(seconds * 2))
        return [(one.kind, one.count) for one in self.target.told]

    def test_tells(self) -> None:
        """A question is told after a moment, once."""
        self.asked()
        self.sender.look()
        self.assertEqual(self.after(GATHER_SECONDS), [("question", 1)])
        self.assertEqual(self.after(600), [])
        self.assertEqual(self.noted(), [])

    def test_left_by_another(self) -> None:
        """What an earlier daemon left is told at the start."""
        self.successResultOf(self.sender.stop())
        self.asked()
        self.assertEqual(self.after(60), [])
        self.made().start()
        self.assertEqual(self.after(GATHER_SECONDS), [("question", 1)])

    def test_flood(self) -> None:
        """A hundred dead messages are one notification, and more of them another."""
        self.die(100)
        self.assertEqual(self.after(GATHER_SECONDS), [("dead", 100)])
        self.assertEqual(len(self.target.told[0].items), 3)
        self.die(7)
        self.assertEqual(self.after(REST_SECONDS - GATHER_SECONDS), [])
        self.assertEqual(self.after(2), [("dead", 7)])

    def die(self, count: int) -> None:
        """Let messages be dead that were not."""

        def die(connection: Any) -> None:
            for _ in range(count):
                row = MessageTable.insert(connection, "operator", "bob", "x", 1.0)
                connection.execute(
                    "UPDATE messages SET state = 'dead' WHERE id = ?", (row.id,)
                )

        self.successResultOf(self.database.write(die))
        self.sender.look()

    def test_kinds_do_not_wait_for_one_another(self) -> None:
        """The rest of one kind holds up no other."""
        self.asked()
        self.sender.look()
        self.assertEqual(self.after(GATHER_SECONDS), [("question", 1)])
        self.commit_asked()
        self.asked("alice")
        self.sender.look()
        self.assertEqual(self.after(GATHER_SECONDS + 1), [("approval", 1)])
        self.assertEqual(self.after(REST_SECONDS), [("question", 1)])

    def test_what_holds_no_more(self) -> None:
        """What was decided before it could be told is not told."""
        id = self.asked()
        self.successResultOf(self.questions.answer(id, "yes", "operator"))
        self.sender.look()
        self.assertEqual(self.after(60), [])
        self.assertEqual(self.noted(), [])

    def test_failure_is_tried_again(self) -> None:
        """After a failure there are pauses that double, and nothing is lost."""
        self.target.failures = [NotTold("it is down") for _ in range(3)]
        self.asked()
        self.sender.look()
        self.assertEqual(len(self.after(1)), 1)
        self.assertEqual(len(self.after(4.5)), 0)
        self.assertEqual(len(self.after(0.5)), 1)  # 5 s
        self.assertEqual(len(self.after(9.5)), 0)
        self.assertEqual(len(self.after(0.5)), 1)  # 10 s
        self.assertEqual(len(self.noted()), 1)
        self.assertEqual(len(self.after(19.5)), 0)
        self.assertEqual(len(self.after(0.5)), 1)  # 20 s
        self.assertEqual(self.noted(), [])

    def test_pauses_are_bounded(self) -> None:
        """However long it fails, a target is tried every ten minutes."""
        self.fail_long()
        self.assertEqual(len(self.after(7200)), 12)

    def test_pauses_vary(self) -> None:
        """Chance makes pauses shorter or longer by a quarter."""
        self.fail_long()
        for self.chance, pause in ((0.0, 450), (1.0, 750)):
            self.after(1800)  # until the pause of before is over
            moments = [moment for moment in range(1600) if self.after(1)]
            self.assertAlmostEqual(moments[1] - moments[0], pause, delta=1)

    def fail_long(self) -> None:
        """Let a target fail until pauses grow no more, and go on failing."""
        self.target.failures = [NotTold("it is down") for _ in range(100)]
        self.asked()
        self.sender.look()
        self.after(4 * 3600)

    def test_retry_after(self) -> None:
        """A target that asks to be left alone is, for longer than the pause."""
        self.target.failures = [NotTold("it has had enough", 120.0)]
        self.asked()
        self.sender.look()
        self.assertEqual(len(self.after(1)), 1)
        self.assertEqual(len(self.after(119.5)), 0)
        self.assertEqual(len(self.after(0.5)), 1)

    def test_refused(self) -> None:
        """What a target will never take is not tried again, but shown."""
        self.target.failures = [Refused("it answers 400")]
        self.asked()
        self.sender.look()
        self.assertEqual(len(self.after(600)), 1)
        self.assertEqual(self.noted(), [])
        self.assertEqual(len(self.notices.shown), 1)

    def test_trouble_is_shown(self) -> None:
        """Why a target can't be told is shown for as long as it is so, and only once."""
        self.target.failures = [
            NotTold("it is down"),
            NotTold("it is down"),
            NotTold("it refuses the credentials"),
        ]
        self.asked()
        self.sender.look()
        self.after(7)
        said = "Notifications do not arrive at ntfy (ntfy.example): it is down."
        self.assertEqual(self.notices.shown, [said])
        status = self.sender.status()
        self.assertEqual((status.waiting, status.problem), (1, "it is down"))
        self.after(10)
        self.assertEqual(
            self.notices.shown, [said.replace("is down", "refuses the credentials")]
        )
        self.after(30)
        self.assertEqual(self.notices.shown, [])
        self.assertIsNone(self.sender.status().problem)

    def test_defect(self) -> None:
        """A defect of ours is logged, and does not end the telling."""
        self.target.failures = [ZeroDivisionError()]
        self.asked()
        self.sender.look()
        self.after(1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.after(10), [("question", 1)])

    def test_one_at_a_time(self) -> None:
        """A target that does not answer is told nothing else meanwhile, nor a test."""
        self.target.holding = True
        self.asked()
        self.sender.look()
        self.after(1)
        self.commit_asked()
        self.sender.look()
        testing = self.sender.test()
        self.assertEqual(self.after(60), [])
        self.assertNoResult(testing)
        self.target.held.pop().callback(None)
        self.assertEqual([one.kind for one in self.target.told], ["test"])
        self.target.holding = False
        self.target.held.pop().callback(None)
        self.assertIsNone(self.successResultOf(testing))
        self.assertEqual(self.after(2), [("approval", 1)])

    def test_a_test_that_fails(self) -> None:
        """A test says why it could not be told."""
        self.target.failures = [NotTold("it is down")]
        self.assertEqual(self.successResultOf(self.sender.test()), "it is down")

    def test_stop_while_sending(self) -> None:
        """The end waits a moment for what is being sent, and leaves it for the next start."""
        self.target.holding = True
        self.asked()
        self.sender.look()
        self.after(1)
        stopping = self.sender.stop()
        self.assertNoResult(stopping)
        self.clock.advance(sender.END_SECONDS)
        self.successResultOf(stopping)
        self.assertEqual(len(self.noted()), 1)
        self.assertEqual(self.after(600), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_just_in_time(self) -> None:
        """What is taken while the end waits is told once."""
        self.target.holding = True
        self.asked()
        self.sender.look()
        self.after(1)
        stopping = self.sender.stop()
        self.target.held.pop().callback(None)
        self.successResultOf(stopping)
        self.assertEqual(self.noted(), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
