"""A real daemon, killed between a fact and its notification; and where a link is not."""

import json
import queue
import re
import threading
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from twisted.trial.unittest import SynchronousTestCase

from tests.daemon import LIMIT, Daemon, connect


class Ntfy(ThreadingHTTPServer):
    """A server that tells the test what it was told, and answers what the test wants."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Publish)
        self.code = 200
        self.told: queue.Queue[dict[str, Any]] = queue.Queue()
        self._thread = threading.Thread(target=self.serve_forever)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Publish(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Take or refuse."""
        server = self.server
        assert isinstance(server, Ntfy)
        length = int(self.headers["content-length"])
        server.told.put(json.loads(self.rfile.read(length)))
        self.send_response(server.code)
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing."""


class DaemonTests(SynchronousTestCase):
    """The whole hive in demo mode, with links."""

    def setUp(self) -> None:
        """A hive whose ntfy is ours."""
        self.ntfy = Ntfy()
        self.addCleanup(self.ntfy.close)
        self.hive = Daemon("--demo")
        self.addCleanup(self.hive.remove)
        config = self.hive.base / "hive.toml"
        config.write_text(
            '[notify]\npublic-url = "http://localhost:7000"\nlinks = true\n'
            f'[notify.ntfy]\nurl = "http://127.0.0.1:{self.ntfy.server_port}"\n'
            'topic = "hive-topic"\ntoken = "tk_very_secret"\n'
        )
        self.hive.flags += ("--config", str(config))
        self.hive.start()
        self.hive.quiet()

    def as_manager(self, tool: str, **arguments: Any) -> Any:
        """Call a tool as the manager."""
        requests: list[dict[str, Any]] = [
            {
                "id": 1,
                "method": "initialize",
                "params": {
                    "protocolVersion": "2025-06-18",
                    "capabilities": {},
                    "clientInfo": {"name": "test", "version": "1"},
                },
            },
            {"method": "notifications/initialized"},
            {
                "id": 2,
                "method": "tools/call",
                "params": {"name": tool, "arguments": arguments},
            },
        ]
        with connect(self.hive.run / "manager" / "mcp.sock") as connection:
            for request in requests:
                line = json.dumps({"jsonrpc": "2.0", **request})
                connection.sendall(line.encode() + b"\n")
            with connection.makefile("rb") as lines:
                for line in lines:
                    answer = json.loads(line)
                    if answer.get("id") == 2:
                        return answer["result"]
        raise AssertionError("the hive ended the connection")

    def asked(self, method: str, path: str, body: str = "") -> tuple[int, str]:
        """What the dashboard answers to somebody without a login."""
        dashboard = urlsplit(self.hive.facts()["dashboard"])
        connection = HTTPConnection(
            str(dashboard.hostname), dashboard.port, timeout=LIMIT
        )
        headers = {
            "content-type": "application/x-www-form-urlencoded",
            "origin": "null",
        }
        connection.request(method, path, body, headers if body else {})
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, text

    def test_killed_before_it_is_told(self) -> None:
        """What was not told when the daemon died is told when it is back; the link decides."""
        self.ntfy.code = 503
        self.as_manager("request_spawn", name="carol", description="to count")
        self.assertIn("carol", self.ntfy.told.get(timeout=LIMIT)["title"])
        self.hive.kill()
        while not self.ntfy.told.empty():
            self.ntfy.told.get()
        self.ntfy.code = 200
        self.hive.start()
        told = self.ntfy.told.get(timeout=LIMIT)
        self.assertIn("carol", told["title"])

        path = urlsplit(told["actions"][0]["url"]).path
        code, page = self.asked("GET", path)
        self.assertEqual(code, 200)
        seen = re.search(r'name="seen" value="([^"]+)"', page)
        assert seen is not None
        body = urlencode({"seen": seen[1], "do": "deny", "note": "no need"})
        self.assertEqual(self.asked("POST", path, body)[0], 303)
        [row] = self.hive.do(cmd="pending")["approvals"]
        self.assertEqual(
            (row["status"], row["resolved_by"], row["note"]),
            ("denied", "operator (link)", "no need"),
        )
        self.assertEqual(self.asked("POST", path, body)[0], 409)
        self.check_nowhere(path.rpartition(".")[2], seen[1], "tk_very_secret")

    def check_nowhere(self, *secrets: str) -> None:
        """No file of the hive's holds them: no table, no log, nothing that agents see."""
        self.hive.stop()
        config = self.hive.base / "hive.toml"
        files = [
            path
            for path in self.hive.base.rglob("*")
            if path.is_file() and path != config
        ]
        self.assertIn(self.hive.state / "events.sqlite", files)
        for path in files:
            held = path.read_bytes()
            for secret in secrets:
                self.assertNotIn(secret.encode(), held, path)

    def test_test(self) -> None:
        """`notify-test` tells of each target whether it was reached, and why not."""
        done = self.hive.cli("notify-test")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("ntfy (127.0.0.1:", done.stdout)
        self.assertEqual(self.ntfy.told.get(timeout=LIMIT)["topic"], "hive-topic")
        self.ntfy.code = 403
        done = self.hive.cli("notify-test")
        self.assertEqual(done.returncode, 1)
        self.assertIn("it answers 403: it refuses the credentials", done.stderr)
        info = self.hive.cli("info").stdout
        self.assertIn("it answers 403", info)
        for shown in (done.stderr, info, Path(self.hive.base / "log").read_text()):
            self.assertNotIn("tk_very_secret", shown)
            self.assertNotIn("hive-topic", shown)
