"""The bus: numbers, order, replay, bounds."""

import json
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.bus import MAX_BACKLOG, Event, EventBus, Subscription, encode, first_seq

START = 1769860800.0  # 2026-01-31T12:00:00Z


class BusCase(SynchronousTestCase):
    """A bus whose first event is number 10."""

    def setUp(self) -> None:
        """Begin at a known moment."""
        self.clock = Clock()
        self.clock.advance(START)
        self.bus = EventBus(self.clock, 10)
        self.overflows = 0

    def overflowed(self) -> None:
        """Count overflows."""
        self.overflows += 1

    def subscribe(self, got: list[Any], **choice: Any) -> Subscription:
        """Note the numbers of what is delivered."""
        subscription = self.bus.subscribe(
            lambda event: got.append(event.seq), self.overflowed, **choice
        )
        assert subscription is not None
        return subscription


class EventTests(BusCase):
    """What an event is."""

    def test_numbers_grow_by_one(self) -> None:
        """The bus says which number is the newest, also before there is one."""
        self.assertEqual(self.bus.seq, 9)
        self.assertEqual([self.bus.publish("note").seq for _ in range(3)], [10, 11, 12])
        self.assertEqual(self.bus.seq, 12)

    def test_json(self) -> None:
        """One object on one line: seq, kind, agent, time, then the event's own members."""
        event = self.bus.publish("turn_end", {"outcome": "ok", "n": [1]}, agent="bob")
        self.assertEqual(
            event.json,
            b'{"seq":10,"kind":"turn_end","agent":"bob",'
            b'"at":"2026-01-31T12:00:00.000Z","outcome":"ok","n":[1]}',
        )
        self.assertEqual((event.agent, event.at), ("bob", START))

    def test_agent_is_left_out(self) -> None:
        """An event about no agent has no agent member."""
        self.assertNotIn("agent", json.loads(self.bus.publish("note").json))

    def test_own_members_win(self) -> None:
        """A field cannot pass for the event's number, kind, agent or time."""
        event = self.bus.publish(
            "turn_end",
            {"kind": "compact", "seq": 1, "agent": "x", "at": 0, "a": 1},
            "bob",
        )
        self.assertEqual(
            json.loads(event.json, object_pairs_hook=list),
            [
                ("seq", 10),
                ("kind", "turn_end"),
                ("agent", "bob"),
                ("at", "2026-01-31T12:00:00.000Z"),
                ("a", 1),
            ],
        )

    def test_raw_members_are_not_parsed(self) -> None:
        """Raw JSON is spliced in byte for byte; its spacing shows that."""
        event = self.bus.publish("stream", {"a": 1}, raw={"event": b'{"x" :  1}'})
        self.assertTrue(event.json.endswith(b',"a":1,"event":{"x" :  1}}'))
        event = self.bus.publish("stream", raw={'odd"name': b"1", "b": b"2"})
        self.assertEqual(json.loads(event.json)['odd"name'], 1)
        self.assertEqual(json.loads(event.json)["b"], 2)

    def test_raw_stays_on_one_line(self) -> None:
        """Line ends between the tokens of raw JSON do not end the event's line."""
        event = self.bus.publish("stream", raw={"event": b'{\n"x":\r\n"a\\nb"}\n'})
        self.assertNotIn(b"\n", event.json)
        self.assertNotIn(b"\r", event.json)
        self.assertEqual(json.loads(event.json)["event"], {"x": "a\nb"})

    def test_text_that_is_no_unicode(self) -> None:
        """Half of a surrogate pair, which JSON can carry, passes."""
        self.assertEqual(json.loads(encode({"a": "\ud800é"})), {"a": "\ud800é"})
        self.assertEqual(encode({"a": "é\n"}), '{"a":"é\\n"}'.encode())

    def test_topic(self) -> None:
        """A kind's first word is its topic."""
        self.assertEqual(self.bus.publish("message_sent").topic, "message")
        self.assertEqual(self.bus.publish("note").topic, "note")

    def test_first_seq(self) -> None:
        """Past what was stored and past what the clock allows an earlier daemon."""
        self.assertEqual(first_seq(5, 1.5), 1500)
        self.assertEqual(first_seq(5000, 1.5), 5001)


