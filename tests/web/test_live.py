"""The event stream that all tabs share: in a real browser, and its hub alone."""

import json
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet import reactor
from twisted.internet.tcp import Server
from twisted.trial.unittest import TestCase

from hyperhive.deferreds import deferred
from hyperhive.web import WebService
from hyperhive.web.guard import Guard
from tests.web.chromium import Chromium, Tab, executable
from tests.web.support import Hive
from tests.web.test_browser import BrowserCase

TABS = 10
_IS = "document.getElementById('connection')?.dataset.state === {}"


class SharedStreamTests(BrowserCase):
    """Many tabs, one stream, and what becomes of it when the hive goes."""

    async def is_(self, tab: Tab, state: str) -> None:
        """Wait until the tab says so of its connection."""
        await tab.until(_IS.format(json.dumps(state)))

    async def lose(self) -> None:
        """The daemon goes."""
        self.forgiven = "ERR_"
        self.number = self.hive.web._port.getHost().port
        await self.hive.web.stop()
        for one in reactor.getReaders():
            if isinstance(one, Server) and one.getHost().port == self.number:
                one.abortConnection()

    async def restart(self) -> None:
        """It comes back where it was."""
        self.hive.web = WebService(
            reactor, self.hive.context, f"tcp:{self.number}:interface=127.0.0.1"
        )
        await self.hive.web.start()

    @deferred
    async def test_ten_tabs(self) -> None:
        """Ten tabs use one stream, each sees what happens, and verbs still pass."""
        tabs: list[Tab] = [self.browser]
        for number in range(TABS - 1):
            tab = await self.browser.tab()
            await tab.go(f"{self.hive.web.url}{'agent/alice/' if number % 2 else ''}")
            tabs.append(tab)
        for tab in tabs:
            await self.is_(tab, "live")
        self.assertEqual(len(self.hive.web._streams), 1)
        self.hive.agents.change("alice", status_text="seen by all")
        for tab in tabs:
            await tab.until("document.body.textContent.includes('seen by all')")
        answered = await tabs[-2].run("fetch('/api/state').then(({ok}) => ok)")
        self.assertIs(answered, True)

    @deferred
    async def test_tabs_go(self) -> None:
        """The stream stays while a tab needs it, whichever was first, and no longer."""
        self.forgiven = "favicon"
        tab = await self.browser.tab()
        await tab.go(self.hive.web.url)
        await self.is_(tab, "live")
        await self.browser.go(f"{self.hive.web.url}healthz")
        self.hive.agents.add("bob")
        await tab.until("document.querySelector('li[data-key=bob]')")
        self.assertEqual(len(self.hive.web._streams), 1)

    @deferred
    async def test_lost_and_back(self) -> None:
        """The loss is told with when it is tried again, and heals without a gap."""
        await self.browser.type("#compose-body", "not yet sent")
        await self.lose()
        await self.sees("#connection", "reconnecting")
        await self.sees("#outage", "The hive does not answer; trying again in ")
        self.hive.agents.add("bob")
        await self.restart()
        await self.live()
        await self.browser.until("document.getElementById('outage').hidden")
        await self.sees("#agent-list", "bob")
        self.assertEqual(
            await self.browser.run("document.getElementById('compose-body').value"),
            "not yet sent",
        )

    @deferred
    async def test_back_with_another_secret(self) -> None:
        """A hive that knows nobody any more is not asked again and again."""
        asked: list[bytes] = []
        refuse = Guard._refuse_stranger

        def counted(guard: Guard, request: Any) -> bytes | None:
            asked.append(request.path)
            return refuse(guard, request)

        await self.lose()
        self.hive.layout.operator_token.unlink()
        self.hive.layout.operator_sessions.unlink(missing_ok=True)
        self.patch(Guard, "_refuse_stranger", counted)
        await self.restart()
        await self.sees("#outage", "You are logged out.")
        self.assertEqual(asked, [b"/events/stream"])
        tab = await self.browser.tab()
        await tab.go(self.hive.web.login_url())
        # Who logs in, in whatever tab, brings all of them back.
        await self.is_(tab, "live")
        await self.live()
        await self.browser.until("document.getElementById('outage').hidden")

    @deferred
    async def test_another_version(self) -> None:
        """A page of an earlier version says so, and is reloaded by a click."""
        await self.lose()
        facts = evolve(self.hive.context.facts, version="7.7.7")
        self.hive.context = evolve(self.hive.context, facts=facts)
        await self.restart()
        await self.live()
        await self.browser.run(
            "dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))"
        )
        await self.sees("#outage", "The hive runs 7.7.7 now.")
        await self.live()
        self.assertFalse(
            await self.browser.run("document.getElementById('outage').hidden")
        )
        await self.click("#outage button", "reload")
        await self.browser.until("!document.getElementById('outage')")
        await self.sees(".facts", "7.7.7")

    @deferred
    async def test_an_event_that_can_not_be_read(self) -> None:
        """It is passed over: what comes after it is heard of, on the same stream."""
        self.forgiven = "JSON"
        await self.browser.before_scripts("delete globalThis.SharedWorker")
        await self.open("")
        self.hive.bus.publish("note", raw={"text": b"Infinity"})
        self.hive.agents.add("bob")
        await self.sees("#agent-list", "bob")
        await self.sees("#connection", "live")
        # It is no event that the hive publishes, as its check here says too.
        self.assertEqual(len(self.flushLoggedErrors(AssertionError)), 1)

    @deferred
    async def test_a_stream_of_its_own(self) -> None:
        """Where there are no shared workers, a page has a stream to itself."""
        await self.browser.before_scripts("delete globalThis.SharedWorker")
        await self.open("")
        tab = await self.browser.tab()
        await tab.before_scripts("delete globalThis.SharedWorker")
        await tab.go(f"{self.hive.web.url}agent/alice/")
        await self.is_(tab, "live")
        self.assertEqual(len(self.hive.web._streams), 2)
        self.hive.agents.add("bob")
        await self.sees("#agent-list", "bob")
        await self.lose()
        await self.sees("#connection", "reconnecting")
        await self.restart()
        await self.live()

    @deferred
    async def test_no_worker(self) -> None:
        """A shared worker that does not load leaves the page a stream of its own."""
        await self.browser.before_scripts(
            "globalThis.SharedWorker = class { port = new MessageChannel().port1;"
            " set onerror(told) { setTimeout(told) } }"
        )
        await self.open("")
        self.hive.agents.add("bob")
        await self.sees("#agent-list", "bob")

    @deferred
    async def test_agents_own_port(self) -> None:
        """An agent's page is brought up and heard of as on the dashboard's origin."""
        page = WebService(reactor, self.hive.context, "tcp:0:interface=127.0.0.1")
        page.root = lambda: page.agent_root("alice")
        await page.start()
        self.addCleanup(page.stop)
        await self.browser.go(page.login_url())
        await self.live()
        self.hive.bus.publish("note", {"text": "on its own port"}, "alice")
        self.hive.bus.publish("note", {"text": "not of alice"}, "bob")
        await self.sees("#log", "on its own port")
        text = await self.browser.run("document.getElementById('log').textContent")
        self.assertNotIn("not of alice", text)


