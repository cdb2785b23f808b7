"""What a long history costs an agent's page: ``python -m benchmarks.scrolling``.

100,000 events of one agent, of the kinds and sizes that a turn of claude has. A real
Chromium opens the page and scrolls up, as far as it gets in the given time, a screen's
tenth each frame. Measured are the time from frame to frame (in a browser without a
screen, at most 60 a second), how many events went by, and what the page holds at the end.
"""

import argparse
import itertools
import json
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from twisted.internet import asyncioreactor

if "twisted.internet.reactor" not in sys.modules:
    asyncioreactor.install()

from twisted.internet.task import react

from hyperhive.deferreds import deferred
from hyperhive.times import rfc3339
from tests.web.chromium import Chromium
from tests.web.support import Hive

RESULTS = Path(__file__).parent / "results" / "scrolling.json"
EVENTS = 100_000

_SCROLL = """
(async () => {
  const log = document.getElementById('log');
  const frames = [];
  const end = performance.now() + %d;
  let last = performance.now();
  while (last < end) {
    log.scrollTop -= log.clientHeight / 10;
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
            frames: list[float] = []
            for _ in range(int(seconds / 10)):
                frames += await browser.run(_SCROLL % 10_000)
            reached = await browser.run(
                "Number(document.querySelector('#log .line').dataset.seq)"
            )
            nodes = await browser.run("document.querySelectorAll('*').length")
            heap = await browser.heap()
        await hive.web.stop()
    return {
        "frames_ms": [round(one, 1) for one in sorted(frames)],
        "events_passed": EVENTS - int(reached),
        "nodes": int(nodes),
        "heap_mb": round(heap / 2**20, 1),
    }


def report(found: dict[str, Any]) -> str:
    """The table."""
    frames = found["frames_ms"]
    at = {
        name: frames[int(part * len(frames))]
        for name, part in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }
    return "\n".join(
        (
            f"| {EVENTS} events | found |",
            "|---|---|",
            *(f"| frame {name} | {value} ms |" for name, value in at.items()),
            f"| longest frame | {frames[-1]} ms |",
            f"| events passed | {found['events_passed']} |",
            f"| elements | {found['nodes']} |",
            f"| heap | {found['heap_mb']} MB |",
        )
    )


def main(arguments: list[str]) -> None:
    """Measure, print, and keep the samples."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args(arguments)

    @deferred
    async def run(clock: Any) -> None:
        found = await measure(clock, options.seconds)
        machine = {"machine": platform.machine(), "python": platform.python_version()}
        RESULTS.write_text(json.dumps({**machine, **found}) + "\n")
        print(report(found))

    react(run, ())


if __name__ == "__main__":
    main(sys.argv[1:])
