"""Completion for shells: verbs, flags and choices from the table, names from the hive."""

import shlex
from collections.abc import Iterable, Iterator, Sequence

from hyperhive.admin.grammar import AGENTS, FILES, MAILBOXES, Argument, Subcommand
from hyperhive.admin.subcommands import SUBCOMMANDS, setting_arguments

_HELP = Argument(("--help", "-h"), "show help", {"action": "help"})
_COMMON = (
    _HELP,
    Argument(("--json",), "print the answer as it came", {"action": "store_true"}),
    Argument(("--socket",), "the hive's socket", {"metavar": "PATH"}, FILES),
)
#: Mailboxes that are no agents' names.
_MAILBOXES = ("operator", "manager")
_ZSH_FUNCTIONS = {
    AGENTS: "_hive_c0re_agents",
    MAILBOXES: "_hive_c0re_mailboxes",
    FILES: "_files",
}


def script(shell: str) -> str:
    """The script for ``bash``, ``zsh`` or ``fish``."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]()


def _own_arguments(subcommand: Subcommand) -> tuple[Argument, ...]:
    more = setting_arguments() if subcommand.takes_settings else ()
    return (*subcommand.arguments, *more)


def _common(subcommand: Subcommand) -> tuple[Argument, ...]:
    return _COMMON if subcommand.asks else (_HELP,)


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
    local verb= socket= at=0 place=0 words=
    while ((++at < COMP_CWORD)); do
        case ${{COMP_WORDS[at]}} in
            --socket) socket=${{COMP_WORDS[++at]}} ;;
            -*) ;;
            *) if [[ -z $verb ]]; then verb=${{COMP_WORDS[at]}}; else ((++place)); fi ;;
        esac
    done
    case $verb,$before in
        *,--socket) COMPREPLY=($(compgen -f -- "$word")); return ;;
{_joined(_bash_values(one) for one in SUBCOMMANDS)}
    esac
    case $verb,$word in
        ,*) words='{verbs} {common}' ;;
{_joined(_bash_words(one) for one in SUBCOMMANDS)}
    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o filenames -F _hive_c0re hive-c0re"""


def _bash_values(subcommand: Subcommand) -> Iterator[str]:
    """What the value of a flag can be."""
    for one in _flags(_own_arguments(subcommand)):
        if not _takes_value(one):
            continue
        reply = "COMPREPLY=()"
        if one.completes == FILES:
            reply = 'COMPREPLY=($(compgen -f -- "$word"))'
        elif words := _bash_list(one):
            reply = f'COMPREPLY=($(compgen -W "{words}" -- "$word"))'
        patterns = "|".join(f"{subcommand.name},{name}" for name in one.names)
        yield f"        {patterns}) {reply}; return ;;"


def _bash_words(subcommand: Subcommand) -> Iterator[str]:
    """Its flags, or what its first argument can be."""
    flags = _flags((*_own_arguments(subcommand), *_common(subcommand)))
    names = " ".join(name for one in flags for name in one.names)
    yield f"        {subcommand.name},-*) words='{names}' ;;"
    first = _positional(subcommand.arguments)
    if first is not None and (words := _bash_list(first)):
        condition = "" if _repeats(first) else "((place)) || "
        yield f'        {subcommand.name},*) {condition}words="{words}" ;;'


def _bash_list(argument: Argument) -> str:
    names = ["$(_hive_c0re_names)"] if _names_agents(argument) else []
    return " ".join([*_words(argument), *names])


def _zsh() -> str:
    verbs = "\n".join(
        f"        {shlex.quote(f'{one.name}:{_plain(one.help)}')}"
        for one in SUBCOMMANDS
    )
    return f"""\
#compdef hive-c0re
# zsh completion for hive-c0re
_hive_c0re_agents() {{
    local -a names
    names=(${{(f)"$(hive-c0re list 2>/dev/null)"}})
    compadd "$@" -a names
}}

_hive_c0re_mailboxes() {{
    local -a names
    names=({" ".join(_MAILBOXES)} ${{(f)"$(hive-c0re list 2>/dev/null)"}})
    compadd "$@" -a names
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
    yield f"                {subcommand.name})"
    yield "                    _arguments \\"
    flags = list(
        _zsh_flags(
            _flags((*_own_arguments(subcommand), *_common(subcommand))), margin=24
        )
    )
    first = _positional(subcommand.arguments)
    if first is not None:
        place = "*" if _repeats(first) else "1"
        spec = f"{place}:{_plain(first.help)}:{_zsh_action(first)}"
        flags.append(f"{' ' * 24}{shlex.quote(spec)} \\")
    yield from flags[:-1]
    yield flags[-1].removesuffix(" \\") + " ;;"


def _zsh_flags(arguments: Sequence[Argument], margin: int) -> Iterator[str]:
    for one in arguments:
        for name in one.names:
            again = "*" if one.options.get("action") == "append" else ""
            spec = f"{again}{name}[{_plain(one.help)}]"
            if _takes_value(one):
                spec += f":{one.options.get('metavar', 'value')}:{_zsh_action(one)}"
            yield f"{' ' * margin}{shlex.quote(spec)} \\"


def _zsh_action(argument: Argument) -> str:
    if argument.completes in _ZSH_FUNCTIONS:
        return _ZSH_FUNCTIONS[argument.completes]
    words = " ".join(_words(argument))
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
    for one in _own_arguments(subcommand):
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
    if _names_agents(argument):
        words = f"{words} (__hive_c0re_names)".strip()
    return f" -a '{words}'" if words else ""


def _fish_quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _words(argument: Argument) -> Sequence[str]:
    """Fixed words that it can be."""
    if argument.completes == MAILBOXES:
        return _MAILBOXES
    return tuple(argument.options.get("choices", ()))


def _names_agents(argument: Argument) -> bool:
    return argument.completes in (AGENTS, MAILBOXES)


def _repeats(argument: Argument) -> bool:
    return argument.options.get("nargs") == "+"


def _plain(text: str) -> str:
    """A help text without what zsh gives a meaning to."""
    for sign, other in (("[", "("), ("]", ")"), (":", ","), ("'", ""), ("\\", "")):
        text = text.replace(sign, other)
    return text


def _joined(parts: Iterable[str | Iterable[str]]) -> str:
    """Lines, or groups of them, which may be empty."""
    groups = ([one] if isinstance(one, str) else one for one in parts)
    return "\n".join(line for group in groups for line in group)
