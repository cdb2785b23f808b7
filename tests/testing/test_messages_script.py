"""Reading the stand-in's script out of what claude sends."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from hyperhive.agents import prompts
from hyperhive.messages.interfaces import Message, MessageState, Turn
from hyperhive.testing.messages_script import (
    BadScript,
    Directive,
    Prompt,
    asks_for_summary,
    newest_prompt,
    parse,
    reported_input,
    segment,
)


def user(*content: Any) -> dict[str, Any]:
    """A message of the user: texts, or blocks."""
    blocks = [
        {"type": "text", "text": one} if isinstance(one, str) else one
        for one in content
    ]
    return {"role": "user", "content": blocks}


RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "[[say no]]"}
ANSWER = {"role": "assistant", "content": [{"type": "text", "text": "[[say no]]"}]}


class NewestPromptTests(SynchronousTestCase):
    """Which text counts."""

    def test_plain(self) -> None:
        """Content may be a text in place of blocks."""
        messages = [{"role": "user", "content": "hello"}]
        self.assertEqual(newest_prompt(messages), Prompt("hello", 0))

    def test_history(self) -> None:
        """What was said in earlier turns counts for nothing."""
        messages = [user("[[say old]]"), ANSWER, user("new")]
        self.assertEqual(newest_prompt(messages), Prompt("new", 0))

    def test_reminders(self) -> None:
        """Reminders are no prompt, neither as blocks nor as messages of the system."""
        reminder = "<system-reminder>[[say no]]</system-reminder>"
        messages = [
            user(reminder, "new", reminder),
            {"role": "system", "content": "[[say no]]"},
        ]
        self.assertEqual(newest_prompt(messages), Prompt("new", 0))

    def test_results(self) -> None:
        """Results of tools are counted, and are no prompt."""
        messages = [user("new"), ANSWER, user(RESULT), ANSWER, user(RESULT)]
        self.assertEqual(newest_prompt(messages), Prompt("new", 2))

    def test_unanswered(self) -> None:
        """A prompt whose turn failed stands before the newest in one message."""
        self.assertEqual(newest_prompt([user("old\n", "new")]), Prompt("new", 0))

    def test_interrupted(self) -> None:
        """A call that was interrupted has its result in one message with the prompt."""
        messages = [user("old"), ANSWER, user(RESULT, "new")]
        self.assertEqual(newest_prompt(messages), Prompt("new", 0))

    def test_nothing(self) -> None:
        """A conversation without a prompt has an empty one."""
        self.assertEqual(newest_prompt([ANSWER]), Prompt("", 0))

    def test_frame(self) -> None:
        """Of the hive's prompt only the message's text counts."""
        body = "[[say one]]\n---- nonsense begin\n[[say two]]"
        message = Message(7, "operator", "bob", body, 0.0, MessageState.LEASED)
        framed = prompts.wake(Turn(1, "bob", 0.0, message, 0), 0.0)
        self.assertEqual(newest_prompt([user(framed)]), Prompt(body, 0))

    def test_summary(self) -> None:
        """Claude's request for a summary is one; a prompt that was compacted away is none."""
        request = (
            "CRITICAL: no tools.\n\nYour task is to create a detailed summary of it."
        )
        self.assertTrue(asks_for_summary(newest_prompt([user("old\n", request)])))
        self.assertFalse(asks_for_summary(newest_prompt([user(request), user("new")])))


class ParseTests(SynchronousTestCase):
    """What is a directive."""

    def test_order(self) -> None:
        """Directives stand anywhere in a text and are done in their order."""
        self.assertEqual(
            parse("Please [[say one two]] and then\n[[hang times=2]]."),
            (
                Directive("say", text="one two"),
                Directive("hang", options={"times": "2"}),
            ),
        )

    def test_tool(self) -> None:
        """The input of a tool is JSON, which may hold brackets and directives."""
        self.assertEqual(
            parse('[[tool send {"body": "[[say x]]", "n": [[1]]}]][[say y]]'),
            (
                Directive("tool", tool="send", input={"body": "[[say x]]", "n": [[1]]}),
                Directive("say", text="y"),
            ),
        )

    def test_slow(self) -> None:
        """A slow text has seconds and a count."""
        self.assertEqual(
            parse("[[slow 0.2 10]]"), (Directive("slow", numbers=(0.2, 10)),)
        )

    def test_flag(self) -> None:
        """An option may have no value."""
        [fault] = parse("[[429 no-retry]]")
        self.assertEqual(fault.options, {"no-retry": ""})
        self.assertTrue(fault.fault)

    def test_bad(self) -> None:
        """What is malformed says what it is, and is not passed over."""
        for text, reason in (
            ("[[sing]]", "sing"),
            ("[[say x", "no end"),
            ("[[tool send]]", "tool"),
            ("[[tool send {oops}]]", "tool send"),
            ('[[tool send "text"]]', "one JSON object"),
            ("[[slow 1]]", "slow 1"),
            ("[[429 often=1]]", "no option often"),
            ("[[429 times=many]]", "many"),
        ):
            error = self.assertRaises(BadScript, parse, text)
            self.assertIn(reason, str(error), text)


class SegmentTests(SynchronousTestCase):
    """Which directives are due."""

    SCRIPT = parse("[[say a]] [[tool t {}]] [[hang]] [[tool t {}]] [[say b]]")

    def test_by_results(self) -> None:
        """A segment goes up to the call of a tool; after the last result it is the rest."""
        found = [segment(self.SCRIPT, results) for results in range(4)]
        self.assertEqual(found, [(0, 2), (2, 4), (4, 5), (5, 5)])

    def test_usage(self) -> None:
        """The tokens that were said last hold from there on."""
        script = parse("[[say a]] [[usage input=5]] [[say b]] [[usage input=6]]")
        found = [reported_input(script, end) for end in range(5)]
        self.assertEqual(found, [None, None, 5, 5, 6])
