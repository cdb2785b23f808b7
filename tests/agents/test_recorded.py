"""Everything that the real claude was recorded saying, read and judged.

``claude-streams.tar.xz`` holds standard output, standard error and exit status of
328 runs against a stand-in for the API, most of 2.1.330 and those of 2.1.197 named
``v197``. ``claude-streams.tsv`` says what each came to, for one or more guesses at
who ended it.

Its column ``marks`` names what else is true of a run, and all of it: ``compacted``,
``aborted``, ``writes_lost``, ``disconnected`` (from the hive's tools), ``resets``
(a reset time is known) and ``silent`` (no result). In ``input_tokens``, ``-``
stands for a run whose sum says nothing.
"""

import csv
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.agents.outcome import EndedBy, Verdict, classify
from hyperhive.agents.stream import StreamLine, StreamReader, TurnReading, for_display
from hyperhive.containers.interfaces import Exited, ProcessEnd, Signalled

FIXTURES = Path(__file__).parent.parent / "fixtures"
ENDERS = {
    "itself": EndedBy.itself(),
    "operator": EndedBy.operator(),
    "drain": EndedBy.drain(),
    "watchdog": EndedBy.watchdog("claude printed nothing for 900 s"),
}
#: Runs that were not asked for stream-json.
OTHER_FORMATS = {"75-format-text"}


@frozen
class Run:
    """One recorded run."""

    stdout: bytes
    stderr: str
    end: ProcessEnd

    def lines(self, size: int = 65536) -> list[StreamLine]:
        """Its standard output, read in pieces of ``size`` bytes."""
        reader = StreamReader()
        lines = []
        for start in range(0, len(self.stdout), size):
            lines += reader.feed(self.stdout[start : start + size])
        return [*lines, *reader.finish()]

    def reading(self) -> TurnReading:
        """What its events add up to."""
        reading = TurnReading()
        for line in self.lines():
            if line.event is not None:
                reading.observe(line.event)
        return reading


@cache
def runs() -> dict[str, Run]:
    """All of them, by name."""
    files = {}
    with tarfile.open(FIXTURES / "claude-streams.tar.xz") as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            files[Path(member.name).name] = file.read()
    found = {}
    for name in files:
        if name.endswith(".exit"):
            stem = name.removesuffix(".exit")
            status = int(files[name])
            found[stem] = Run(
                files[f"{stem}.jsonl"],
                files[f"{stem}.stderr"].decode(),
                Exited(status) if status >= 0 else Signalled(-status),
            )
    return found


def expectations() -> Iterator[dict[str, str]]:
    """The rows of the table."""
    with (FIXTURES / "claude-streams.tsv").open(newline="") as file:
        yield from csv.DictReader(file, delimiter="\t")


def marks(reading: TurnReading, verdict: Verdict) -> set[str]:
    """What else is true of a run, as the table calls it."""
    facts = {
        "compacted": reading.compacted,
        "aborted": reading.aborted,
        "writes_lost": reading.writes_lost,
        "disconnected": reading.connected is False,
        "resets": verdict.resets_at is not None,
        "silent": not reading.result_said,
    }
    return {mark for mark, true in facts.items() if true}


class RecordedTests(SynchronousTestCase):
    """The reader and the classifier, over all that was recorded."""

    def test_every_run_is_expected_to_be_something(self) -> None:
        """The table and the archive name the same runs."""
        self.assertEqual({row["scenario"] for row in expectations()}, set(runs()))
        self.assertEqual(len(runs()), 328)

    def test_every_line_is_an_event(self) -> None:
        """Each line that claude prints as stream-json is read as one event, however it is cut into pieces."""
        for name, run in runs().items():
            lines = run.lines()
            if name not in OTHER_FORMATS:
                self.assertEqual([line.raw for line in lines if not line.event], [])
            self.assertEqual(
                [line.raw for line in lines],
                [line.strip() for line in run.stdout.splitlines()],
            )
            self.assertEqual(run.lines(997), lines)

    def test_every_event_is_shown_within_the_limit(self) -> None:
        """What is published of an event is the event, or a shorter one that says so."""
        for run in runs().values():
            for line in run.lines():
                if line.event is not None:
                    shown = for_display(line)
                    self.assertLessEqual(len(shown), 128 * 1024)
                    self.assertEqual(
                        shown == line.raw, b"hyperhive_shortened" not in shown
                    )

    def test_outcomes(self) -> None:
        """Each run ends as the table says, and every mark of it is seen."""
        wrong = []
        for row in expectations():
            run = runs()[row["scenario"]]
            reading = run.reading()
            verdict = classify(reading, run.end, ENDERS[row["ended_by"]], run.stderr)
            expected = (row["outcome"], set(row["marks"].split(",")) - {"-"})
            found = (verdict.outcome.value, marks(reading, verdict))
            if found != expected:
                wrong.append((row["scenario"], row["ended_by"], found, expected))
        self.assertEqual(wrong, [])

    def test_usage_and_denials(self) -> None:
        """Tokens of each run are those of its own requests, not of the whole session; denials are counted."""
        wrong = []
        for row in expectations():
            reading = runs()[row["scenario"]].reading()
            tokens = str(reading.usage.input_tokens)
            if row["input_tokens"] not in ("-", tokens):
                wrong.append((row["scenario"], tokens, row["input_tokens"]))
            if row["denials"] != str(reading.denials):
                wrong.append((row["scenario"], reading.denials, row["denials"]))
        self.assertEqual(wrong, [])

    def test_whatever_fails_says_why(self) -> None:
        """A turn that did not end well has a note for the operator, but where the operator or a stop ended it."""
        for row in expectations():
            if row["outcome"] not in ("ok", "cancelled", "drained"):
                run = runs()[row["scenario"]]
                ender = ENDERS[row["ended_by"]]
                verdict = classify(run.reading(), run.end, ender, run.stderr)
                self.assertTrue(verdict.note, row["scenario"])

    def test_session_and_model_are_known_once_claude_has_begun(self) -> None:
        """Every run that got as far as its first event of substance names its session and model."""
        for name, run in runs().items():
            if b'"subtype":"init"' in run.stdout:
                reading = run.reading()
                self.assertRegex(reading.session_id or "", r"^[0-9a-f-]{36}$", name)
                self.assertTrue(reading.model, name)
                self.assertRegex(reading.version or "", r"^2\.1\.\d+$", name)