class SubscriptionTests(BusCase):
    """Who gets what, when."""

    def test_starts_paused_and_holds(self) -> None:
        """Nothing is delivered before resume; then what was held, in order."""
        got: list[int] = []
        subscription = self.subscribe(got)
        self.bus.publish("note")
        self.bus.publish("note")
        self.assertEqual(got, [])
        subscription.resume()
        self.assertEqual(got, [10, 11])
        self.bus.publish("note")
        self.assertEqual(got, [10, 11, 12])

    def test_from_now_on(self) -> None:
        """Without a number, what was before is not delivered."""
        self.bus.publish("note")
        got: list[int] = []
        self.subscribe(got).resume()
        self.bus.publish("note")
        self.assertEqual(got, [11])

    def test_chooses(self) -> None:
        """Topics, kinds and the agent choose, for the replay as for what comes."""
        got: list[int] = []
        choice = {"topics": frozenset({"turn", "message_sent"}), "agent": "bob"}

        def publish() -> None:
            self.bus.publish("turn_start", agent="bob")
            self.bus.publish("turn_end", agent="alice")
            self.bus.publish("message_sent", agent="bob")
            self.bus.publish("message_done", agent="bob")
            self.bus.publish("turn_end")

        publish()
        self.subscribe(got, since=9, **choice).resume()
        publish()
        self.assertEqual(got, [10, 12, 15, 17])

    def test_cancel(self) -> None:
        """Nothing comes after cancel, also of what was held; twice is fine."""
        got: list[int] = []
        subscription = self.subscribe(got)
        self.bus.publish("note")
        subscription.cancel()
        subscription.cancel()
        subscription.resume()
        self.bus.publish("note")
        self.assertEqual(got, [])

    def test_pause_within_a_delivery(self) -> None:
        """A subscriber that pauses in the midst of held events gets the rest later."""
        got: list[int] = []

        def deliver(event: Event) -> None:
            got.append(event.seq)
            if event.seq == 11:
                subscription.pause()

        subscription = self.bus.subscribe(deliver, self.overflowed)
        assert subscription is not None
        for _ in range(4):
            self.bus.publish("note")
        subscription.resume()
        self.assertEqual(got, [10, 11])
        subscription.resume()
        self.assertEqual(got, [10, 11, 12, 13])

    def test_cancel_within_a_delivery(self) -> None:
        """A subscriber that leaves in the midst of held events gets no more."""
        got: list[int] = []

        def deliver(event: Event) -> None:
            got.append(event.seq)
            subscription.cancel()

        subscription = self.bus.subscribe(deliver, self.overflowed)
        assert subscription is not None
        self.bus.publish("note")
        self.bus.publish("note")
        subscription.resume()
        self.assertEqual(got, [10])

    def test_resume_within_a_delivery(self) -> None:
        """A subscriber that resumes itself while it is served gets nothing out of order."""
        got: list[int] = []

        def deliver(event: Event) -> None:
            got.append(event.seq)
            subscription.pause()
            subscription.resume()
            if event.seq == 10:
                self.bus.publish("note")
            got.append(-event.seq)

        subscription = self.bus.subscribe(deliver, self.overflowed)
        assert subscription is not None
        self.bus.publish("note")
        self.bus.publish("note")
        subscription.resume()
        self.assertEqual(got, [10, -10, 11, -11, 12, -12])

    def test_same_order_for_all(self) -> None:
        """What a subscriber publishes on hearing of an event follows it for everybody."""
        first: list[int] = []
        last: list[int] = []
        self.subscribe(first).resume()

        def deliver(event: Event) -> None:
            if event.seq < 13:
                self.bus.publish("note")

        echo = self.bus.subscribe(deliver, self.overflowed)
        assert echo is not None
        echo.resume()
        self.subscribe(last).resume()
        self.bus.publish("note")
        self.assertEqual(first, [10, 11, 12, 13])
        self.assertEqual(last, [10, 11, 12, 13])

    def test_subscribing_within_a_delivery(self) -> None:
        """Who subscribes while events are handed out gets each later one exactly once."""
        plain: list[int] = []
        resumed: list[int] = []

        def deliver(event: Event) -> None:
            if event.seq == 10:
                self.bus.publish("note")  # 11: published, not yet handed out
                self.subscribe(plain).resume()
                self.subscribe(resumed, since=9).resume()

        first = self.bus.subscribe(deliver, self.overflowed)
        assert first is not None
        first.resume()
        self.bus.publish("note")
        self.bus.publish("note")
        self.assertEqual(plain, [12])
        self.assertEqual(resumed, [10, 11, 12])

    def test_one_that_raises(self) -> None:
        """It is logged and gets no more; the others go on."""
        before: list[int] = []
        after: list[int] = []
        calls: list[int] = []
        self.subscribe(before).resume()

        def deliver(event: Event) -> None:
            calls.append(event.seq)
            raise RuntimeError("no")

        bad = self.bus.subscribe(deliver, self.overflowed)
        assert bad is not None
        bad.resume()
        self.subscribe(after).resume()
        self.bus.publish("note")
        self.bus.publish("note")
        self.assertEqual((before, after, calls), ([10, 11], [10, 11], [10]))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class FollowingTests(BusCase):
    """Parts of the daemon that hear of what they are about."""

    def test_follow(self) -> None:
        """Each event of the topics comes at once, also what one of them publishes."""
        got: list[str] = []

        def deliver(event: Event) -> None:
            got.append(event.kind)
            if event.kind == "message_sent":
                self.bus.publish("message_done")

        self.bus.publish("message_sent")
        following = self.bus.follow(deliver, frozenset({"message", "turn_end"}))
        for kind in ("message_sent", "note", "turn_start", "turn_end"):
            self.bus.publish(kind)
        self.assertEqual(got, ["message_sent", "message_done", "turn_end"])
        following.cancel()
        self.bus.publish("turn_end")
        self.assertEqual(len(got), 3)

    def test_one_that_raises(self) -> None:
        """It is logged, and hears of the next event all the same."""
        calls: list[int] = []

        def deliver(event: Event) -> None:
            calls.append(event.seq)
            raise RuntimeError("no")

        self.bus.follow(deliver, frozenset({"note"}))
        self.bus.publish("note")
        self.bus.publish("note")
        self.assertEqual(calls, [10, 11])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)


