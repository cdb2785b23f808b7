"""hive-demo-agent: a scripted stand-in for the claude executable. It asks no model.

It takes claude's command line, reads the prompt from its standard input, speaks
stream-json, and really uses the hive's MCP socket. What it does is scripted by
directives in the message, lines that begin with ``!``; any other message is answered
with the list of them. The demo, the tests and the benchmarks run it.

One file, standard library only, few imports: it runs inside a sandbox where nothing
of the hive is installed, and some tests start it thousands of times.
"""

import json
import os
import shlex
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

VERSION = "demo"
MCP_PROTOCOL = "2025-11-25"
#: The hive's MCP server in the configuration that the hive writes.
SERVER = "hyperhive"

FLAGS_WITH_VALUE = (
    "--output-format",
    "--input-format",
    "--model",
    "--settings",
    "--system-prompt-file",
    "--system-prompt-snapshot",
    "--setting-sources",
    "--permission-prompts",
    "--permission-mode",
    "--mcp-config",
    "--tools",
    "--allowedTools",
)
FLAGS = ("--print", "--continue", "--verbose", "--restricted", "--strict-mcp-config")

DIRECTIVES = """\
!say TEXT                    say something to whoever watches
!send NAME TEXT              write to an agent, manager, operator or *
!reply TEXT                  write to the sender
!recv [SECONDS]              take the next message, and obey its directives
!status TEXT                 set what is shown beside my name
!whoami                      ask the hive who I am
!ask QUESTION [| OPTION]...  ask the operator
!propose NAME KEY = VALUE    change the configuration of NAME, and ask for its approval
                             (the manager only)
!tool Bash COMMAND           really run a command (from the operator only)
!think TEXT                  think aloud
!sleep SECONDS               do nothing for a while
!hop N NAME... [#TAG]        if N > 0, send "!hop N-1 ..." on to the first name
!once KEY DIRECTIVE          do it the first time that KEY is seen
!context TOKENS              report a context of that size
!fail 429 [reset=SECONDS] | 529 | 500 | 401 | billing | 400
                             fail as claude does when the API answers so
!too-long                    not to fit into the context until it is compacted
!hang | !deaf | !linger      say nothing more; ignore signals too; not exit
!crash [STATUS|SIGNAL]       exit without a result
!big SIZE                    print one line of that size, such as 16M
!noise                       print what is not an event
!fork                        leave a process behind
"""


class Interrupted(BaseException):
    """INT came: the turn is cancelled."""


class Failed(Exception):
    """The turn ends as a failed API call does."""

    def __init__(self, text: str, **members: object) -> None:
        super().__init__(text)
        self.members: dict[str, object] = dict(members)


class Hive:
    """The connection to the hive's tools: newline-delimited JSON-RPC."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(path)
        self._lines = self._socket.makefile("rb")
        self._number = 0
        self.ask(
            "initialize",
            protocolVersion=MCP_PROTOCOL,
            capabilities={},
            clientInfo={"name": "hive-demo-agent", "version": VERSION},
        )
        self._write({"method": "notifications/initialized"})
        self.tools = [one["name"] for one in self.ask("tools/list")["tools"]]

    def ask(self, method: str, **params: object) -> dict[str, Any]:
        """One request and its result."""
        self._number += 1
        self._write({"id": self._number, "method": method, "params": params})
        while True:
            line = self._lines.readline()
            if not line:
                raise ConnectionError("the hive closed the connection")
            answer = json.loads(line)
            if answer.get("id") == self._number:
                break
        if "error" in answer:
            raise ConnectionError(answer["error"]["message"])
        return dict(answer["result"])

    def call(self, tool: str, arguments: dict[str, Any]) -> tuple[str, bool]:
        """Call a tool; answers its text and whether it is an error."""
        result = self.ask("tools/call", name=tool, arguments=arguments)
        text = "\n".join(
            part["text"] for part in result["content"] if part["type"] == "text"
        )
        return text, bool(result.get("isError"))

    def _write(self, message: dict[str, Any]) -> None:
        line = json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":"))
        self._socket.sendall(line.encode() + b"\n")


class Session:
    """What is remembered from turn to turn: a small file beside claude's own."""

    def __init__(self, fresh: bool) -> None:
        home = os.environ.get("CLAUDE_CONFIG_DIR") or os.path.expanduser("~/.claude")
        self._path = os.path.join(home, "demo-session.json")
        self.id, self.turns, self.context, self.eased = _uuid(), 0, 1000, False
        if not fresh:
            try:
                with open(self._path, encoding="utf-8") as file:
                    stored = json.load(file)
                self.id, self.turns = stored["id"], stored["turns"]
                self.context, self.eased = stored["context"], stored["eased"]
            except (OSError, ValueError, KeyError):
                pass  # no session yet, or a torn one: claude begins anew too

    def save(self) -> None:
        """Write it; a disk that is full costs the memory, not the turn."""
        stored = {
            "id": self.id,
            "turns": self.turns,
            "context": self.context,
            "eased": self.eased,
        }
        try:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            with open(f"{self._path}.new", "w", encoding="utf-8") as file:
                json.dump(stored, file)
            os.replace(f"{self._path}.new", self._path)
        except OSError as error:
            print(f"hive-demo-agent: {error}", file=sys.stderr)


