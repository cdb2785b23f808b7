"""What goes over the wire: compressed, little of it, and all from here."""

import gzip
import re
from pathlib import Path
from urllib.parse import urlsplit

from treq.testing import RequestTraversalAgent
from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import readBody
from twisted.web.http_headers import Headers
from twisted.web.test.requesthelper import DummyRequest

from hyperhive.deferreds import deferred
from hyperhive.web.encoding import LONGEST, compressed, takes_gzip
from tests.web.chromium import Chromium, executable
from tests.web.stage import Stage
from tests.web.support import WebCase

#: The most that the first paint may take over the wire, headers not counted (bytes).
BUDGET = 100_000
_ASSET = re.compile(r'(?:href|src)="(/static/[^"]+)"')
# What a module imports at once; import() is for later.
_IMPORT = re.compile(r'^(?:import|export)\b[^;]*?"\./([\w.-]+)";', re.MULTILINE)


def _request(accept: str | None) -> DummyRequest:
    request = DummyRequest([b""])
    if accept is not None:
        request.requestHeaders.setRawHeaders("accept-encoding", [accept])
    return request


class HeaderTests(SynchronousTestCase):
    """What a client says that it takes."""

    def test_takes_gzip(self) -> None:
        """By name or by a star, unless its quality is nothing."""
        for accept in ("gzip", "deflate, gzip;q=0.5, br", "*", "GZIP ; Q=1"):
            self.assertTrue(takes_gzip(_request(accept)), accept)
        for other in (None, "", "br", "gzip;q=0", "*;q=0", "gzip;q=0, *", "gzip;q=x"):
            self.assertFalse(takes_gzip(_request(other)), other)

    def test_sizes(self) -> None:
        """What is short, or so long that it would hold up the reactor, goes as it is."""
        for size, packed in ((100, False), (5000, True), (LONGEST + 1, False)):
            request = _request("gzip")
            body = compressed(request, b"x" * size)
            self.assertEqual(len(body) < size, packed, size)
            sent = request.responseHeaders.getRawHeaders("content-encoding")
            self.assertEqual(sent, ["gzip"] if packed else None)


class WireTests(WebCase):
    """Pages and assets as they travel."""

    def fetch(self, path: str, **headers: str) -> tuple[int, Headers, bytes]:
        """The status, the headers and the body, still encoded."""
        agent = RequestTraversalAgent(self.hive.web.root())
        own = {**self.bearer, **{k.replace("_", "-"): v for k, v in headers.items()}}
        asking = agent.request(
            b"GET",
            f"http://localhost:7000{path}".encode(),
            Headers({name: [value] for name, value in own.items()}),
        )
        agent.flush()
        response = self.successResultOf(asking)
        reading = readBody(response)
        agent.flush()
        return response.code, response.headers, self.successResultOf(reading)

    def test_page(self) -> None:
        """A page is compressed for who takes it, and says what it depends on."""
        _, headers, plain = self.fetch("/")
        self.assertEqual(headers.getRawHeaders("vary"), ["accept-encoding"])
        self.assertIsNone(headers.getRawHeaders("content-encoding"))
        _, headers, packed = self.fetch("/", accept_encoding="gzip")
        self.assertEqual(headers.getRawHeaders("content-encoding"), ["gzip"])
        self.assertEqual(gzip.decompress(packed), plain)
        self.assertLess(len(packed), len(plain) / 2)

    def test_asset(self) -> None:
        """An asset is the same either way, and each way has a tag of its own."""
        path = self.hive.web._templates._environment.globals["asset"]("base.css")
        _, headers, plain = self.fetch(path)
        _, other, packed = self.fetch(path, accept_encoding="br, gzip")
        self.assertEqual(gzip.decompress(packed), plain)
        self.assertEqual(other.getRawHeaders("vary"), ["accept-encoding"])
        tags = [one.getRawHeaders("etag")[0] for one in (headers, other)]
        self.assertNotEqual(*tags)
        code, _, body = self.fetch(path, accept_encoding="gzip", if_none_match=tags[1])
        self.assertEqual((code, body), (304, b""))

    def test_first_paint(self) -> None:
        """The dashboard and all that it loads at once fit into the budget."""
        for page in ("/", "/agent/alice/", "/login", "/stats"):
            sizes = self.sizes(page)
            self.assertLess(sum(sizes.values()), BUDGET, sizes)
            self.assertGreater(len(sizes), 3, sizes)

    def sizes(self, page: str) -> dict[str, int]:
        """What a page makes a browser fetch before it is drawn, and the bytes of each."""
        _, _, packed = self.fetch(page, accept_encoding="gzip")
        sizes = {page: len(packed)}
        wanted = _ASSET.findall(gzip.decompress(packed).decode())
        while wanted:
            path = wanted.pop()
            if path in sizes:
                continue
            _, headers, body = self.fetch(path, accept_encoding="gzip")
            sizes[path] = len(body)
            if headers.getRawHeaders("content-encoding") == ["gzip"]:
                body = gzip.decompress(body)
            folder = path.rpartition("/")[0]
            if path.endswith(".js"):
                wanted += [f"{folder}/{one}" for one in _IMPORT.findall(body.decode())]
        return sizes


class OriginTests(TestCase):
    """What a browser asks for."""

    timeout = 120
    if executable() is None:
        skip = "there is no chromium on PATH"

    @deferred
    async def test_nothing_leaves(self) -> None:
        """Whatever is on the pages, every request goes to the page's own origin."""
        stage = Stage(reactor, Path(self.mktemp()))
        await stage.open()
        self.addCleanup(stage.hive.web.stop)
        home = stage.hive.web.url
        async with Chromium(reactor) as browser:
            await browser.go(stage.hive.web.login_url())
            for path in ("", "agent/alice/", "agent/dora/", "stats"):
                await browser.go(f"{home}{path}")
                await browser.until(
                    "document.getElementById('connection').dataset.state === 'live'"
                )
            asked = [url for url in browser.requests if not url.startswith("data:")]
        self.assertGreater(len(asked), 20)
        origins = {urlsplit(url)[:2] for url in asked}
        self.assertEqual(origins, {urlsplit(home)[:2]})
