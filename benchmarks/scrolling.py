"""What a long history costs an agent's page: ``python -m benchmarks.scrolling``.

100,000 events of one agent, of the kinds and sizes that a turn of claude has. A real
Chromium opens the page and scrolls up in two ways: a screen's tenth each frame for a
while, as somebody reads, and then half a screen each frame to the very beginning, as
somebody holds a key down. Measured are the time from frame to frame (in a browser
without a screen, at most 60 a second), how many events went by, and what the page
holds at the end.
"""

import argparse
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from twisted.internet import asyncioreactor

if "twisted.internet.reactor" not in sys.modules:
    asyncioreactor.install()

from twisted.internet.task import react

from benchmarks.results import keep, machine
from hyperhive.deferreds import deferred
from hyperhive.times import rfc3339
from tests.web.chromium import Chromium
from tests.web.support import Hive

EVENTS = 100_000
#: Which part of a screen is scrolled each frame.
READING, PAGING = 0.1, 0.5
#: How long one call to the browser may scroll (milliseconds).
AT_ONCE = 10_000
#: How long the way to the beginning may take (seconds).
PATIENCE = 600

_SCROLL = """
(async () => {
  const log = document.getElementById('log');
  const frames = [];
  const end = performance.now() + %d;
  let last = performance.now();
  const more = () => log.scrollTop > 0 || !document.getElementById('older').hidden;
  while (last < end && more()) {
    log.scrollTop -= log.clientHeight * %f;
    await new Promise((seen) => requestAnimationFrame(seen));
    const now = performance.now();
    frames.push(now - last);
    last = now;
  }
  return frames;
})()
"""


def past(number: int) -> list[bytes]:
    """So many stored events."""
    texts = (
        "I'll look at the **log** first, then at the row where it `stopped`.",
        "- cause: the supplier switched its export\n- fix: both marks are taken",
        "Done. All 212 tests pass.",
    )
    events = []
    for seq, text in zip(range(1, number + 1), itertools.cycle(texts)):
        content: dict[str, Any] = {"type": "text", "text": f"{text} ({seq})"}
        if seq % 3 == 1:
            given = {"command": f"tail -n 40 /state/logs/import-{seq}.log"}
            content = {
                "type": "tool_use",
                "id": f"t{seq}",
                "name": "Bash",
                "input": given,
            }
        said = {"type": "assistant", "message": {"content": [content]}}
        own = {
            "seq": seq,
            "kind": "stream",
            "agent": "alice",
            "at": rfc3339(time.time()),
        }
        events.append(json.dumps({**own, "event": said}).encode())
    return events


async def scroll(browser: Chromium, part: float, seconds: float) -> dict[str, Any]:
    """Scroll up, to the beginning or for so long."""
    first = "Number(document.querySelector('#log .line').dataset.seq)"
    began, started = int(await browser.run(first)), time.monotonic()
    frames: list[float] = []
    while time.monotonic() - started < seconds:
        found = await browser.run(_SCROLL % (AT_ONCE, part))
        frames += found
        if not found:
            break
    return {
        "frames_ms": [round(one, 1) for one in sorted(frames)],
        "events": began - int(await browser.run(first)),
        "seconds": round(time.monotonic() - started, 1),
    }


async def measure(clock: Any, seconds: float) -> dict[str, Any]:
    """Open, scroll, and look."""
    with tempfile.TemporaryDirectory() as folder:
        hive = Hive(
            clock, Path(folder), time.time, dashboard="tcp:0:interface=127.0.0.1"
        )
        hive.agents.add("alice")
        hive.agents.events["alice"] = past(EVENTS)
        await hive.web.start()
        async with Chromium(clock) as browser:
            await browser.go(hive.web.login_url())
            await browser.look(1440, 900)
            await browser.go(f"{hive.web.url}agent/alice/")
            await browser.until(
                f"document.getElementById('log').textContent.includes('{EVENTS}')"
            )
            reading = await scroll(browser, READING, seconds)
            paging = await scroll(browser, PAGING, PATIENCE)
            nodes = await browser.run("document.querySelectorAll('*').length")
            heap = await browser.heap()
        await hive.web.stop()
    return {
        "reading": reading,
        "paging": paging,
        "nodes": int(nodes),
        "heap_mb": round(heap / 2**20, 1),
    }


def report(found: dict[str, Any]) -> str:
    """The table."""
    ways = (found["reading"], found["paging"])
    rows = {
        f"frame {name}": [at(way["frames_ms"], part) for way in ways]
        for name, part in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("longest", 1.0))
    }
    rows["events that went by"] = [f"{way['events']:,}" for way in ways]
    rows["in"] = [f"{way['seconds']} s" for way in ways]
    return "\n".join(
        (
            f"| {EVENTS:,} events | reading | to the beginning |",
            "|---|---|---|",
            *(f"| {name} | {' | '.join(values)} |" for name, values in rows.items()),
            "",
            f"At the end the page had {found['nodes']:,} elements and a heap of "
            f"{found['heap_mb']} MB.",
        )
    )


def at(frames: list[float], part: float) -> str:
    """The frame before which so many lie."""
    return f"{frames[min(len(frames) - 1, int(part * len(frames)))]} ms"


def main(arguments: list[str]) -> None:
    """Measure, print, and keep the samples."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args(arguments)

    @deferred
    async def run(clock: Any) -> None:
        where = machine()
        found = await measure(clock, options.seconds)
        keep("scrolling", where, found)
        print(report(found))

    react(run, ())


if __name__ == "__main__":
    main(sys.argv[1:])
