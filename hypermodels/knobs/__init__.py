"""What can be set: knobs, the sections that group them, and the domains they are tuned over."""

from hypermodels.knobs.domains import (
    UNTUNABLE,
    Choice,
    Domain,
    FloatRange,
    IntRange,
    Setting,
    accept_setting,
    is_tuned,
)
from hypermodels.knobs.knob import IdleError, Kind, Knob, KnobError, Value, as_written, join_values
from hypermodels.knobs.section import Section

__all__ = [
    "UNTUNABLE",
    "Choice",
    "Domain",
    "FloatRange",
    "IdleError",
    "IntRange",
    "Kind",
    "Knob",
    "KnobError",
    "Section",
    "Setting",
    "Value",
    "accept_setting",
    "as_written",
    "is_tuned",
    "join_values",
]
