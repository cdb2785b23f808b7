"""Completion for shells: verbs, flags and choices from the table, names from the hive."""

import shlex
from collections.abc import Iterator, Sequence

from hyperhive.admin.subcommands import (
    AGENTS,
    FILES,
    MAILBOXES,
    SUBCOMMANDS,
    Argument,
    Subcommand,
    setting_arguments,
)

_COMMON = (
    Argument(("--help", "-h"), "show help", {"action": "help"}),
    Argument(("--json",), "print the answer as it came", {"action": "store_true"}),
    Argument(("--socket",), "the hive's socket", {"metavar": "PATH"}, FILES),
)


def script(shell: str) -> str:
    """The script for ``bash``, ``zsh`` or ``fish``."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]()


def _arguments(subcommand: Subcommand) -> tuple[Argument, ...]:
    more = setting_arguments() if subcommand.takes_settings else ()
    return (*subcommand.arguments, *more, *_COMMON)


def _flags(arguments: Sequence[Argument]) -> tuple[Argument, ...]:
    return tuple(one for one in arguments if one.names[0].startswith("-"))


def _positional(arguments: Sequence[Argument]) -> Argument | None:
    """The first one: what follows it is free text, or more of the same."""
    found = (one for one in arguments if not one.names[0].startswith("-"))
    return next(found, None)


def _takes_value(argument: Argument) -> bool:
    return "action" not in argument.options or argument.options["action"] == "append"


def _bash() -> str:
    verbs = " ".join(one.name for one in SUBCOMMANDS)
    common = " ".join(name for one in _COMMON for name in one.names)
    return f"""\
# bash completion for hive-c0re
_hive_c0re_names() {{
    hive-c0re ${{socket:+--socket "$socket"}} list 2>/dev/null
}}

_hive_c0re() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}
    local verb= socket= at=0 place=0
    while ((++at < COMP_CWORD)); do
        case ${{COMP_WORDS[at]}} in
            --socket) socket=${{COMP_WORDS[++at]}} ;;
            -*) ;;
            *) if [[ -z $verb ]]; then verb=${{COMP_WORDS[at]}}; else ((++place)); fi ;;
        esac
    done
    COMPREPLY=()
    if [[ $before == --socket ]]; then
        COMPREPLY=($(compgen -f -- "$word"))
        return
    fi
    case $verb in
        '') COMPREPLY=($(compgen -W '{verbs} {common}' -- "$word")) ;;
{_joined(_bash_case(one) for one in SUBCOMMANDS)}
    esac
}}
complete -o filenames -F _hive_c0re hive-c0re"""


def _bash_case(subcommand: Subcommand) -> Iterator[str]:
    arguments = _arguments(subcommand)
    flags = " ".join(name for one in _flags(arguments) for name in one.names)
    yield f"        {subcommand.name})"
    yield "            case $before in"
    for one in _flags(arguments):
        if _takes_value(one):
            yield f"                {'|'.join(one.names)})"
            yield f"                    {_bash_reply(one)}; return ;;"
    yield "            esac"
    yield "            if [[ $word == -* ]]; then"
    yield f"                COMPREPLY=($(compgen -W '{flags}' -- \"$word\"))"
    first = _positional(arguments)
    if first is not None and _completes(first):
        several = first.options.get("nargs") == "+"
        yield f"            elif {'true' if several else '((place == 0))'}; then"
        yield f"                {_bash_reply(first)}"
    yield "            fi ;;"


def _bash_reply(argument: Argument) -> str:
    if argument.completes == FILES:
        return 'COMPREPLY=($(compgen -f -- "$word"))'
    words = " ".join([*_words(argument)])
    names = "$(_hive_c0re_names)" if argument.completes in (AGENTS, MAILBOXES) else ""
    given = " ".join(filter(None, (words, names)))
    return f'COMPREPLY=($(compgen -W "{given}" -- "$word"))' if given else "true"


def _zsh() -> str:
    verbs = "\n".join(
        f"        {shlex.quote(f'{one.name}:{_plain(one.help)}')}"
        for one in SUBCOMMANDS
    )
    return f"""\
#compdef hive-c0re
# zsh completion for hive-c0re
_hive_c0re_names() {{
    local -a names
    names=(${{(f)"$(hive-c0re ${{opt_args[--socket]:+--socket}} ${{opt_args[--socket]}} list 2>/dev/null)"}})
    compadd -a names
    compadd -- "$@"
}}

