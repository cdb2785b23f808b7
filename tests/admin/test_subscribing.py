"""The two verbs whose answers do not end."""

import json
from typing import Any

from hyperhive.bus import MAX_BACKLOG
from tests.admin.support import FIRST_SEQ, AdminCase, Client


class SubscribeTests(AdminCase):
    """The event stream as JSON lines."""

    def subscribed(self, **members: Any) -> Client:
        """A client with a subscription, which was acknowledged."""
        client = self.connect()
        client.send({"cmd": "subscribe", **members})
        [ack] = client.lines()[:1] or [b"{}"]
        self.assertTrue(json.loads(ack)["ok"], ack)
        return client

    def test_bytes(self) -> None:
        """An acknowledgement with the newest number, then each event as it is."""
        self.client.send(b'{"cmd":"subscribe"}\n')
        self.assertEqual(
            self.client.lines(),
            [b'{"version":1,"ok":true,"seq":%d}' % (FIRST_SEQ - 1)],
        )
        event = self.hive.bus.publish("note", {"text": "hello"}, "bob")
        self.assertEqual(self.client.lines(), [event.json])

    def test_kinds(self) -> None:
        """Topics and kinds choose."""
        client = self.subscribed(kinds=["message", "turn_end"])
        for kind in ("message_sent", "note", "turn_start", "turn_end", "message_dead"):
            self.hive.bus.publish(kind, {}, "bob")
        self.assertEqual(
            [event["kind"] for event in client.answers()],
            ["message_sent", "turn_end", "message_dead"],
        )

    def test_agent(self) -> None:
        """Only what is about one agent; an unknown one is refused."""
        client = self.subscribed(agent="bob")
        for agent in ("alice", "bob", None):
            self.hive.bus.publish("note", {}, agent)
        self.assertEqual([event["agent"] for event in client.answers()], ["bob"])
        answer = self.connect().ask({"cmd": "subscribe", "agent": "zoe"})
        self.assert_refused(answer, "zoe", "bob")

    def test_since(self) -> None:
        """What was missed comes after the acknowledgement, without a gap or a doublet."""
        for number in range(3):
            self.hive.bus.publish("note", {"number": number})
        self.client.send({"cmd": "subscribe", "since": FIRST_SEQ})
        self.hive.bus.publish("note", {"number": 3})
        ack, *events = self.client.answers()
        self.assertEqual(ack["seq"], FIRST_SEQ + 2)
        self.assertEqual([event["number"] for event in events], [1, 2, 3])

    def test_since_refused(self) -> None:
        """A number too old, or of the future, is refused with what there is; then it can be asked anew."""
        self.hive.bus.publish("note")
        for since, words in (
            (0, f"oldest that is kept is {FIRST_SEQ}"),
            (FIRST_SEQ + 1, f"newest is {FIRST_SEQ}"),
        ):
            answer = self.client.ask({"cmd": "subscribe", "since": since})
            self.assert_refused(answer, words)
        self.hive.bus.publish("note", {"text": "x" * (MAX_BACKLOG + 1)})
        answer = self.client.ask({"cmd": "subscribe", "since": FIRST_SEQ})
        self.assert_refused(answer, "too much has happened")
        self.assertTrue(self.client.ask({"cmd": "subscribe"})["ok"])

    def test_wrong_kinds(self) -> None:
        """No kind at all never means all of them, and an unknown one is named."""
        for kinds, words in (([], "a list with some of"), (["nope"], "'nope' is none")):
            answer = self.client.ask({"cmd": "subscribe", "kinds": kinds})
            self.assert_refused(answer, words)

    def test_twice(self) -> None:
        """A connection has one subscription, and stays usable beside it."""
        client = self.subscribed()
        self.assert_refused(client.ask({"cmd": "subscribe"}), "already")
        self.assert_refused(client.ask({"cmd": "subscribe_agent_status"}), "already")
        self.assertEqual(client.ask({"cmd": "urls"})["ok"], True)

    def test_half_closed(self) -> None:
        """One that sends no more still gets events: ``echo … | socat`` follows."""
        client = self.subscribed()
        client.ends()
        self.assertFalse(client.is_closed)
        event = self.hive.bus.publish("note")
        self.assertEqual(client.lines(), [event.json])

    def test_gone(self) -> None:
        """One that is gone holds nothing up."""
        client = self.subscribed()
        client.connection.connectionLost()
        self.hive.bus.publish("note")
        self.assertEqual(client.lines(), [])
        self.assertEqual(self.factory.open, {self.client.connection})

    def test_pause(self) -> None:
        """What happens while it doesn't read comes when it reads, in order."""
        client = self.subscribed()
        client.stops_reading()
        for number in range(3):
            self.hive.bus.publish("note", {"number": number})
        self.assertEqual(client.lines(), [])
        client.reads_again()
        self.assertEqual([event["number"] for event in client.answers()], [0, 1, 2])

    def test_overflow(self) -> None:
        """One that doesn't read for too long is told and closed; others get everything."""
        slow, quick = self.subscribed(), self.subscribed()
        slow.stops_reading()
        text = "x" * (MAX_BACKLOG // 4)
        for _ in range(5):
            self.hive.bus.publish("note", {"text": text})
        self.assertEqual(len(quick.lines()), 5)
        self.assert_refused(*slow.answers(), "too slowly", "subscribe anew")
        self.assertTrue(slow.is_closed)
        self.hive.bus.publish("note")
        self.assertEqual(slow.lines(), [])


class AgentStatusTests(AdminCase):
    """Rows of the agents that change."""

    def test_bytes(self) -> None:
        """A bare acknowledgement, then a list of one row for each change."""
        self.client.send(b'{"cmd":"subscribe_agent_status"}\n')
        self.assertEqual(self.client.lines(), [b'{"version":1,"ok":true}'])
        self.agents.change("bob", paused=True)
        self.hive.bus.publish("agent_state", {}, "bob")
        [line] = self.client.lines()
        self.assertTrue(
            line.startswith(b'{"version":1,"ok":true,"agent_statuses":[{"name":"bob",')
        )
        [row] = json.loads(line)["agent_statuses"]
        self.assertEqual((row["paused"], row["state"]), (True, "paused"))

    def test_nothing_else(self) -> None:
        """No other event, and no row of an agent that is gone."""
        self.client.send({"cmd": "subscribe_agent_status"})
        self.client.lines()
        self.hive.bus.publish("note", {}, "bob")
        self.hive.bus.publish("agent_state", {"gone": True}, "zoe")
        self.assertEqual(self.client.lines(), [])
