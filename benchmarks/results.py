"""What benchmarks keep: their samples, and the machine that these are of."""

import json
import os
import platform
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """What something is measured on; to be asked before it is."""
    model = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": model[0] if model else platform.machine(),
        "processors": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }


def keep(benchmark: str, where: dict[str, Any], found: dict[str, Any]) -> None:
    """Write down what a benchmark has found.

    :param where: :func:`machine`, and what else it depends on.
    """
    FOLDER.mkdir(exist_ok=True)
    members = {"machine": where, **found}.items()
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in members]
    text = ",\n".join(lines)
    (FOLDER / f"{benchmark}.json").write_text(f"{{\n{text}\n}}\n")
