"""The subcommands of deployments: the queue, history, and what destroyed agents have left."""

import time
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from hyperhive.admin import verbs
from hyperhive.admin.actions import Session, asking, of_one
from hyperhive.admin.client import REFUSED, Failed
from hyperhive.admin.console import Console, clean, one_line
from hyperhive.admin.grammar import NAME, Argument, Subcommand
from hyperhive.admin.words import clock, count, plural

_STYLES = {"done": "green", "failed": "red", "interrupted": "yellow", "running": "cyan"}
_JOB = Argument(("id",), "the job's id", {"metavar": "ID", "type": int})


def _deploys(session: Session, options: Namespace) -> int:
    """Print the queue, oldest first, so that the newest is beside the prompt."""

    def tell(console: Console, answer: Mapping[str, Any]) -> None:
        if not answer["jobs"]:
            console.say("(no jobs)")
        for job in reversed(answer["jobs"]):
            _tell_job(console, job)

    return session.ask(verbs.DEPLOYS, {"limit": options.limit}, tell)


def _tell_job(console: Console, job: Mapping[str, Any]) -> None:
    now, state = time.time(), clean(job.get("state"))
    when = clock(job.get("ended_at") or job.get("queued_at"), now)
    head = (
        f"#{job.get('id')}  {clean(job.get('kind'))} {clean(job.get('agent'))}  "
        f"{state}  {when}  by {clean(job.get('by'))}"
    )
    if "sha" in job:
        head += f"  {clean(job['sha'])[:10]}"
    console.out(console.paint(head, _STYLES.get(state, "dim")))
    step = job.get("note") or (None if "ended_at" in job else job.get("step"))
    for line in clean(step or "").splitlines():
        console.out(f"    {line}")


def _job_log(session: Session, options: Namespace) -> int:
    def tell(console: Console, answer: Mapping[str, Any]) -> None:
        for line in answer["lines"]:
            console.out(clean(line))

    return session.ask(verbs.JOB_LOG, {"id": options.id}, tell)


def _deployments(session: Session, options: Namespace) -> int:
    def tell(console: Console, answer: Mapping[str, Any]) -> None:
        if not answer["deployments"]:
            console.say("(nothing was deployed)")
        now = time.time()
        for one in answer["deployments"]:
            mark = "  runs now" if one.get("current") else ""
            console.out(
                f"{one['id']}  {clean(one['sha'])[:10]}  {clock(one['at'], now)}{mark}"
            )

    return session.ask(verbs.DEPLOYMENTS, {"name": options.name}, tell)


def _update_all(session: Session, options: Namespace) -> int:
    return session.ask(
        verbs.UPDATE_ALL,
        {},
        lambda console, answer: console.out(
            f"{plural(answer['count'], 'agent')} rebuilt."
        ),
    )


def _tombstones(session: Session, options: Namespace) -> int:
    def tell(console: Console, answer: Mapping[str, Any]) -> None:
        if not answer["tombstones"]:
            console.say("(nothing is kept)")
        now = time.time()
        for one in answer["tombstones"]:
            login = ", with a login" if one["login"] else ""
            console.out(
                f"{one_line(one['name'])}  {count(one['bytes'])}B  "
                f"destroyed {clock(one['since'], now)}{login}"
            )

    return session.ask(verbs.TOMBSTONES, {}, tell)


def _purge(session: Session, options: Namespace) -> int:
    """Remove what a destroyed agent has left, only after asking."""
    name = options.name
    question = (
        f"This removes what {name} has left, its login and its notes, for good.\n"
        "Type its name to go on: "
    )
    if not options.yes and not session.console.confirm(question, name):
        raise Failed("Nothing was done.", REFUSED)
    return session.ask(
        verbs.PURGE,
        {"name": name},
        lambda console, answer: console.out(f"Nothing of {name} is left."),
    )


DEPLOY_SUBCOMMANDS: tuple[Subcommand, ...] = (
    Subcommand(
        "deploys",
        verbs.DEPLOYS.help,
        (
            Argument(
                ("--limit",),
                verbs.DEPLOYS.takes("limit").help,
                {"metavar": "N", "type": int},
            ),
        ),
        _deploys,
        "deploys --limit 5",
    ),
    Subcommand("job-log", verbs.JOB_LOG.help, (_JOB,), _job_log, "job-log 12"),
    Subcommand(
        "cancel-job",
        verbs.CANCEL_JOB.help,
        (_JOB,),
        asking(
            verbs.CANCEL_JOB,
            lambda options: {"id": options.id},
            lambda options: f"Job {options.id} is cancelled.",
        ),
        "cancel-job 12",
    ),
    Subcommand(
        "run-again",
        verbs.RUN_AGAIN.help,
        (_JOB,),
        asking(
            verbs.RUN_AGAIN,
            lambda options: {"id": options.id},
            lambda options: f"Job {options.id} was run again, and is done.",
        ),
        "run-again 12",
    ),
    Subcommand(
        "rebuild",
        verbs.REBUILD.help,
        (NAME,),
        of_one(verbs.REBUILD, "{} is rebuilt."),
        "rebuild bob",
    ),
    Subcommand("update-all", verbs.UPDATE_ALL.help, (), _update_all, "update-all"),
    Subcommand(
        "deployments",
        verbs.DEPLOYMENTS.help,
        (NAME,),
        _deployments,
        "deployments bob",
    ),
    Subcommand(
        "rollback",
        verbs.ROLLBACK.help,
        (
            NAME,
            Argument(
                ("id",),
                verbs.ROLLBACK.takes("id").help,
                {"metavar": "ID", "type": int},
            ),
        ),
        asking(
            verbs.ROLLBACK,
            lambda options: {"name": options.name, "id": options.id},
            lambda options: f"{options.name} runs deployment {options.id} again.",
        ),
        "rollback bob 3",
    ),
    Subcommand("tombstones", verbs.TOMBSTONES.help, (), _tombstones, "tombstones"),
    Subcommand(
        "purge",
        verbs.PURGE.help,
        (
            Argument(("name",), "the destroyed agent's name", {"metavar": "NAME"}),
            Argument(("--yes", "-y"), "do not ask", {"action": "store_true"}),
        ),
        _purge,
        "purge bob",
    ),
)
