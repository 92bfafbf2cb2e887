"""Where a search's time went: what its workers measured, added up."""

from __future__ import annotations

from collections.abc import Mapping

from search.messages import PHASES
from search.runs.state import RunState


def profile(state: RunState) -> dict[str, float]:
    """Where the worker-seconds of a run went, in seconds.

    Returns:
        The seconds of each phase over all trials that ended; `other`, what these trials'
        workers did besides; and, of the sessions that came to an orderly end, `idle`, what
        workers had nothing to do, and `driver`, the driver's own processor time. Empty
        where no trial has ended.
    """
    trials = [trial for trial in state.trials.values() if trial.profile]
    if not trials:
        return {}
    found = {name: sum(trial.profile.get(name, 0.0) for trial in trials) for name in PHASES}
    # A trial's seconds count from the first line of its process, its `start` from before.
    at_work = found["start"] + sum(trial.seconds for trial in trials)
    found["other"] = max(0.0, at_work - sum(found.values()))
    if state.sessions:
        offered = sum(session.workers * session.seconds for session in state.sessions)
        worked = found["start"] + sum(trial.seconds for trial in state.trials.values())
        found["idle"] = max(0.0, offered - worked)
        found["driver"] = sum(session.driver_seconds for session in state.sessions)
    return {name: round(seconds, 3) for name, seconds in found.items()}


def worker_seconds(found: Mapping[str, float]) -> float:
    """All that the workers of a profile had, in seconds."""
    return sum(seconds for name, seconds in found.items() if name != "driver")


def in_training(found: Mapping[str, float]) -> float:
    """The share of all worker-seconds that were spent in training steps."""
    total = worker_seconds(found)
    return (found["trace"] + found["train"]) / total if total else 0.0


def format_profile(found: Mapping[str, float]) -> str:
    """One line: the shares of the worker-seconds, and the driver's part."""
    total = worker_seconds(found)
    if not total:
        return ""
    shares = ", ".join(
        f"{name} {seconds / total:.0%}"
        for name, seconds in sorted(found.items(), key=lambda item: -item[1])
        if name != "driver" and seconds / total >= 0.005
    )
    return f"Of {total:,.0f} worker-seconds: {shares}."
