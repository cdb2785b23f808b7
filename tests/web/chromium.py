"""Drive a headless Chromium through its DevTools protocol, over a pair of pipes.

The pipe needs no port and no WebSocket client: JSON objects, each ended by a
NUL, on the browser's file descriptors 3 and 4.
"""

import base64
import itertools
import json
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

#: How long anything may take (seconds).
PATIENCE = 30.0
#: How often a condition is looked at (seconds).
STEP = 0.05

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--no-first-run",
    "--no-default-browser-check",
    "--remote-debugging-pipe",
)


def executable() -> str | None:
    """Where Chromium is, if it is installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class BrowserError(Exception):
    """The browser refused, or a page did not come to what was waited for."""


#: What a keyboard calls the keys that are no characters.
_CODES = {
    "Tab": 9,
    "Enter": 13,
    "Escape": 27,
    "End": 35,
    "Home": 36,
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
}


class _Pipe(ProcessProtocol):
    """One DevTools connection."""

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()
        self._numbers = itertools.count(1)
        self._answers: dict[int, Deferred[Any]] = {}
        self._heard: defaultdict[str, list[Callable[[Any], object]]] = defaultdict(list)
        self._parts: list[bytes] = []

    def call(self, method: str, session: str | None, **fields: Any) -> Deferred[Any]:
        """Ask for something; fires with the answer's ``result``."""
        number = next(self._numbers)
        asked = {"id": number, "method": method, "params": fields}
        if session is not None:
            asked["sessionId"] = session
        answer = self._answers[number] = Deferred()
        assert self.transport is not None
        self.transport.writeToChild(3, json.dumps(asked).encode() + b"\0")
        return answer

    def when(self, event: str, listener: Callable[[Any], object]) -> None:
        """Tell ``listener`` each time that an event of this name comes."""
        self._heard[event].append(listener)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """See ProcessProtocol. What the browser logs is not looked at."""
        if childFD != 4:
            return
        *whole, rest = data.split(b"\0")
        for part in whole:
            self._parts.append(part)
            self._take(json.loads(b"".join(self._parts)))
            self._parts.clear()
        if rest:
            self._parts.append(rest)

    def processEnded(self, reason: Failure) -> None:
        """See ProcessProtocol."""
        reason.trap(ProcessDone, ProcessTerminated)
        waiting, self._answers = self._answers, {}
        for answer in waiting.values():
            answer.errback(BrowserError("The browser has ended."))
        self.ended.callback(None)

    def _take(self, said: Any) -> None:
        if "id" not in said:
            for listener in self._heard[said["method"]]:
                listener(said["params"])
            return
        answer = self._answers.pop(said["id"])
        if "error" in said:
            answer.errback(BrowserError(said["error"]["message"]))
        else:
            answer.callback(said["result"])


