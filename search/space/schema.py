"""The JSON Schema of a space, for editors; made from the definition that validates.

python -m search.space.schema > spaces/space.schema.json
"""

from __future__ import annotations

import json
from typing import Any

from hypermodels.knobs import Knob
from hypermodels.knobs.per_stage import StagedSection, stage_pattern
from search.space.definition import PLAIN_SECTIONS, PRESET_NAMES, tuned_sections

_TYPES = {"integer": "integer", "number": "number", "boolean": "boolean"}
_WITH_SUFFIX = {"type": "string", "pattern": r"^[0-9]{1,18}(\.[0-9]{1,18})?\s*[kKmMgG]$"}

REQUIRED = ("backbone",)
"""The sections that every space has."""


def space_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a space."""
    sections: dict[str, Any] = {}
    for name, section in tuned_sections().items():
        properties = {knob.name: _tunable(knob) for knob in section.knobs().values()}
        sections[name] = _object(properties, f"the {name}")
        if isinstance(section, StagedSection):
            sections[name]["patternProperties"] = {
                stage_pattern(knob.name): _tunable(knob) for knob in section.stage_knobs().values()
            }
    for name, knobs in PLAIN_SECTIONS.items():
        sections[name] = _object({knob.name: _described(knob) for knob in knobs}, f"the {name}")
    for name in sections:
        if name not in REQUIRED:
            sections[name]["type"] = ["object", "null"]  # a heading with nothing below it
    sections["presets"] = {
        "description": "attention settings that every search tries",
        "type": ["array", "null"],
        "items": {"anyOf": [{"enum": list(PRESET_NAMES)}, _own_preset()]},
        "uniqueItems": True,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "cbam-search space",
        "description": "A scalar is fixed; a mapping with choice, int or float is tuned.",
        **_object(sections, "a search space"),
        "required": list(REQUIRED),
    }


def _own_preset() -> dict[str, Any]:
    """Attention settings under a name of one's own."""
    knobs = tuned_sections()["attention"].knobs().values()
    return {
        "description": "a name with attention settings",
        "type": "object",
        "propertyNames": {"minLength": 1, "maxLength": 40, "not": {"enum": list(PRESET_NAMES)}},
        "additionalProperties": _object(
            {knob.name: _described(knob) for knob in knobs}, "attention settings"
        ),
        "minProperties": 1,
        "maxProperties": 1,
    }


def _object(properties: dict[str, Any], description: str) -> dict[str, Any]:
    return {
        "description": description,
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def _described(knob: Knob) -> dict[str, Any]:
    return {"description": knob.summary, "default": knob.default, **_value(knob)}


def _value(knob: Knob) -> dict[str, Any]:
    """What one value of a knob looks like."""
    if knob.kind == "choice":
        numbers = [int(word) for word in knob.choices if knob.normalize and str(word).isdigit()]
        return {"enum": [*knob.choices, *numbers]}
    if knob.kind == "text":
        forms = [dict(form) for form in knob.forms] or [{"type": "string", "minLength": 1}]
        return {"anyOf": forms} if len(forms) > 1 else forms[0]
    bounds = {"minimum": knob.minimum, "maximum": knob.maximum}
    number = {
        "type": _TYPES[knob.kind],
        **{key: value for key, value in bounds.items() if value is not None},
    }
    return {"anyOf": [number, _WITH_SUFFIX]} if knob.normalize else number


def _tunable(knob: Knob) -> dict[str, Any]:
    """A value, or a domain over such values."""
    if not knob.tunable:
        return _described(knob)
    value = _value(knob)
    choice = {
        "type": "object",
        "properties": {"choice": {"type": "array", "items": value, "minItems": 1}},
        "required": ["choice"],
        "additionalProperties": False,
    }
    forms = [value, choice]
    ends = {"type": "array", "items": value, "minItems": 2, "maxItems": 2}
    if knob.kind == "integer":
        forms.append(_domain("int", ends, {"step": {"type": "integer", "minimum": 1}}))
    if knob.kind == "number":
        forms.append(_domain("float", ends, {"sampling": {"enum": ["linear", "log"]}}))
    return {"description": knob.summary, "default": knob.default, "anyOf": forms}


def _domain(key: str, ends: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {key: ends, **extra},
        "required": [key],
        "additionalProperties": False,
    }


def schema_text() -> str:
    """The schema as it stands in `spaces/space.schema.json`."""
    return json.dumps(space_schema(), indent=2) + "\n"


if __name__ == "__main__":
    print(schema_text(), end="")
