"""What can be set: knobs, the sections that group them, and the domains they are tuned over."""

from hypermodels.knobs.domains import Choice, Domain, FloatRange, IntRange, Setting, is_tuned
from hypermodels.knobs.knob import Kind, Knob, KnobError, Value, as_written, listed
from hypermodels.knobs.section import Section

__all__ = [
    "Choice",
    "Domain",
    "FloatRange",
    "IntRange",
    "Kind",
    "Knob",
    "KnobError",
    "Section",
    "Setting",
    "Value",
    "as_written",
    "is_tuned",
    "listed",
]
