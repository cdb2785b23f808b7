"""What agents ask the operator, and the one end of each question."""

from hyperhive.agents.interfaces import NoSuchAgent
from hyperhive.approvals.interfaces import (
    MAX_OPTION,
    MAX_OPTIONS,
    MAX_QUESTION,
    MAX_QUESTIONS,
    MAX_QUESTIONS_OF_ONE,
    MAX_TTL,
    AlreadyDecided,
    NoSuchQuestion,
    TooMany,
)
from hyperhive.approvals.questions import KEPT_SECONDS
from hyperhive.errors import BadRequest, TooLarge
from hyperhive.names import HIVE, MANAGER, OPERATOR
from hyperhive.store.questions import QuestionTable
from tests.approvals.support import DecisionCase


class AskingTests(DecisionCase):
    """Asking."""

    def test_ask(self) -> None:
        """The row, the operator's message, the event."""
        id = self.asked(options=("red", "blue"), multi=True, ttl_seconds=60)
        row, now = self.question(id), self.clock.seconds()
        self.assertEqual(
            (row.asker, row.question, row.options, row.multi, row.status),
            ("bob", "Why?", ("red", "blue"), True, "pending"),
        )
        self.assertEqual((row.asked_at, row.expires_at), (now, now + 60))
        [said] = self.said()
        for words in ("bob", "Why?", "any of", "- blue", f"hive-c0re answer {id}"):
            self.assertIn(words, said)
        self.assertEqual(self.happened(), [("question_added", id, "pending")])

    def test_the_manager(self) -> None:
        """It is known by its mailbox."""
        self.assertEqual(self.question(self.asked(MANAGER)).asker, "manager")

    def test_wire(self) -> None:
        """What is absent is left out."""
        self.asked()
        self.asked(options=("red", "blue"), ttl_seconds=60)
        plain, choice = self.successResultOf(self.questions.pending())
        self.assertEqual(
            plain.as_wire(),
            {
                "id": 1,
                "asker": "bob",
                "question": "Why?",
                "asked_at": "2026-01-31T12:00:00.000Z",
                "status": "pending",
            },
        )
        row = choice.as_wire()
        self.assertEqual(
            (row["options"], row["multi"], row["expires_at"]),
            (["red", "blue"], False, "2026-01-31T12:01:00.000Z"),
        )

    def test_bounds(self) -> None:
        """What is too long, too many, empty, or not a text is refused."""
        for question, options, ttl, error in (
            ("", (), None, BadRequest),
            (" \n", (), None, BadRequest),
            ("\udc00", (), None, BadRequest),
            ("x" * (MAX_QUESTION + 1), (), None, TooLarge),
            ("?", [str(number) for number in range(MAX_OPTIONS + 1)], None, BadRequest),
            ("?", ("x" * (MAX_OPTION + 1),), None, BadRequest),
            ("?", ("one", "one "), None, BadRequest),
            ("?", ("",), None, BadRequest),
            ("?", ("two\nlines",), None, BadRequest),
            ("?", (), 0, BadRequest),
            ("?", (), MAX_TTL + 1, BadRequest),
            ("?", (), float("nan"), BadRequest),
        ):
            asking = self.questions.ask("bob", question, options, False, ttl)
            self.failureResultOf(asking, error)
        self.assertEqual((self.said(), self.happened()), ([], []))
        longest = "x" * MAX_QUESTION
        options = [f"{number}".ljust(MAX_OPTION, "é") for number in range(MAX_OPTIONS)]
        asking = self.questions.ask("bob", longest, options, False, MAX_TTL)
        row = self.question(self.successResultOf(asking))
        self.assertEqual((row.question, list(row.options)), (longest, options))

    def test_too_many(self) -> None:
        """One agent can't take all the room, and all of them only what there is."""
        for _ in range(MAX_QUESTIONS_OF_ONE):
            self.asked("bob")
        failure = self.failureResultOf(self.questions.ask("bob", "?"), TooMany)
        self.assertIn("your questions", failure.getErrorMessage())
        for number in range(MAX_QUESTIONS - MAX_QUESTIONS_OF_ONE):
            name = f"a{number // MAX_QUESTIONS_OF_ONE}"
            if number % MAX_QUESTIONS_OF_ONE == 0:
                self.add_agent(name)
            self.asked(name)
        self.failureResultOf(self.questions.ask("alice", "?"), TooMany)
        self.successResultOf(self.questions.cancel(1, OPERATOR))
        self.asked("bob")

    def test_nobody(self) -> None:
        """An agent that is gone asks nothing."""
        self.failureResultOf(self.questions.ask("carol", "?"), NoSuchAgent)


