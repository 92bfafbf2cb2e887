"""Which trial an idle worker gets."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from search.algorithms.trials import Outcomes, TrialSpec


def waiting_trials(
    trials: Iterable[TrialSpec], outcomes: Outcomes, running: Collection[TrialSpec]
) -> Iterator[TrialSpec]:
    """Yields the trials that may be started now, in the order in which they should be.

    Args:
        trials: The trials to choose from.
        outcomes: How trials ended.
        running: Those that workers train. A trial whose lineage is being trained by another
            waits for it.
    """
    busy = {trial.lineage for trial in running}
    ids = {trial.trial_id for trial in running}
    for trial in trials:
        known = trial.trial_id in outcomes or trial.trial_id in ids
        if not known and trial.lineage not in busy:
            yield trial