class ReplayTests(BusCase):
    """Going on after a number."""

    def test_replays_all_after_it(self) -> None:
        """Every event after the number, then those that come, without a gap."""
        for _ in range(3):
            self.bus.publish("note")
        got: list[int] = []
        subscription = self.subscribe(got, since=10)
        self.bus.publish("note")
        subscription.resume()
        self.bus.publish("note")
        self.assertEqual(got, [11, 12, 13, 14])

    def test_up_to_date(self) -> None:
        """After the newest number nothing is missing."""
        got: list[int] = []
        self.subscribe(got, since=9).resume()
        self.bus.publish("note")
        self.subscribe(got, since=10).resume()
        self.assertEqual(got, [10])

    def test_numbers_of_an_earlier_daemon(self) -> None:
        """What an earlier daemon may have published is not kept: load anew."""
        self.assertIsNone(self.bus.subscribe(print, self.overflowed, since=8))
        self.bus.publish("note")
        self.assertIsNone(self.bus.subscribe(print, self.overflowed, since=8))

    def test_numbers_to_come(self) -> None:
        """A number that was never given out can't be gone on from."""
        self.assertIsNone(self.bus.subscribe(print, self.overflowed, since=10))

    def test_the_ring_is_bounded_in_bytes(self) -> None:
        """The oldest events go; who needs them must load anew."""
        size = len(self.bus.publish("note", {"n": 0}).json)
        self.bus = EventBus(self.clock, 10, ring_bytes=3 * size)
        for number in range(5):
            self.bus.publish("note", {"n": number})
        self.assertIsNone(self.bus.subscribe(print, self.overflowed, since=10))
        got: list[int] = []
        self.subscribe(got, since=11).resume()
        self.assertEqual(got, [12, 13, 14])

    def test_an_event_larger_than_the_ring(self) -> None:
        """It is delivered and not kept."""
        self.bus = EventBus(self.clock, 10, ring_bytes=200)
        got: list[int] = []
        self.subscribe(got).resume()
        self.bus.publish("note", {"text": "x" * 1000})
        self.assertIsNone(self.bus.subscribe(print, self.overflowed, since=9))
        self.subscribe(got, since=10).resume()
        self.bus.publish("note")
        self.assertEqual(got, [10, 11, 11])


class BacklogTests(BusCase):
    """A subscriber that does not read."""

    def test_overflow(self) -> None:
        """Past 1 MiB it ends, is told once, and holds nothing; others go on."""
        slow: list[int] = []
        quick: list[int] = []
        subscription = self.subscribe(slow)
        self.subscribe(quick).resume()
        half = {"text": "x" * (MAX_BACKLOG // 2)}
        self.bus.publish("note", half)
        self.assertEqual(self.overflows, 0)
        for _ in range(3):
            self.bus.publish("note", half)
        self.assertEqual(self.overflows, 1)
        subscription.resume()
        self.bus.publish("note")
        self.assertEqual((slow, quick), ([], [10, 11, 12, 13, 14]))

    def test_reading_makes_room(self) -> None:
        """What was delivered counts no more."""
        got: list[int] = []
        subscription = self.subscribe(got)
        for _ in range(10):
            self.bus.publish("note", {"text": "x" * (MAX_BACKLOG // 2)})
            subscription.resume()
            subscription.pause()
        self.assertEqual((len(got), self.overflows), (10, 0))

    def test_a_replay_counts(self) -> None:
        """Who is more than 1 MiB behind must load anew; its choice decides what counts."""
        for _ in range(3):
            self.bus.publish("note", {"text": "x" * (MAX_BACKLOG // 2)}, agent="bob")
        self.bus.publish("note", agent="alice")
        self.assertIsNone(self.bus.subscribe(print, self.overflowed, since=9))
        got: list[int] = []
        self.subscribe(got, since=9, agent="alice").resume()
        self.assertEqual((got, self.overflows), ([13], 0))

    def test_subscribing_anew_at_an_overflow(self) -> None:
        """Who overflows may begin again at once."""
        got: list[int] = []

        def again() -> None:
            self.subscribe(got).resume()

        self.assertIsNotNone(self.bus.subscribe(print, again))
        self.bus.publish("note", {"text": "x" * (MAX_BACKLOG + 1)})
        self.bus.publish("note")
        self.assertEqual(got, [11])

    def test_an_overflow_handler_that_raises(self) -> None:
        """It is logged, and the event reaches the others."""

        def fail() -> None:
            raise RuntimeError("no")

        self.assertIsNotNone(self.bus.subscribe(print, fail))
        got: list[int] = []
        self.subscribe(got).resume()
        self.bus.publish("note", {"text": "x" * (MAX_BACKLOG + 1)})
        self.assertEqual(got, [10])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