class EndTests(DecisionCase):
    """Answering and cancelling."""

    def test_answer(self) -> None:
        """The asker hears it."""
        id = self.asked()
        self.happened()
        self.successResultOf(self.questions.answer(id, " because\n", OPERATOR))
        row = self.question(id)
        self.assertEqual(
            (row.status, row.answer, row.resolved_by, row.resolved_at),
            ("answered", "because", OPERATOR, self.clock.seconds()),
        )
        self.assertEqual(
            self.told("bob"),
            [
                {
                    "event": "operator_answered",
                    "id": id,
                    "question": "Why?",
                    "answer": "because",
                }
            ],
        )
        self.assertEqual(self.happened(), [("question_resolved", id, "answered")])
        self.assertEqual(self.successResultOf(self.questions.pending()), [])

    def test_options(self) -> None:
        """One of them, several where that is allowed, or words of one's own."""
        for multi, answer, text in (
            (False, ["red"], "red"),
            (True, ["blue", "red", "blue"], "blue\nred"),
            (False, "neither: green", "neither: green"),
        ):
            id = self.asked(options=("red", "blue"), multi=multi)
            self.successResultOf(self.questions.answer(id, answer, OPERATOR))
            self.assertEqual(self.question(id).answer, text)

    def test_wrong_answers(self) -> None:
        """Nothing at all, no option, too many options: refused, and it goes on waiting."""
        id = self.asked(options=("red", "blue"))
        self.happened()
        for answer, words in (
            ("  ", "empty"),
            ([], "empty"),
            (["green"], "there are: red; blue"),
            (["red", "blue"], "takes one"),
        ):
            answering = self.questions.answer(id, answer, OPERATOR)
            failure = self.failureResultOf(answering, BadRequest)
            self.assertIn(words, failure.getErrorMessage())
        self.assertEqual(self.question(id).status, "pending")
        self.assertEqual((self.told("bob"), self.happened()), ([], []))

    def test_cancel(self) -> None:
        """The asker hears that no answer comes."""
        id = self.asked()
        self.happened()
        self.successResultOf(self.questions.cancel(id, OPERATOR))
        self.assertEqual(
            self.told("bob"),
            [{"event": "question_cancelled", "id": id, "question": "Why?"}],
        )
        self.assertEqual(self.happened(), [("question_resolved", id, "cancelled")])

    def test_a_second_end(self) -> None:
        """It is refused with who was first, and when."""
        id = self.asked()
        self.successResultOf(self.questions.answer(id, "yes", OPERATOR))
        for ending in (
            self.questions.answer(id, "no", OPERATOR),
            self.questions.cancel(id, OPERATOR),
        ):
            failure = self.failureResultOf(ending, AlreadyDecided)
            self.assertEqual(
                failure.getErrorMessage(),
                f"Question {id} was answered by operator at 2026-01-31T12:00:00.000Z.",
            )
        self.assertEqual(len(self.told("bob")), 1)

    def test_no_such_question(self) -> None:
        """An id that there is not."""
        for ending in (
            self.questions.answer(7, "yes", OPERATOR),
            self.questions.cancel(7, OPERATOR),
        ):
            self.failureResultOf(ending, NoSuchQuestion)

    def test_expiry(self) -> None:
        """At its time the asker hears that no answer comes."""
        id, other = self.asked(ttl_seconds=60), self.asked()
        self.happened()
        self.clock.advance(60)
        row = self.question(id)
        self.assertEqual((row.status, row.resolved_by), ("expired", HIVE))
        self.assertEqual(
            self.told("bob"),
            [{"event": "question_expired", "id": id, "question": "Why?"}],
        )
        self.assertEqual(self.happened(), [("question_resolved", id, "expired")])
        self.assertEqual(self.question(other).status, "pending")

    def test_expiry_over_a_restart(self) -> None:
        """What ended while no daemon ran is ended by the next one, the rest in its time."""
        id, other = self.asked(ttl_seconds=60), self.asked(ttl_seconds=120)
        self.decisions.expiry.stop()
        self.clock.advance(90)
        self.make()
        self.clock.advance(0)
        self.assertEqual(self.question(id).status, "expired")
        self.assertEqual(self.question(other).status, "pending")
        self.clock.advance(30)
        self.assertEqual(self.question(other).status, "expired")

    def test_an_answer_that_comes_too_late(self) -> None:
        """It is not given: who asked may have gone on without it."""
        id = self.asked(ttl_seconds=60)
        self.decisions.expiry.stop()
        self.clock.advance(60)
        failure = self.failureResultOf(
            self.questions.answer(id, "yes", OPERATOR), AlreadyDecided
        )
        self.assertIn("expired", failure.getErrorMessage())
        [told] = self.told("bob")
        self.assertEqual(told["event"], "question_expired")

    def test_prune(self) -> None:
        """What ended 30 days ago is forgotten; what waits stays."""
        old, waiting = self.asked(), self.asked()
        self.successResultOf(self.questions.cancel(old, OPERATOR))
        self.clock.advance(KEPT_SECONDS)
        self.assertEqual(self.successResultOf(self.questions.prune()), 0)
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(self.questions.prune()), 1)
        left = self.database.read(lambda connection: QuestionTable.get(connection, old))
        self.assertIsNone(left)
        self.assertEqual(self.question(waiting).status, "pending")
