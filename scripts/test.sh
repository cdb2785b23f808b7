#!/bin/sh
# Set up what the tests need beyond Python, then run them.
# HYPERHIVE_FORBID_SKIPS=1 makes a skipped test a failure.
set -eu
cd "$(dirname "$0")/.."
. scripts/packages.sh

need bwrap bubblewrap
need socat socat
need npm npm
need chromium chromium
need chromedriver chromium-driver
need nix nix-bin
need systemd-nspawn systemd-container dbus
install_needed || true

exec .venv/bin/python -m tests.run "$@"
