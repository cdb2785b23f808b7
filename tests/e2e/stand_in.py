"""The stand-in for the Messages API as a process of its own. It blocks, as its tests do."""

import json
import subprocess
import sys
import urllib.request
from typing import Any, Self

from tests.daemon import LIMIT


class StandIn:
    """One stand-in on a port of its own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "hyperhive.testing.messages_api", "--port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            raise AssertionError("the stand-in did not start")

    def inferences(self, wait: int = 0) -> list[dict[str, Any]]:
        """The inferences that were asked for, oldest first.

        :param wait: wait until there were so many requests of any kind.
        """
        url = f"{self.url}/_requests?wait={wait}"
        with urllib.request.urlopen(url, timeout=LIMIT) as answer:
            requests = json.load(answer)["requests"]
        return [one for one in requests if one["path"].startswith("/v1/messages?")]

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait(LIMIT)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
