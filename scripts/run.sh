#!/bin/sh
# Start a hive that lives in ./.hive (or $HIVE): with claude where it can be used, else
# as a demo.
set -eu
cd "$(dirname "$0")/.."
. scripts/packages.sh

need bwrap bubblewrap
need socat socat
install_needed || true

claude_usable() {
    command -v "${CLAUDE:-claude}" >/dev/null 2>&1 || return 1
    [ -n "${ANTHROPIC_API_KEY:-}${ANTHROPIC_AUTH_TOKEN:-}${CLAUDE_CODE_OAUTH_TOKEN:-}" ] ||
        "${CLAUDE:-claude}" auth status >/dev/null 2>&1
}

if claude_usable; then
    set -- --claude "${CLAUDE:-claude}" "$@"
else
    echo "No claude that is logged in, and no API key: this is a DEMO. Its agents are"
    echo "run by a scripted stand-in; no model is asked and nothing is charged."
    set -- --demo "$@"
    # The demo runs no model's commands, so that it may go on without a sandbox.
    if ! bwrap --unshare-user --ro-bind / / true 2>/dev/null; then
        echo "Bubblewrap does not work here: the demo's agents are NOT isolated."
        set -- --containers process "$@"
    fi
fi

HIVE="${HIVE:-.hive}"
mkdir -p "$HIVE"
RUN="$(realpath -m "$HIVE/run")"
# A socket's path has 107 bytes at most, 27 of them after the run folder. Where the
# project lies too deep for that, the sockets are elsewhere, and the link stays.
if [ "$(printf %s "$RUN" | wc -c)" -gt 80 ] || { [ -L "$HIVE/run" ] && [ ! -O "$RUN" ]; }; then
    RUN="$(mktemp -d "${TMPDIR:-/tmp}/hive-XXXXXXXX")"
    rm -rf "$HIVE/run"
    ln -s "$RUN" "$HIVE/run"
fi
exec .venv/bin/hive-c0re serve --state-dir "$HIVE/state" --run-dir "$RUN" "$@"
