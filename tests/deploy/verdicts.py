"""What may be found after a daemon has died on the way from a decision to its end."""

from typing import Any


def never_decided(first: str) -> dict[str, Any]:
    """The decision was not written: all is as it was.

    :param first: the commit that ran before.
    """
    return {
        "approval": "pending",
        "jobs": [],
        "sha": first,
        "main": first,
        "deployed": False,
        "runs": True,
        "resolved": [],
        "rebuilt": [],
    }


def interrupted(first: str) -> dict[str, Any]:
    """Decided and told; nothing of the agent has changed, and that is told too."""
    return {
        **never_decided(first),
        "approval": "approved",
        "jobs": ["interrupted"],
        "resolved": ["approved"],
        "rebuilt": [False],
    }


def failed(first: str) -> dict[str, Any]:
    """It could not be built; nothing has changed."""
    return {**interrupted(first), "approval": "failed", "jobs": ["failed"]}


def happened(good: str) -> dict[str, Any]:
    """It runs with what was approved, everybody was told, once.

    :param good: the commit that was approved.
    """
    return {
        "approval": "approved",
        "jobs": ["done"],
        "sha": good,
        "main": good,
        "deployed": True,
        "runs": True,
        "resolved": ["approved"],
        "rebuilt": [True],
    }