# A hub with a stream that the test feeds, and tabs that note what they are told.
_HUB = """
const { Hub } = await import(HUB);
const asked = [];
let feed, ping;
globalThis.setInterval = (tick) => (ping = tick);
globalThis.fetch = async (url, { headers, signal }) => {
  asked.push(headers["last-event-id"]);
  const body = new ReadableStream({ start: (control) => {
    feed = (text) => control.enqueue(new TextEncoder().encode(text));
    signal.addEventListener("abort", () => control.error(signal.reason));
  } });
  return new Response(body);
};
const frame = (seq, kind = "note", agent = "alice") =>
  `id: ${seq}\\nevent: ${kind}\\ndata: ${JSON.stringify({ seq, kind, agent })}\\n\\n`;
const settled = () => new Promise((done) => setTimeout(done, 30));
const hub = new Hub(new URL("/events/stream", location.origin));
const all = [{ topics: null, agent: null }];
const tab = (since, wanted = all, rank = 1) => {
  const { port1, port2 } = new MessageChannel();
  const told = [];
  const seqs = () => told.flatMap(({ events = [] }) => events.map(({ seq }) => seq));
  hub.add(port1);
  port2.onmessage = ({ data }) => told.push(data);
  port2.postMessage({ type: "join", since, wanted, rank });
  return { port: port2, told, seqs, types: () => told.map(({ type }) => type) };
};
"""