class Turn:
    """One prompt, worked through to its result."""

    def __init__(self, model: str, session: Session, hive: Hive | None) -> None:
        self.model = model
        self.session = session
        self.hive = hive
        self.began = time.monotonic()
        self.sender: str | None = None
        self.message: int | None = None
        self.said = ""
        self.linger = False
        self.context: int | None = None
        self.count = 0

    # What it prints.

    def emit(self, **event: Any) -> None:
        """One event on one line."""
        event["session_id"] = self.session.id
        sys.stdout.write(json.dumps(event, separators=(",", ":")) + "\n")
        sys.stdout.flush()

    def assistant(self, block: dict[str, Any], **members: Any) -> None:
        """One block of an answer; claude prints a line for each."""
        self.count += 1
        self.emit(
            type="assistant",
            message={
                "id": f"msg_{os.getpid()}_{self.count}",
                "type": "message",
                "role": "assistant",
                "model": members.pop("model", self.model),
                "content": [block],
                "stop_reason": None,
                "usage": self.usage(),
            },
            parent_tool_use_id=None,
            **members,
        )

    def say(self, text: str) -> None:
        """Text for whoever watches."""
        self.said = text
        self.assistant({"type": "text", "text": text})

    def tool(
        self,
        name: str,
        arguments: dict[str, Any],
        run: Callable[[], tuple[str, bool]],
    ) -> str:
        """Show a tool call, run it, show its result; answers the result's text."""
        number = f"toolu_{os.getpid()}_{self.count}"
        self.assistant(
            {"type": "tool_use", "id": number, "name": name, "input": arguments}
        )
        text, wrong = run()
        self.emit(
            type="user",
            message={
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": number,
                        "content": text,
                        "is_error": wrong,
                    }
                ],
            },
            parent_tool_use_id=None,
        )
        return text

    def usage(self) -> dict[str, int]:
        """Tokens, as the API counts them."""
        context = self.context or self.session.context
        return {
            "input_tokens": 10,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": max(0, context - 10),
            "output_tokens": 20,
        }

    def result(self, **members: Any) -> None:
        """The last word of a turn."""
        usage = self.usage()
        spent = {
            "inputTokens": usage["input_tokens"],
            "outputTokens": usage["output_tokens"],
            "cacheReadInputTokens": usage["cache_read_input_tokens"],
            "cacheCreationInputTokens": 0,
            "costUSD": 0.0,
        }
        took = round((time.monotonic() - self.began) * 1000)
        event: dict[str, Any] = {
            "type": "result",
            "subtype": "success",
            "is_error": False,
            "result": self.said,
            "num_turns": self.count,
            "stop_reason": "end_turn",
            "terminal_reason": "completed",
            "api_error_status": None,
            "duration_ms": took,
            "duration_api_ms": 0,
            "total_cost_usd": 0.0,
            "usage": usage,
            "modelUsage": {self.model: spent},
            "model_usage_since_last_result": {self.model: spent},
            "permission_denials": [],
            "result_index": 0,
        }
        event.update(members)
        self.emit(**event)

    # What it does.

    def call(self, tool: str, **arguments: Any) -> str:
        """Use one of the hive's tools."""
        if self.hive is None:
            raise Failed("I have no connection to the hive.")
        hive = self.hive

        def run() -> tuple[str, bool]:
            try:
                return hive.call(tool, arguments)
            except ConnectionError as error:
                return f"Connection closed: {error}", True

        return self.tool(f"mcp__{SERVER}__{tool}", arguments, run)

    def obey(self, line: str) -> None:
        """Do what one directive says."""
        word, _, rest = line[1:].partition(" ")
        action = ACTIONS.get(word)
        if action is None:
            self.say(f"There is no directive !{word}. There are:\n{DIRECTIVES}")
        else:
            action(self, rest.strip())

    def work(self, text: str) -> None:
        """Obey every directive of a message; without one, say who this is."""
        directives = [line for line in text.splitlines() if line.startswith("!")]
        for line in directives:
            self.obey(line)
        if not directives:
            answer = (
                "This is the hive's demo: I am a script, no model was asked. I obey "
                f"directives, one a line:\n{DIRECTIVES}"
            )
            self.say(answer)
            # Never to an agent: two scripts would answer each other for ever.
            if self.sender == "operator" and self.hive is not None:
                self.call("send", to="operator", body=answer, in_reply_to=self.message)


