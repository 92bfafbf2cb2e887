"""A parsed space checked key by key; every problem is collected, with its line."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any

from hypermodels.knobs import (
    Choice,
    FloatRange,
    IntRange,
    Knob,
    KnobError,
    Section,
    Setting,
    Value,
    as_written,
)
from hypermodels.knobs.per_stage import PER_STAGE, STAGE_KEY, StagedSection, listed_knobs
from hypermodels.settings.configuration import sections
from search.errors import did_you_mean
from search.space.definition import PLAIN_SECTIONS, PRESET_NAMES, top_level_keys, tuned_sections
from search.space.space import Space
from search.space.yaml_nodes import Node

_DOMAIN_KEYS = ("choice", "int", "float")
_STEP = Knob("step", "integer", 1, "between two values of a range", minimum=1)
_ONE = Node(1, 0)
_LONGEST_PROBLEM = 500
"""Characters of one problem that are shown; a space may hold a novel where a number belongs."""


class SpaceReader:
    """Walks a parsed space and collects every problem instead of stopping at the first.

    Args:
        source: String, the file or the shipped name, for messages.
        written_out: Boolean, whether it is a space as `Space.to_dict` gives it, in which a
            key that was left out stands with its default, such as the 0 of no limit.
    """

    def __init__(self, source: str, *, written_out: bool = False) -> None:
        self.source = source
        self._written_out = written_out
        self.problems: list[str] = []

    def problem(self, line: int, path: str, message: str) -> None:
        said = f"{path}: {message}"
        if len(said) > _LONGEST_PROBLEM:
            half = _LONGEST_PROBLEM // 2
            said = f"{said[:half]} ... {said[-half:]}"
        self.problems.append(f"{self.source}:{line}: {said}")

    def space(self, root: Node) -> Space:
        keys = top_level_keys()
        for key, node in root.value.items():
            if key not in keys:
                self.problem(
                    node.line,
                    key,
                    f"unknown key.{did_you_mean(key, keys)} A space has: {', '.join(keys)}.",
                )
        filled = {key: node for key, node in root.value.items() if not _left_open(key, node)}
        root = Node(filled, root.line)
        if "backbone" not in root.value:
            self.problem(root.line, "backbone", "missing. A space needs a backbone section.")
        empty = Node({}, root.line)
        settings = {
            name: self.tuned_section(section, root.value.get(name, empty))
            for name, section in tuned_sections().items()
        }
        plain = {
            name: self.plain_section(name, knobs, root.value.get(name, empty))
            for name, knobs in PLAIN_SECTIONS.items()
        }
        self.stages_of_their_own(settings, root)
        presets = self.presets(root.value.get("presets", Node([], root.line)))
        return Space(settings, source=self.source, presets=presets, **plain)

    def stages_of_their_own(
        self, settings: Mapping[str, Mapping[str, Setting]], root: Node
    ) -> None:
        """Looks at `attention.per_stage` and the keys of single stages."""
        attention = settings["attention"]
        names = listed_knobs(attention)
        keys = [key for key in attention if STAGE_KEY.fullmatch(key)]
        node = root.value.get("attention", root)
        if keys and not names:
            self.problem(
                node.value[keys[0]].line,
                f"attention.{keys[0]}",
                "has no effect without per_stage, the list of knobs that every stage has of "
                "its own.",
            )
        if not names:
            return
        line = node.value[PER_STAGE.name].line
        try:
            section = sections(settings)[1]
        except KnobError as error:
            self.problem(line, "attention.per_stage", f"{error}.")
            return
        assert isinstance(section, StagedSection)
        known = section.stage_knobs()
        for name in names:
            if name not in known:
                self.problem(
                    line,
                    "attention.per_stage",
                    f"{name} cannot differ from stage to stage.{did_you_mean(name, known)} "
                    f"Those that can: {', '.join(known)}.",
                )
            elif name != section.selector.name and not section.owners(name, attention):
                self.problem(
                    line,
                    "attention.per_stage",
                    f"{name} has no effect: no chosen attention type has it "
                    f"({', '.join(section.selected(attention))}).",
                )
        for key in keys:
            match = STAGE_KEY.fullmatch(key)
            if match and int(match[1]) > section.stages:
                self.problem(
                    node.value[key].line,
                    f"attention.{key}",
                    f"the backbone has {section.stages} stages.",
                )

    def mapping(self, name: str, node: Node) -> dict[str, Node]:
        if isinstance(node.value, dict):
            return node.value
        received = as_written(node.plain())
        self.problem(node.line, name, f"expected a mapping of keys. Received: {received}.")
        return {}

    def tuned_section(self, section: Section, node: Node) -> dict[str, Setting]:
        entries = self.mapping(section.name, node)
        knobs = section.knobs()
        settings: dict[str, Setting] = {}
        selector = section.selector.name
        if selector in entries:
            found = self.setting(
                section.path(section.selector), section.selector, entries[selector]
            )
            if found is not None:
                settings[selector] = found
        known = selector not in entries or selector in settings
        if selector not in entries:
            implied = [section.implied[key] for key in entries if key in section.implied]
            settings |= {selector: implied[0]} if implied else {}
        for key, entry in sorted(entries.items(), key=lambda item: not section.decides(item[0])):
            if key == selector:
                continue
            path = f"{section.name}.{key}"
            knob = section.knob(key)
            if knob is None:
                self.problem(
                    entry.line,
                    path,
                    f"unknown key.{did_you_mean(key, knobs)} Known keys: {', '.join(knobs)}.",
                )
                continue
            selected = section.selected_for(key, settings)
            if known and not section.owners(key, settings):
                self.problem(
                    entry.line,
                    path,
                    f"has no effect: no chosen {section.name} {selector} has it "
                    f"({', '.join(selected)}). Remove it, or choose another {selector}.",
                )
                continue
            found = self.knob_setting(section, knob, selected, entry, path)
            if found is not None:
                settings[key] = found
        return {key: settings[key] for key in (selector, *entries) if key in settings}

    def knob_setting(
        self,
        section: Section,
        first: Knob,
        selected: tuple[str, ...],
        node: Node,
        path: str,
    ) -> Setting | None:
        """A setting that suits every selectable variant: depths differ between families."""
        takers = [
            knob
            for variant in selected
            for knob in section.variants[variant]
            if knob.name == first.name
        ]
        found = None
        for knob in takers or [first]:
            before = len(self.problems)
            found = self.setting(path, knob, node)
            if len(self.problems) > before:
                return None
        return found

    def setting(self, path: str, knob: Knob, node: Node) -> Setting | None:
        if not isinstance(node.value, dict):
            return self.value(path, knob, node)
        if not knob.tunable:
            self.problem(node.line, path, "cannot be tuned; give one value.")
            return None
        kinds = [key for key in node.value if key in _DOMAIN_KEYS]
        if len(kinds) != 1:
            self.problem(
                node.line,
                path,
                "a tuned key has exactly one of choice, int or float. "
                f"Received: {node.plain()!r}.",
            )
            return None
        extra = {"choice": (), "int": ("step",), "float": ("sampling",)}[kinds[0]]
        for key, entry in node.value.items():
            if key != kinds[0] and key not in extra:
                self.problem(
                    entry.line,
                    f"{path}.{key}",
                    f"unknown key beside {kinds[0]}.{did_you_mean(key, extra)}",
                )
                return None
        if kinds[0] == "choice":
            return self.choice(path, knob, node.value["choice"])
        return self.range(path, knob, kinds[0], node)

    def value(self, path: str, knob: Knob, node: Node) -> Value | None:
        received = node.plain()
        try:
            return knob.accept(received)
        except KnobError as error:
            self.problem(node.line, path, f"{error}.{_hint(knob, received, node)}")
            return None

    def choice(self, path: str, knob: Knob, node: Node) -> Setting | None:
        if not isinstance(node.value, list) or not node.value:
            self.problem(
                node.line,
                path,
                f"choice takes a list of values. Received: {as_written(node.plain())}.",
            )
            return None
        values = [self.value(path, knob, item) for item in node.value]
        found = [value for value in values if value is not None]
        if len(found) < len(values):
            return None
        twice = sorted(str(value) for value, count in Counter(found).items() if count > 1)
        if twice:
            self.problem(node.line, path, f"choice has {twice[0]} twice.")
            return None
        return Choice(tuple(found)) if len(found) > 1 else found[0]

    def range(self, path: str, knob: Knob, kind: str, node: Node) -> Setting | None:
        wanted = "integer" if kind == "int" else "number"
        if knob.kind != wanted:
            takes = {
                "integer": "int or choice",
                "number": "float or choice",
            }.get(knob.kind, "choice")
            self.problem(node.line, path, f"cannot be tuned with {kind}; use {takes}.")
            return None
        ends = node.value[kind]
        if not isinstance(ends.value, list) or len(ends.value) != 2:
            self.problem(
                ends.line,
                path,
                f"{kind} takes [lowest, highest]. Received: {as_written(ends.plain())}.",
            )
            return None
        # The ends bound the values and need not be values: of {int: [8, 21], step: 6} 21 is none.
        bare = dataclasses.replace(knob, check=None)
        low, high = (self.value(path, bare, end) for end in ends.value)
        if low is None or high is None:
            return None
        if not low < high:  # type: ignore[operator]
            self.problem(ends.line, path, f"the lowest value {low} is not below {high}.")
            return None
        if kind == "int":
            step = self.value(f"{path}.step", _STEP, node.value.get("step", _ONE))
            if step is None:
                return None
            integers = IntRange(int(low), int(high), int(step))
            return integers if self.suits(path, knob, integers, node) else None
        sampling = node.value["sampling"].plain() if "sampling" in node.value else "linear"
        if sampling not in ("linear", "log"):
            self.problem(
                node.line,
                f"{path}.sampling",
                f"expected linear or log. Received: {as_written(sampling)}.",
            )
            return None
        if sampling == "log" and float(low) <= 0:
            self.problem(ends.line, path, f"log sampling needs values above 0. Received: {low}.")
            return None
        return FloatRange(float(low), float(high), "log" if sampling == "log" else "linear")

    def suits(self, path: str, knob: Knob, integers: IntRange, node: Node) -> bool:
        """Whether a knob with a rule of its own takes every value of a range."""
        for value in integers.values if knob.check else ():
            try:
                knob.accept(value)
            except KnobError as error:
                self.problem(
                    node.line, path, f"the range has {value}: {error}. Set `step`, or use choice."
                )
                return False
        return True

    def plain_section(self, name: str, knobs: tuple[Knob, ...], node: Node) -> dict[str, Value]:
        entries = self.mapping(name, node)
        by_name = {knob.name: knob for knob in knobs}
        values = {knob.name: knob.default for knob in knobs}
        for key, entry in entries.items():
            path = f"{name}.{key}"
            if key not in by_name:
                self.problem(
                    entry.line,
                    path,
                    f"unknown key.{did_you_mean(key, by_name)} Known keys: {', '.join(by_name)}.",
                )
            elif self._written_out and entry.value == by_name[key].default:
                continue  # it was left out
            elif isinstance(entry.value, dict) and set(entry.value) & set(_DOMAIN_KEYS):
                self.problem(entry.line, path, "cannot be tuned; give one value.")
            else:
                value = self.value(path, by_name[key], entry)
                if value is not None:
                    values[key] = value
        return values

    def presets(self, node: Node) -> tuple[str, ...]:
        if not isinstance(node.value, list):
            self.problem(
                node.line,
                "presets",
                f"expected a list of names. Received: {as_written(node.plain())}.",
            )
            return ()
        names: list[str] = []
        for item in node.value:
            name = item.plain()
            if name not in PRESET_NAMES:
                self.problem(
                    item.line,
                    "presets",
                    f"unknown preset {name!r}.{did_you_mean(name, PRESET_NAMES)} "
                    f"Known presets: {', '.join(PRESET_NAMES)}.",
                )
            elif name in names:
                self.problem(item.line, "presets", f"{name} stands twice.")
            else:
                names.append(name)
        return tuple(names)


def _left_open(key: str, node: Node) -> bool:
    """Whether a section is a heading with nothing below it, which is as if it were left out."""
    return node.value is None and key != "backbone" and key in top_level_keys()


def _all_taken(knob: Knob, values: list[Any]) -> bool:
    with contextlib.suppress(KnobError):
        return bool([knob.accept(value) for value in values])
    return False


def _hint(knob: Knob, received: Any, node: Node) -> str:
    """What may help with a value that a knob does not take."""
    words = [str(choice) for choice in knob.choices]
    if isinstance(received, list) and knob.tunable and _all_taken(knob, received):
        return f" To search over several values, write {{choice: {as_written(received)}}}."
    if isinstance(received, str):
        return did_you_mean(received, words)
    if isinstance(received, bool) and node.written.lower() not in ("", "true", "false"):
        read = f" YAML reads {node.written} as {str(received).lower()}; if it is a name, put it in"
        return f"{read} quotes.{did_you_mean(node.written, words)}"
    return ""
