"""What a run knows of its confirmation: the plan, the trainings, what was read of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hypermodels.settings.configuration import Configuration
from search.algorithms.confirmation import Arm, failed_arms, trial_id
from search.runs.records import ConfirmationPlanned, TestScored

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
    """

    plan: ConfirmationPlanned
    looks: int = 0
    trials: dict[str, TrialState] = field(default_factory=dict)
    outcomes: dict[str, float | None] = field(default_factory=dict)
    scores: dict[str, TestScored] = field(default_factory=dict)

    def unread(self) -> frozenset[str]:
        """Trainings whose test scores are still to be had, so that their state must stay."""
        return frozenset(name for name in self.trials if name not in self.scores)

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