class Tab:
    """One page of a browser."""

    def __init__(self, reactor: Any, pipe: _Pipe) -> None:
        self._reactor = reactor
        self._pipe = pipe
        self._session: str | None = None

    async def go(self, url: str) -> None:
        """Open a page and wait until its scripts have run."""
        answer = await self._ask("Page.navigate", url=url)
        if answer.get("errorText"):
            raise BrowserError(f"{url}: {answer['errorText']}")
        await self.until(
            "document.readyState === 'complete' && location.href !== 'about:blank'"
        )

    async def run(self, expression: str) -> Any:
        """Evaluate an expression in the page, and wait for what it promises."""
        answer = await self._ask(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if "exceptionDetails" in answer:
            raise BrowserError(_words(answer["exceptionDetails"]))
        return answer["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until an expression is true in the page."""
        for _ in range(int(PATIENCE / STEP)):
            try:
                if await self.run(f"Boolean({expression})"):
                    return
            except BrowserError:
                pass  # the page is being exchanged for another
            await deferLater(self._reactor, STEP)
        text = await self.run("document.body.innerText.slice(0, 2000)")
        raise BrowserError(f"never true: {expression}; the page says: {text}")

    async def type(self, selector: str, text: str, key: str = "") -> None:
        """Type into a field as a person does, and press a key after it."""
        await self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        await self._ask("Input.insertText", text=text)
        if key:
            await self.press(key)

    async def press(self, key: str) -> None:
        """Press and release a key: ``Enter``, ``Tab``, ``Ctrl+Enter``, ``a``…"""
        *modifiers, name = key.split("+")
        code = _CODES.get(name) or ord(name.upper())
        common = {
            "key": name,
            "code": name if name in _CODES else f"Key{name.upper()}",
            "windowsVirtualKeyCode": code,
            "modifiers": 2 if "Ctrl" in modifiers else 8 if "Shift" in modifiers else 0,
        }
        text: dict[str, str] = {"text": "\r"} if name == "Enter" else {}
        if len(name) == 1 and not modifiers:
            text = {"text": name}
        await self._ask("Input.dispatchKeyEvent", type="keyDown", **common, **text)
        await self._ask("Input.dispatchKeyEvent", type="keyUp", **common)

    async def before_scripts(self, source: str) -> None:
        """Run a script in each page that is opened from now on, before its own."""
        await self._ask("Page.addScriptToEvaluateOnNewDocument", source=source)

    async def point(self, selector: str) -> None:
        """Move the mouse over an element."""
        place = await self.run(
            f"(() => {{ const node = document.querySelector({json.dumps(selector)});"
            " node.scrollIntoView({block: 'center'});"
            " const {x, y, width, height} = node.getBoundingClientRect();"
            " return {x: x + width / 2, y: y + height / 2}; })()"
        )
        await self._ask("Input.dispatchMouseEvent", type="mouseMoved", **place)

    async def look(self, width: int, height: int, scheme: str = "dark") -> None:
        """Make the window so large, and prefer a colour scheme."""
        await self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        await self._ask(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )

    async def picture(self, whole: bool = False, kind: str = "png") -> bytes:
        """Take a picture of what is seen, or of the ``whole`` page.

        :param kind: ``png`` or ``webp``.
        """
        answer = await self._ask(
            "Page.captureScreenshot", format=kind, captureBeyondViewport=whole
        )
        return base64.b64decode(answer["data"])

    async def heap(self) -> int:
        """What the page's scripts hold, after a collection (bytes)."""
        await self._ask("HeapProfiler.collectGarbage")
        return int((await self._ask("Runtime.getHeapUsage"))["usedSize"])

    def _ask(self, method: str, **fields: Any) -> Deferred[Any]:
        session = self._session if not method.startswith("Target.") else None
        asking = self._pipe.call(method, session, **fields)
        return asking.addTimeout(PATIENCE, self._reactor)

    async def _attach(self, target: str) -> None:
        attached = await self._ask(
            "Target.attachToTarget", targetId=target, flatten=True
        )
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            await self._ask(f"{domain}.enable")


class Chromium(Tab):
    """A browser with one page, for the length of an ``async with``.

    :ivar complaints: what the pages' consoles and scripts complained of.
    :ivar requests: the URLs that the first page has asked for.
    """

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor, _Pipe())
        self._profile: str | None = None
        self._process: IProcessTransport | None = None
        self.complaints: list[str] = []
        self.requests: list[str] = []

    async def tab(self) -> Tab:
        """Open another tab, with the same cookies."""
        made = await self._ask("Target.createTarget", url="about:blank", newWindow=True)
        tab = Tab(self._reactor, self._pipe)
        await tab._attach(made["targetId"])
        return tab

    async def __aenter__(self) -> "Chromium":
        """Start it, with a fresh profile."""
        self._profile = tempfile.mkdtemp(prefix="hyperhive-chromium-")
        path = executable()
        assert path is not None
        self._process = self._reactor.spawnProcess(
            self._pipe,
            path,
            [path, *_FLAGS, f"--user-data-dir={self._profile}", "about:blank"],
            env={
                "HOME": self._profile,
                # Chromium leaves folders there when it is ended.
                "TMPDIR": self._profile,
                "PATH": "/usr/bin:/bin",
                "LANG": "C.UTF-8",
            },
            childFDs={0: "w", 1: "r", 2: "r", 3: "w", 4: "r"},
        )
        targets = await self._ask("Target.getTargets")
        page = next(one for one in targets["targetInfos"] if one["type"] == "page")
        self._pipe.when("Runtime.exceptionThrown", self._complained)
        self._pipe.when("Log.entryAdded", self._complained)
        self._pipe.when("Network.requestWillBeSent", self._requested)
        await self._attach(page["targetId"])
        await self._ask("Network.enable")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it and remove its profile."""
        assert self._process is not None
        if not self._pipe.ended.called:
            self._process.signalProcess("TERM")
        self._pipe.ended.addTimeout(PATIENCE, self._reactor)
        await self._pipe.ended
        shutil.rmtree(Path(str(self._profile)), ignore_errors=True)

    def _requested(self, said: Any) -> None:
        self.requests.append(said["request"]["url"])

    def _complained(self, said: Any) -> None:
        entry = said.get("entry")
        if entry and entry["level"] not in ("warning", "error"):
            return
        self.complaints.append(
            f"{entry['text']} {entry.get('url', '')}"
            if entry
            else _words(said["exceptionDetails"])
        )


def _words(details: Any) -> str:
    return str(details.get("exception", {}).get("description") or details["text"])
