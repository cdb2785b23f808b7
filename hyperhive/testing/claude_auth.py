"""A stand-in for ``claude auth``: a program that logs in whoever pastes :data:`RIGHT_CODE`.

It prints, reads and exits as the real one was seen to do, which a test compares. It
asks nobody, and needs nothing but Python: ``python claude_auth.py auth login``.
"""

import json
import os
import secrets
import signal
import sys
from pathlib import Path

#: The one code that it takes.
RIGHT_CODE = "r1ghtCodeFromThePage#stateOfThisLogin"
#: Whom it logs in.
EMAIL, ORGANISATION, PLAN = "operator@example.org", "Example", "max"
_CREDENTIALS = ".credentials.json"


def _folder() -> Path:
    return Path(os.environ["CLAUDE_CONFIG_DIR"])


def _login() -> int:
    signal.signal(signal.SIGINT, lambda *_: os._exit(0))
    link = f"https://claude.ai/oauth/authorize?z-{secrets.token_urlsafe(32)}"
    _say("Opening browser to sign in…\n")
    _say(f"If the browser didn't open, visit:\n{link}\nPaste code here if prompted > ")
    for line in sys.stdin:
        code = line.strip()
        if "#" not in code:
            sys.stderr.write(
                "That doesn't look like the full code. Copy all of it, including the # "
                "in the middle.\n"
            )
            sys.stderr.flush()
        elif code == RIGHT_CODE:
            _store()
            _say("Login successful.\n")
            return 0
        else:
            sys.stderr.write("Couldn't log in: Request failed with status code 400\n")
            return 1
    signal.pause()  # at the end of its input it waits for its browser
    return 0


def _store() -> None:
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    login = {
        "accessToken": "none",
        "expiresAt": 4102444800000,
        "subscriptionType": PLAN,
    }
    new = folder / ".new"
    new.write_text(json.dumps({"claudeAiOauth": login}))
    new.replace(folder / _CREDENTIALS)


def _status() -> int:
    there = (_folder() / _CREDENTIALS).is_file()
    status: dict[str, object] = {
        "loggedIn": there,
        "authMethod": "claude.ai" if there else "none",
        "apiProvider": "firstParty",
    }
    if there:
        status |= {
            "email": EMAIL,
            "orgId": None,
            "orgName": ORGANISATION,
            "subscriptionType": PLAN,
        }
    _say(f"{json.dumps(status, indent=2)}\n")
    return 0 if there else 1


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Answer ``auth login`` and ``auth status``."""
    # In a container there may be no locale.
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]  # it is a file here
    if arguments == ["auth", "login"]:
        return _login()
    if arguments == ["auth", "status"]:
        return _status()
    sys.stderr.write("error: unknown command\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