class HubTests(TestCase):
    """The hub, fed by hand."""

    timeout = 60
    if executable() is None:
        skip = "there is no chromium on PATH"

    async def run_hub(self, script: str) -> Any:
        """Run a script with a hub; answers what it returns."""
        hive = Hive(
            reactor,
            Path(self.mktemp()),
            lambda: 0.0,
            dashboard="tcp:0:interface=127.0.0.1",
        )
        await hive.web.start()
        self.addCleanup(hive.web.stop)
        hub = hive.web._templates._environment.globals["asset"]("hub.js")
        async with Chromium(reactor) as browser:
            await browser.go(f"{hive.web.url}healthz")
            body = _HUB.replace("HUB", json.dumps(hub)) + script
            return await browser.run(f"(async () => {{ {body} }})()")

    @deferred
    async def test_late_tab(self) -> None:
        """A tab that joins late gets what came after its number, and only that."""
        told = await self.run_hub("""
        const first = tab(100);
        await settled();
        feed(": ping\\n\\n" + frame(101) + frame(102) + frame(103).slice(0, 20));
        await settled();
        feed(frame(103).slice(20));
        await settled();
        const late = tab(101), ahead = tab(105), behind = tab(99);
        await settled();
        feed(frame(104));
        await settled();
        return [asked, first.seqs(), late.seqs(), ahead.seqs(), behind.types()];
        """)
        self.assertEqual(
            told,
            # What a tab has already it drops by itself.
            [["100"], [101, 102, 103, 104], [102, 103, 104], [104], ["resync"]],
        )

    @deferred
    async def test_bounded(self) -> None:
        """The ring keeps the last 4,000 events; who needs older ones begins again."""
        told = await self.run_hub("""
        const first = tab(0);
        await settled();
        feed(Array.from({ length: 4100 }, (_, place) => frame(place + 1)).join(""));
        while (first.seqs().length < 4100) await settled();
        const fits = tab(100), late = tab(99);
        await settled();
        return [fits.seqs().length, fits.seqs()[0], late.types()];
        """)
        self.assertEqual(told, [4000, 101, ["resync"]])

    @deferred
    async def test_wanted(self) -> None:
        """A tab is told of the topics and the agents that it named."""
        told = await self.run_hub("""
        const one = tab(0, [{ topics: ["turn", "note"], agent: "alice" }, { topics: ["deploy"], agent: null }]);
        await settled();
        feed(frame(1) + frame(2, "note", "bob") + frame(3, "turn_end") + frame(4, "deploy_log", "bob") + frame(5, "stream"));
        await settled();
        return one.seqs();
        """)
        self.assertEqual(told, [1, 3, 4])

    @deferred
    async def test_resync(self) -> None:
        """A resync of the hive's makes every tab begin again, with its own number."""
        told = await self.run_hub("""
        const one = tab(5), two = tab(6);
        await settled();
        feed("event: resync\\ndata: {}\\n\\n");
        await settled();
        one.port.postMessage({ type: "join", since: 40, wanted: all, rank: 1 });
        await settled();
        feed(frame(41));
        await settled();
        return [asked, one.types().includes("resync"), two.types().includes("resync"), one.seqs(), two.seqs()];
        """)
        self.assertEqual(told, [["5", "40"], True, True, [41], []])

    @deferred
    async def test_silent_tabs(self) -> None:
        """A tab that answers no ping is let go, and told so for when it wakes."""
        told = await self.run_hub("""
        const awake = tab(0), asleep = tab(0);
        awake.port.onmessage = ({ data }) => data.type === "ping" ? awake.port.postMessage({ type: "pong" }) : awake.told.push(data);
        await settled();
        for (let times = 0; times < 6; times++) { ping(); await settled(); }
        feed(frame(1));
        await settled();
        return [awake.seqs(), asleep.seqs(), asleep.types().at(-1)];
        """)
        self.assertEqual(told, [[1], [], "resync"])

    @deferred
    async def test_leader(self) -> None:
        """The tab that was looked at last speaks for all; when it goes, the next does."""
        told = await self.run_hub("""
        const leads = (one) => one.told.filter(({ type }) => type === "lead").map(({ lead }) => lead);
        const one = tab(0, all, 5), two = tab(0, all, 3);
        await settled();
        two.port.postMessage({ type: "seen", rank: 9 });
        await settled();
        two.port.postMessage({ type: "leave" });
        await settled();
        return [leads(one), leads(two)];
        """)
        self.assertEqual(told, [[True, False, True], [True]])
