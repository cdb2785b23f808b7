"""Take pictures of every page, for the documents: ``python -m tests.web.pictures FOLDER``.

Each is taken on a desktop and on a phone, in dark and in light, of the invented swarm
of :mod:`tests.web.stage`.
"""

import itertools
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.task import deferLater, react

from hyperhive.deferreds import deferred
from tests.web.chromium import Chromium
from tests.web.stage import Stage

#: Pages of who is logged in, below the dashboard's address.
PAGES = {"dashboard": "", "agent": "agent/alice/", "stats": "stats?window=7d"}
#: Windows by their names: width and height.
WINDOWS = {"desktop": (1440, 900), "phone": (390, 844)}
SCHEMES = ("dark", "light")
#: How long a page has to come to rest (seconds).
REST = 1.5


@deferred
async def take_pictures(clock: Any, folder: Path) -> None:
    """Save them as ``<page>-<window>-<scheme>.webp``."""
    with tempfile.TemporaryDirectory() as state:
        stage = Stage(clock, Path(state))
        await stage.open()
        home = stage.hive.web.url
        async with Chromium(clock) as browser:

            async def take(name: str, url: str) -> None:
                for (window, size), scheme in itertools.product(
                    WINDOWS.items(), SCHEMES
                ):
                    await browser.look(*size, scheme)
                    await browser.go(url)
                    await deferLater(clock, REST)
                    picture = await browser.picture(kind="webp")
                    (folder / f"{name}-{window}-{scheme}.webp").write_bytes(picture)

            await browser.go(stage.hive.web.login_url())
            for name, path in PAGES.items():
                await take(name, f"{home}{path}")
            await take("decide", await stage.link("approval", 1))
            await browser.go(f"{home}")
            await browser.run(
                "fetch('/logout', {method: 'POST', redirect: 'manual'}).then(() => null)"
            )
            await take("login", f"{home}login")
        await stage.hive.web.stop()


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    react(lambda clock: take_pictures(clock, target))