def _say(turn: Turn, rest: str) -> None:
    turn.say(rest)


def _send(turn: Turn, rest: str) -> None:
    to, _, body = rest.partition(" ")
    turn.call("send", to=to, body=body)


def _reply(turn: Turn, rest: str) -> None:
    if turn.sender in (None, "system"):
        turn.say("!reply: there is nobody to reply to.")
    else:
        turn.call("send", to=turn.sender, body=rest, in_reply_to=turn.message)


def _recv(turn: Turn, rest: str) -> None:
    arguments = {"wait_seconds": float(rest)} if rest else {}
    text = turn.call("recv", **arguments)
    first, _, body = text.partition("\n")
    words = first.split()
    if words[:1] == ["Message"] and len(words) > 3:
        turn.message, turn.sender = int(words[1]), words[3].strip(",`")
        for line in body.splitlines():
            if line.startswith("!"):
                turn.obey(line)


def _status(turn: Turn, rest: str) -> None:
    turn.call("set_status", text=rest)


def _whoami(turn: Turn, rest: str) -> None:
    turn.say(turn.call("whoami"))


def _ask(turn: Turn, rest: str) -> None:
    question, *options = [part.strip() for part in rest.split("|")]
    turn.call("ask_operator", question=question, options=options)


def _propose(turn: Turn, rest: str) -> None:
    name, _, text = rest.partition(" ")
    key = text.partition("=")[0].strip()
    if not name.replace("-", "").isalnum() or not key.isidentifier():
        raise ValueError("it is !propose NAME KEY = VALUE")
    script = (
        f"cd /agents/{name} && git fetch -q applied && "
        "git checkout -qB main applied/main && "
        f"line={shlex.quote(text)} && if [ -e agent.nix ]; then file=agent.nix && "
        f"{{ grep -v '^  hyperhive.{key} *=' $file | sed '$d' && "
        "printf '  hyperhive.%s;\\n}\\n' \"$line\"; } > new; else file=agent.toml && "
        f"{{ printf '%s\\n' \"$line\"; grep -v '^{key} *=' $file; }} > new; fi && "
        "mv new $file && git add $file && "
        f"git commit -qm 'Set {key}' && git rev-parse HEAD"
    )
    commit = _shell(turn, script).strip()
    turn.call(
        "request_apply_commit",
        agent=name,
        commit_ref=commit[-40:],
        description=f"The demo was asked for this: {text}",
    )


def _shell(turn: Turn, command: str) -> str:
    import subprocess

    def run() -> tuple[str, bool]:
        done = subprocess.run(
            ["/bin/sh", "-c", command], capture_output=True, text=True, errors="replace"
        )
        text = done.stdout + done.stderr
        return text or f"(exit status {done.returncode})", done.returncode != 0

    return turn.tool("Bash", {"command": command}, run)


def _tool(turn: Turn, rest: str) -> None:
    name, _, command = rest.partition(" ")
    if name != "Bash" or not command:
        turn.say("!tool: it is !tool Bash COMMAND.")
        return
    if turn.sender != "operator":
        turn.say("!tool: I run commands for the operator only.")
        return
    _shell(turn, command)


def _think(turn: Turn, rest: str) -> None:
    turn.assistant({"type": "thinking", "thinking": rest, "signature": ""})


def _sleep(turn: Turn, rest: str) -> None:
    time.sleep(float(rest))


def _hop(turn: Turn, rest: str) -> None:
    words = rest.split()
    tag = [words.pop()] if words[-1].startswith("#") else []
    left, ring = int(words[0]), words[1:]
    if left > 0:
        onward = ["!hop", str(left - 1), *ring[1:], ring[0], *tag]
        turn.call("send", to=ring[0], body=" ".join(onward))


def _once(turn: Turn, rest: str) -> None:
    key, _, directive = rest.partition(" ")
    mark = f".demo-once-{''.join(filter(str.isalnum, key))}"
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return
    turn.obey(directive)


def _context(turn: Turn, rest: str) -> None:
    turn.context = int(rest)