_hive_c0re() {{
    local context state state_descr line
    typeset -A opt_args
    local -a verbs
    verbs=(
{verbs}
    )
    _arguments -C \\
{_joined(_zsh_flags(_COMMON, 8))}
        '1:command:->verb' \\
        '*::argument:->rest'
    case $state in
        verb) _describe -t commands command verbs ;;
        rest)
            case $line[1] in
{_joined(_zsh_case(one) for one in SUBCOMMANDS)}
            esac ;;
    esac
}}

if [[ $funcstack[1] == _hive_c0re ]]; then
    _hive_c0re "$@"
else
    compdef _hive_c0re hive-c0re
fi"""


def _zsh_case(subcommand: Subcommand) -> Iterator[str]:
    arguments = _arguments(subcommand)
    yield f"                {subcommand.name})"
    yield "                    _arguments \\"
    yield from _zsh_flags(_flags(arguments), 24)
    first = _positional(arguments)
    if first is None:
        yield "                        && return ;;"
        return
    place = "*" if first.options.get("nargs") == "+" else "1"
    spec = f"{place}:{_plain(first.help)}:{_zsh_action(first)}"
    yield f"                        {shlex.quote(spec)} ;;"


def _zsh_flags(arguments: Sequence[Argument], margin: int) -> Iterator[str]:
    for one in arguments:
        for name in one.names:
            again = "*" if one.options.get("action") == "append" else ""
            spec = f"{again}{name}[{_plain(one.help)}]"
            if _takes_value(one):
                spec += f":{one.options.get('metavar', 'value')}:{_zsh_action(one)}"
            yield f"{' ' * margin}{shlex.quote(spec)} \\"


def _zsh_action(argument: Argument) -> str:
    if argument.completes == FILES:
        return "_files"
    words = " ".join(_words(argument))
    if argument.completes in (AGENTS, MAILBOXES):
        return f"_hive_c0re_names {words}".rstrip()
    return f"({words})" if words else ""


def _fish() -> str:
    verbs = " ".join(one.name for one in SUBCOMMANDS)
    return f"""\
# fish completion for hive-c0re
function __hive_c0re_names
    hive-c0re list 2>/dev/null
end

complete -c hive-c0re -f
complete -c hive-c0re -l json -d 'print the answer as it came'
complete -c hive-c0re -l socket -r -F -d 'the hive\\'s socket'
{_joined(_fish_lines(one, verbs) for one in SUBCOMMANDS)}"""


def _fish_lines(subcommand: Subcommand, verbs: str) -> Iterator[str]:
    no_verb = f"'not __fish_seen_subcommand_from {verbs}'"
    help = _fish_quoted(subcommand.help)
    yield f"complete -c hive-c0re -n {no_verb} -a {subcommand.name} -d {help}"
    seen = f"complete -c hive-c0re -n '__fish_seen_subcommand_from {subcommand.name}'"
    more = setting_arguments() if subcommand.takes_settings else ()
    for one in (*subcommand.arguments, *more):
        flags = "".join(
            f" -l {name[2:]}" if name.startswith("--") else f" -s {name[1:]}"
            for name in one.names
            if name.startswith("-")
        )
        words = _fish_words(one)
        if flags:
            value = "" if not _takes_value(one) else f" -r{words or ' -f'}"
            yield f"{seen}{flags}{value} -d {_fish_quoted(one.help)}"
        elif words and one is _positional(subcommand.arguments):
            yield f"{seen}{words}"


def _fish_words(argument: Argument) -> str:
    if argument.completes == FILES:
        return " -F"
    words = " ".join(_words(argument))
    if argument.completes in (AGENTS, MAILBOXES):
        return f" -a '{' '.join(filter(None, (words, '(__hive_c0re_names)')))}'"
    return f" -a '{words}'" if words else ""


def _fish_quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _words(argument: Argument) -> Sequence[str]:
    """Fixed words that it can be."""
    if argument.completes == MAILBOXES:
        return ("operator", "manager")
    return tuple(argument.options.get("choices", ()))


def _completes(argument: Argument) -> bool:
    return argument.completes is not None or bool(_words(argument))


def _plain(text: str) -> str:
    """A help text without what zsh gives a meaning to."""
    for sign, other in (("[", "("), ("]", ")"), (":", ","), ("'", ""), ("\\", "")):
        text = text.replace(sign, other)
    return text


def _joined(lines: Iterator[str] | Iterator[Iterator[str]]) -> str:
    return "\n".join(one if isinstance(one, str) else "\n".join(one) for one in lines)
