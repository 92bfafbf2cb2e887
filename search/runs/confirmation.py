"""What a run knows of its confirmation: the plan, the trainings, what was read of them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from hypermodels.settings.configuration import Configuration
from search.algorithms.confirmation import MOST_ARMS, Arm, failed_arms, trainings, trial_id
from search.algorithms.trials import TrialSpec
from search.runs.records import (
    ConfirmationPlanned,
    Entry,
    LatencyMeasured,
    LookBegun,
    TestScored,
    TrialStarted,
)

if TYPE_CHECKING:
    from search.runs.state import TrialState


@dataclass
class ConfirmationState:
    """What a run knows of its confirmation.

    Args:
        plan: What is compared.
        looks: Integer, planned looks whose trainings were asked for.
        trials: Mapping from trial id to its state.
        outcomes: The validation score of each that ended, `None` of one that failed.
        scores: Mapping from trial id to what it did on the test images.
        latency: How long the arms take, or `None` until it is measured.
    """

    plan: ConfirmationPlanned
    looks: int = 0
    trials: dict[str, TrialState] = field(default_factory=dict)
    outcomes: dict[str, float | None] = field(default_factory=dict)
    scores: dict[str, TestScored] = field(default_factory=dict)
    latency: LatencyMeasured | None = None
    _planned: Mapping[str, TrialSpec] = field(default_factory=dict)
    _planned_for: int = 0

    def unread(self) -> frozenset[str]:
        """Trainings whose test scores are still to be had, so that their state must stay."""
        return frozenset(name for name in self.trials if name not in self.scores)

    def contradiction(self, entry: Entry) -> str | None:
        """What in an entry contradicts the plan, or `None`: a journal may be forged."""
        plan = self.plan
        match entry:
            case ConfirmationPlanned():
                if not 2 <= len(plan.arms) <= MOST_ARMS:
                    return f"it compares {len(plan.arms)} arms"
                if not plan.looks or sorted(set(plan.looks)) != plan.looks:
                    return "its looks do not rise"
                if len(set(plan.seeds)) != plan.looks[-1]:
                    return "it has not as many seeds as its last look"
            case LookBegun():
                if entry.look != self.looks + 1 or entry.look > len(plan.looks):
                    return f"look {entry.look} is not the next one"
            case TrialStarted():
                if self.planned().get(entry.trial) != entry.spec():
                    return "the training is none that was planned"
            case TestScored():
                if entry.trial not in self.trials:
                    return "it is no training of the confirmation"
                if len(_bytes(entry.right)) != (entry.images + 7) // 8:
                    return "its answers are not as many as its images"
            case LatencyMeasured():
                if len(entry.ratios) != len(plan.arms):
                    return "its latencies are not as many as its arms"
        return None

    def planned(self) -> Mapping[str, TrialSpec]:
        """The trainings of the looks so far, by name."""
        if self.looks and self._planned_for != self.looks:
            seeds = self.plan.seeds[: self.plan.looks[self.looks - 1]]
            arms = [arm.configuration for arm in self.arms()]
            self._planned = trainings(arms, seeds, self.plan.epochs)
            self._planned_for = self.looks
        return self._planned

    def answers(self, arm: int, seed: int) -> np.ndarray:
        """Which test images a training is right on: a Boolean array."""
        scored = self.scores[trial_id(arm, seed)]
        packed = np.frombuffer(_bytes(scored.right), dtype="uint8")
        return np.unpackbits(packed)[: scored.images].astype(bool)

    def arms(self) -> list[Arm]:
        """The arms of the plan, in its order."""
        return [
            Arm(each["name"], each["role"], Configuration.from_dict(each["configuration"]))
            for each in self.plan.arms
        ]

    def complete_look(self) -> int:
        """The number of the last look that can be answered, 0 if none can."""
        complete = [look for look in range(1, self.looks + 1) if self.is_scored(look)]
        return complete[-1] if complete else 0

    def is_scored(self, look: int) -> bool:
        """Whether every training of a look has its test score, but those of arms that failed."""
        lost = failed_arms(self.outcomes)
        return all(
            trial_id(arm, seed) in self.scores
            for seed in range(self.plan.looks[look - 1])
            for arm in range(len(self.plan.arms))
            if arm not in lost
        )


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
