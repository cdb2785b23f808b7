"""``hive-c0re doctor``: whether this host can run a hive, and what to do where it can't."""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import treq
from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.web.client import Agent

from hyperhive.admin.client import REFUSED, USAGE, Failed, Hive, find_socket
from hyperhive.admin.console import Console, clean, one_line
from hyperhive.agents.executable import NoClaude, resolve
from hyperhive.containers.choose import choose_driver
from hyperhive.containers.interfaces import DriverError
from hyperhive.deferreds import deferred
from hyperhive.settings import Settings, SettingsError, flag_fields, load_settings

#: The oldest Python that will do.
PYTHON = (3, 11)
#: How long claude may take to say its version (seconds).
VERSION_SECONDS = 20
#: How long the dashboard may take to answer (seconds).
HEALTH_SECONDS = 5.0


@frozen
class Finding:
    """One line of the report.

    :param remedy: what to do about it; ``None`` where all is well.
    """

    subject: str
    text: str
    remedy: str | None = None


def doctor(console: Console, options: Namespace, socket: str | None) -> int:
    """Examine the host and print what was found; 1 if there is a problem."""
    from twisted.internet import asyncioreactor

    asyncioreactor.install()
    from twisted.internet import reactor

    settings = _settings(options)
    named = socket or str(settings.layout.host_socket)
    if options.run_dir is None and socket is None:
        named = str(find_socket(None, console.environ))
    found: list[Finding] = [*host_findings(settings), *hive_findings(Path(named))]
    status = report(console, found)
    from twisted.internet.task import react

    raise SystemExit(status)
