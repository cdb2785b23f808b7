"""What the dashboard costs a browser: ``python -m benchmarks.cockpit``.

A hive in memory with a hundred agents, twenty of which work: each says something four
times a second and changes its state once. Of five tabs of a real Chromium three show the
dashboard, and two the pages of agents that work. After a while are measured

heap: what each tab's scripts hold (V8, after a collection);
renderer: memory that belongs to the browser's renderer processes alone, by the kernel
    (Pss), for each tab;
click: from a click on an agent's menu to the second frame after it, by which it is seen;
    the same of a panel of an agent's page.
"""

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from twisted.internet import asyncioreactor

if "twisted.internet.reactor" not in sys.modules:
    asyncioreactor.install()

from twisted.internet.task import LoopingCall, deferLater, react

from benchmarks.results import keep, machine
from hyperhive.deferreds import deferred
from tests.web.chromium import Chromium, Tab
from tests.web.crowd import gather
from tests.web.support import Hive

AGENTS, WORKING, DASHBOARDS, PAGES = 100, 20, 3, 2
TABS = DASHBOARDS + PAGES
#: How often each of those that work says something (a second).
RATE = 4
CLICKS = 40

_CLICK = """
(async () => {
  const button = document.querySelectorAll('#agent-list [aria-haspopup=menu]')[%d];
  const began = performance.now();
  button.click();
  await new Promise((seen) => requestAnimationFrame(() => requestAnimationFrame(seen)));
  const took = performance.now() - began;
  if (!document.querySelector('[role=menu]')) throw new Error('no menu');
  button.click();
  return took;
})()
"""
_UNFOLD = """
(async () => {
  const panel = document.querySelector('#config-box summary');
  const began = performance.now();
  panel.click();
  await new Promise((seen) => requestAnimationFrame(() => requestAnimationFrame(seen)));
  return performance.now() - began;
})()
"""


class Swarm:
    """The hive's side: who works says so."""

    def __init__(self, clock: Any, folder: Path) -> None:
        self.hive = Hive(
            clock, folder, time.time, dashboard="tcp:0:interface=127.0.0.1"
        )
        gather(self.hive, AGENTS - 1, time.time())
        self.working = [
            status.name for status in self.hive.agents.statuses() if status.working
        ][:WORKING]
        self._steps = itertools.count()

    def play(self, clock: Any) -> LoopingCall:
        """Let them work."""
        playing = LoopingCall(self._step)
        playing.clock = clock
        playing.start(1 / RATE)
        return playing

    def _step(self) -> None:
        step = next(self._steps)
        for number, name in enumerate(self.working):
            text = {"type": "text", "text": f"Step {step} of what I do."}
            said = {"type": "assistant", "message": {"content": [text]}}
            self.hive.bus.publish("stream", {"event": said}, name)
            if (step + number) % RATE == 0:
                tool = ("Bash", "Read", "Edit")[(step // RATE) % 3]
                self.hive.agents.change(name, tool=tool, context=20_000 + 100 * step)


def renderers(browser: int) -> float:
    """Memory of a browser's renderer processes (MB)."""
    total = 0
    for folder in Path("/proc").iterdir():
        try:
            line = (folder / "cmdline").read_bytes()
            if b"--type=renderer" not in line or not _descends(folder, browser):
                continue
            for one in (folder / "smaps_rollup").read_text().splitlines():
                if one.startswith("Pss:"):
                    total += int(one.split()[1])
        except (OSError, ValueError):
            continue
    return total / 1024


def _descends(folder: Path, ancestor: int) -> bool:
    pid = int(folder.name)
    while pid > 1:
        if pid == ancestor:
            return True
        stat = Path(f"/proc/{pid}/stat").read_text()
        pid = int(stat.rpartition(")")[2].split()[1])
    return False


async def measure(clock: Any, seconds: float) -> dict[str, Any]:
    """Run it and measure."""
    with tempfile.TemporaryDirectory() as folder:
        swarm = Swarm(clock, Path(folder))
        await swarm.hive.web.start()
        playing = swarm.play(clock)
        async with Chromium(clock) as browser:
            tabs: list[Tab] = [browser]
            await browser.go(swarm.hive.web.login_url())
            while len(tabs) < TABS:
                tabs.append(await browser.tab())
            pages = [f"agent/{name}/" for name in swarm.working[:PAGES]]
            for tab, page in zip(tabs, [*[""] * DASHBOARDS, *pages], strict=True):
                await tab.look(1440, 900)
                await tab.go(f"{swarm.hive.web.url}{page}")
                await tab.until("document.querySelector('[data-state=live]')")
            await deferLater(clock, seconds)
            clicks = [
                float(await tabs[0].run(_CLICK % (number % 10)))
                for number in range(CLICKS)
            ]
            unfolds = [float(await tabs[-1].run(_UNFOLD)) for _ in range(CLICKS)]
            heaps = [await tab.heap() for tab in tabs]
            nodes = int(await tabs[0].run("document.querySelectorAll('*').length"))
            memory = renderers(os.getpid()) / TABS
        playing.stop()
        await swarm.hive.web.stop()
    return {
        "heap_mb": [round(one / 2**20, 1) for one in heaps],
        "renderer_mb_a_tab": round(memory, 1),
        "click_ms": [round(one, 1) for one in sorted(clicks)],
        "unfold_ms": [round(one, 1) for one in sorted(unfolds)],
        "nodes": nodes,
    }


def _p95(samples: list[float]) -> float:
    return samples[int(0.95 * len(samples))]


def report(found: dict[str, Any]) -> str:
    """The table."""
    clicks, unfolds = found["click_ms"], found["unfold_ms"]
    return "\n".join(
        (
            f"| {AGENTS} agents, {WORKING} at work, {TABS} tabs | found | goal |",
            "|---|---|---|",
            f"| heap of a tab, largest | {max(found['heap_mb'])} MB | |",
            f"| renderer memory, a tab | {found['renderer_mb_a_tab']} MB | 100 MB |",
            f"| click to seen, p50 | {statistics.median(clicks):.0f} ms | |",
            f"| click to seen, p95 | {_p95(clicks):.0f} ms | 100 ms |",
            f"| the same on an agent's page, p50 | {statistics.median(unfolds):.0f} ms | |",
            f"| the same on an agent's page, p95 | {_p95(unfolds):.0f} ms | 100 ms |",
            f"| elements | {found['nodes']} | |",
        )
    )


def main(arguments: list[str]) -> None:
    """Measure, print, and keep the samples."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args(arguments)

    @deferred
    async def run(clock: Any) -> None:
        where = machine()
        found = await measure(clock, options.seconds)
        keep("cockpit", where, found)
        print(report(found))

    react(run, ())


if __name__ == "__main__":
    main(sys.argv[1:])