class SpotChecks(SynchronousTestCase):
    """One run of each kind, looked at closely."""

    def judge(self, name: str, ender: str = "itself") -> tuple[TurnReading, Verdict]:
        """The reading of a run, and the verdict on it."""
        run = runs()[name]
        reading = run.reading()
        return reading, classify(reading, run.end, ENDERS[ender], run.stderr)

    def test_a_plain_turn(self) -> None:
        """A turn that sends a message: two inferences, tokens summed, context of the last one, cost of this turn."""
        reading, verdict = self.judge("03-mcp-send")
        self.assertEqual(verdict, Verdict(verdict.outcome))
        self.assertIs(reading.connected, True)
        self.assertIn("mcp__hyperhive__send", reading.tools)
        usage = reading.usage
        self.assertEqual((usage.input_tokens, usage.output_tokens), (240, 24))
        self.assertEqual(usage.context, 120)
        self.assertAlmostEqual(usage.cost_usd or 0, 0.00108)

    def test_an_older_version_has_no_cost_of_a_turn(self) -> None:
        """2.1.197 gives only the session's running total, which is nobody's cost: none is claimed."""
        reading, _ = self.judge("160-v197-continue")
        self.assertEqual(reading.usage.input_tokens, 120)
        self.assertIsNone(reading.usage.cost_usd)

    def test_a_usage_limit(self) -> None:
        """The reset time is claude's own."""
        reading, verdict = self.judge("141-oauth-429-seven-day")
        assert reading.rate_limit is not None
        self.assertEqual(reading.rate_limit.kind, "seven_day")
        self.assertEqual(verdict.resets_at, reading.rate_limit.resets_at)
        self.assertGreater(verdict.resets_at or 0, 1795412000)

    def test_a_compaction(self) -> None:
        """A compaction says what is left, and costs what its summary cost."""
        reading, _ = self.judge("154-compact")
        self.assertEqual(reading.compacted_to, 499)
        self.assertEqual(reading.usage.context, 499)
        self.assertGreater(reading.usage.cost_usd or 0, 0)

    def test_a_clear(self) -> None:
        """After /clear the session is the new one."""
        reading, _ = self.judge("93-slash-clear")
        self.assertEqual(reading.session_id, "6a96df89-ea4a-49f3-b3bc-a728860ec77d")

    def test_the_notes_name_the_cause(self) -> None:
        """What the operator reads says what is wrong."""
        for name, words in {
            "28-credit-400": "Credit balance is too low",
            "31-404-model": "no model 'claude-sonnet-4-5'",
            "104-no-sysfile": "System prompt file not found",
            "131-no-api-key": "Not logged in",
            "105-mcp-socket-missing": "hyperhive: failed",
            "157-project-safe-mode": "no MCP server",
            "130-home-full-1": "disk full",
            "71-max-turns-1": "limit of API calls",
            "54-sighup": "signal 1 ",
            "50-sigkill-8-early": "signal 9 ",
            "175-stream-json-prompt-only-eof": "without a result",
        }.items():
            _, verdict = self.judge(name)
            self.assertIn(words, verdict.note or "", name)

    def test_a_result_of_a_background_task_is_not_ours(self) -> None:
        """Claude may report a task of an earlier turn before it begins with the prompt."""
        run = runs()["152-env-scrub"]
        reading = TurnReading()
        said = []
        for line in run.lines():
            assert line.event is not None
            reading.observe(line.event)
            if line.event["type"] == "result":
                said.append(reading.result_said)
        self.assertEqual(said, [False, True])

    def test_a_long_tool_call_is_followed(self) -> None:
        """The tool that runs is named from its call to its result."""
        reading = TurnReading()
        tools = []
        for line in runs()["80-mcp-recv-180s"].lines():
            assert line.event is not None
            reading.observe(line.event)
            if line.event["type"] in ("tool_progress", "user", "result"):
                tools.append(reading.tool)
        self.assertEqual(tools, ["mcp__hyperhive__recv"] * 6 + [None, None])

    def test_retries_are_told_until_they_end(self) -> None:
        """While the API is tried again, a sentence says so; with an answer it goes."""
        reading = TurnReading()
        told = []
        for line in runs()["24-529-recovers"].lines():
            assert line.event is not None
            reading.observe(line.event)
            told.append(reading.retrying)
        first, second = (one for one in told if one)
        self.assertIn("the API answered 529", first)
        self.assertIn("retry 1 of 10", first)
        self.assertIn("retry 2 of 10", second)
        self.assertIsNone(told[-1])