def _fail(turn: Turn, rest: str) -> None:
    words = rest.split() or ["500"]
    reset = [word[6:] for word in words if word.startswith("reset=")]
    kind = words[0]
    if kind == "429" and reset:
        limit = {
            "status": "rejected",
            "resetsAt": round(time.time() + float(reset[0])),
            "rateLimitType": "five_hour",
        }
        turn.emit(type="rate_limit_event", rate_limit_info=limit)
        raise Failed(
            "You've hit your 5-hour limit",
            error="rate_limit",
            api_error_status=429,
            api_error="usage_limit_reached",
        )
    error, status, text = FAILURES[kind]
    if kind in ("529", "500"):
        turn.emit(
            type="system",
            subtype="api_retry",
            attempt=1,
            max_retries=3,
            retry_delay_ms=10,
            error_status=status,
            error="server_error",
        )
    raise Failed(text, error=error, api_error_status=status)


def _too_long(turn: Turn, rest: str) -> None:
    if turn.session.eased:
        turn.session.eased = False
        return
    raise Failed(
        "Prompt is too long",
        error="invalid_request",
        api_error_status=400,
        terminal_reason="prompt_too_long",
    )


def _hang(turn: Turn, rest: str) -> None:
    while True:
        time.sleep(3600)


def _deaf(turn: Turn, rest: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _hang(turn, rest)


def _linger(turn: Turn, rest: str) -> None:
    turn.linger = True


def _crash(turn: Turn, rest: str) -> None:
    if rest and not rest.isdigit():
        number = signal.Signals[f"SIG{rest.removeprefix('SIG')}"]
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(int(rest or 1))


def _big(turn: Turn, rest: str) -> None:
    units = {"K": 1024, "M": 1024 * 1024}
    size = int(rest.rstrip("KM")) * units.get(rest[-1:], 1)
    turn.say("x" * size)
    turn.said = f"That was a line of {size} bytes."


def _noise(turn: Turn, rest: str) -> None:
    print("this is no JSON", "[1,2]", '{"type":"unheard_of"}', "", sep="\n", flush=True)


def _fork(turn: Turn, rest: str) -> None:
    if os.fork() == 0:
        os.setsid()
        os.execv("/bin/sleep", ["sleep", "60"])  # noqa: S606  # no shell is wanted


FAILURES = {
    "429": ("rate_limit", 429, "API Error: Request rejected (429)"),
    "529": ("server_error", 529, "API Error: 529 Overloaded"),
    "500": ("server_error", 500, "API Error: 500"),
    "401": ("authentication_failed", 401, "Invalid API key"),
    "billing": ("billing_error", 400, "Credit balance is too low"),
    "400": ("unknown", 400, "API Error: 400"),
}

ACTIONS: dict[str, Callable[[Turn, str], None]] = {
    "say": _say,
    "send": _send,
    "reply": _reply,
    "recv": _recv,
    "status": _status,
    "whoami": _whoami,
    "ask": _ask,
    "propose": _propose,
    "tool": _tool,
    "think": _think,
    "sleep": _sleep,
    "hop": _hop,
    "once": _once,
    "context": _context,
    "fail": _fail,
    "too-long": _too_long,
    "hang": _hang,
    "deaf": _deaf,
    "linger": _linger,
    "crash": _crash,
    "big": _big,
    "noise": _noise,
    "fork": _fork,
}


def main() -> NoReturn:
    """Be claude's command line."""
    options = _options(sys.argv[1:])
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    prompt = sys.stdin.read()
    if not prompt.strip():
        _refuse("Error: Input must be provided through stdin")
    session = Session(fresh="--continue" not in options)
    hive, servers = _connect(options.get("--mcp-config"))
    turn = Turn(options.get("--model", "none"), session, hive)
    try:
        status = _run(turn, prompt, servers)
    except Interrupted:
        turn.emit(
            type="user",
            message={
                "role": "user",
                "content": [{"type": "text", "text": "[Request interrupted by user]"}],
            },
            parent_tool_use_id=None,
        )
        turn.result(
            subtype="error_during_execution",
            is_error=True,
            terminal_reason="aborted_streaming",
            errors=["aborted"],
        )
        status = 0
    session.turns += 1
    session.save()
    if turn.linger:
        _hang(turn, "")
    sys.stdout.flush()
    os._exit(status)


def _run(turn: Turn, prompt: str, servers: list[dict[str, str]]) -> int:
    """One inner turn; answers the exit status."""
    session = turn.session
    if prompt.strip() == "/compact":
        turn.emit(type="system", subtype="status", status="compacting")
        _init(turn, servers)
        before, session.context = session.context, 500
        session.eased = True
        turn.emit(
            type="system",
            subtype="compact_boundary",
            compact_metadata={
                "trigger": "manual",
                "pre_tokens": before,
                "post_tokens": session.context,
                "duration_ms": 1,
            },
        )
        turn.result(num_turns=0, result="")
        return 0
    _init(turn, servers)
    turn.message, turn.sender, body = _message(prompt)
    session.context += len(prompt) // 4
    try:
        turn.work(body)
    except Failed as failed:
        error = failed.members.pop("error", "unknown")
        status = failed.members.get("api_error_status")
        turn.assistant(
            {"type": "text", "text": str(failed)},
            model="<synthetic>",
            is_api_error_message=True,
            error=error,
            api_error_status=status,
        )
        reason = failed.members.pop("terminal_reason", "api_error")
        turn.result(
            is_error=True, result=str(failed), terminal_reason=reason, **failed.members
        )
        return 1
    except (ValueError, KeyError, IndexError) as error:
        turn.say(f"A directive was malformed: {error}.\n{DIRECTIVES}")
    turn.result()
    return 0


def _init(turn: Turn, servers: list[dict[str, str]]) -> None:
    hive = [f"mcp__{SERVER}__{name}" for name in turn.hive.tools] if turn.hive else []
    turn.emit(
        type="system",
        subtype="init",
        cwd=os.getcwd(),
        tools=["Bash", *hive],
        mcp_servers=servers,
        model=turn.model,
        permissionMode="default",
        slash_commands=["compact"],
        apiKeySource="none",
        claude_code_version=VERSION,
    )


def _message(prompt: str) -> tuple[int | None, str | None, str]:
    """The message's id, its sender, and its body, from between the marks."""
    first, _, rest = prompt.partition("\n")
    words = first.split()
    number: int | None = None
    sender: str | None = None
    if words[:1] == ["Message"] and len(words) > 3 and words[1].isdigit():
        number, sender = int(words[1]), words[3].strip(",`")
    lines = rest.split("\n")
    for index, line in enumerate(lines):
        if line.startswith("---- ") and line.endswith(" begin"):
            end = f"{line.removesuffix(' begin')} end"
            if end in lines:
                return number, sender, "\n".join(lines[index + 1 : lines.index(end)])
    return number, sender, prompt


def _connect(path: str | None) -> tuple[Hive | None, list[dict[str, str]]]:
    """The hive's tools, and how claude's init would tell of it."""
    if path is None:
        return None, []
    try:
        with open(path, encoding="utf-8") as file:
            server = json.load(file)["mcpServers"][SERVER]
        address = server["args"][-1].removeprefix("UNIX-CONNECT:")
        hive = Hive(address)
    except (OSError, ValueError, KeyError) as error:
        print(f"hive-demo-agent: no connection to the hive: {error}", file=sys.stderr)
        return None, [{"name": SERVER, "status": "failed", "source": "dynamic"}]
    return hive, [{"name": SERVER, "status": "connected", "source": "dynamic"}]


def _options(arguments: list[str]) -> dict[str, str]:
    """Parse what claude takes of flags; anything else is refused as claude does."""
    if arguments in (["--version"], ["-v"]):
        print(f"{VERSION} (hive-demo-agent)")
        sys.exit(0)
    if "--help" in arguments:
        print("Usage: hive-demo-agent [options] <prompt on stdin>\n")
        print("The hive's scripted stand-in for claude. It asks no model.\n\nOptions:")
        for flag in FLAGS:
            print(f"  {flag}")
        for flag in FLAGS_WITH_VALUE:
            print(f"  {flag} <value>")
        print(f"\nDirectives in the message:\n{DIRECTIVES}")
        sys.exit(0)
    options: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        flag = rest.pop(0)
        if flag in FLAGS:
            options[flag] = ""
        elif flag in FLAGS_WITH_VALUE and rest:
            options[flag] = rest.pop(0)
        else:
            _refuse(f"error: unknown option '{flag}'")
    if "--print" not in options:
        _refuse("error: the demo has no interactive mode; it needs --print")
    if options.get("--output-format") != "stream-json" or "--verbose" not in options:
        _refuse("Error: it needs --output-format stream-json and --verbose")
    return options


def _refuse(reason: str) -> NoReturn:
    print(reason, file=sys.stderr)
    sys.exit(1)


def _interrupt(*_: object) -> NoReturn:
    raise Interrupted


def _uuid() -> str:
    text = os.urandom(16).hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


if __name__ == "__main__":
    main()
