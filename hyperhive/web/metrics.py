"""Figures for Prometheus, of what the hive knows anyway."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping

from hyperhive.bus import Event, Subscription
from hyperhive.web.context import WebContext
from hyperhive.web.sse import Streams

#: How many different outcomes are counted apart: a bound, they are ten.
MAX_OUTCOMES = 32

Labels = Mapping[str, str]


class Metrics:
    """Counts what goes over the bus since the start, and measures the rest when asked."""

    def __init__(self, context: WebContext, streams: Streams) -> None:
        self._context = context
        self._streams = streams
        self._messages: Counter[str] = Counter()
        self._turns: Counter[str] = Counter()
        self._subscription: Subscription | None = None

    def start(self) -> None:
        """Count from now on."""
        self._subscription = self._context.bus.follow(
            self._count, frozenset({"message", "turn"})
        )

    def stop(self) -> None:
        """Count no more."""
        if self._subscription is not None:
            self._subscription.cancel()
            self._subscription = None

    def render(self) -> str:
        """The figures in Prometheus' text format."""
        statuses = self._context.agents.statuses()
        states = Counter(status.state for status in statuses)
        facts = self._context.facts
        lines = [
            *_metric(
                "info",
                "gauge",
                "The version and the container driver.",
                [({"version": facts.version, "driver": facts.probe.driver}, 1)],
            ),
            *_metric(
                "uptime_seconds",
                "gauge",
                "How long the daemon has run.",
                [({}, round(self._context.now() - facts.started_at, 3))],
            ),
            *_metric(
                "agents",
                "gauge",
                "Agents by the state that is shown of them.",
                [({"state": state}, count) for state, count in sorted(states.items())],
            ),
            *_metric(
                "turns_running",
                "gauge",
                "Turns that run now.",
                [({}, sum(status.working for status in statuses))],
            ),
            *_metric(
                "messages_queued",
                "gauge",
                "Messages that wait, by agent.",
                [({"agent": status.name}, status.unread) for status in statuses],
            ),
            *_metric(
                "context_tokens",
                "gauge",
                "Size of the context at the last inference, by agent.",
                [
                    ({"agent": status.name}, status.context)
                    for status in statuses
                    if status.context is not None
                ],
            ),
            *_metric(
                "message_events_total",
                "counter",
                "What happened to messages since the start.",
                [({"event": kind}, n) for kind, n in sorted(self._messages.items())],
            ),
            *_metric(
                "turns_total",
                "counter",
                "Turns that have ended since the start, by outcome.",
                [({"outcome": what}, n) for what, n in sorted(self._turns.items())],
            ),
            *_metric(
                "event_streams",
                "gauge",
                "Open event streams of browsers.",
                [({}, len(self._streams))],
            ),
        ]
        return "\n".join(lines) + "\n"

    def _count(self, event: Event) -> None:
        if event.topic == "message":
            self._messages[event.kind.removeprefix("message_")] += 1
        elif event.kind == "turn_end":
            outcome = str(json.loads(event.json).get("outcome", "unknown"))
            if outcome in self._turns or len(self._turns) < MAX_OUTCOMES:
                self._turns[outcome] += 1


def _metric(
    name: str, kind: str, help: str, samples: Iterable[tuple[Labels, float]]
) -> list[str]:
    lines = [f"# HELP hyperhive_{name} {help}", f"# TYPE hyperhive_{name} {kind}"]
    for labels, value in samples:
        inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        lines.append(
            f"hyperhive_{name}{{{inside}}} {value}"
            if inside
            else f"hyperhive_{name} {value}"
        )
    return lines


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
