"""A parsed space checked key by key; every problem is collected, with its line."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hypermodels.knobs import Knob, KnobError, Section, Setting, as_written
from hypermodels.knobs.per_stage import PER_STAGE, by_stage, stage_key
from hypermodels.knobs.renamed import NEW_NAMES, renaming_notice
from hypermodels.settings.configuration import sections
from search.errors import did_you_mean
from search.space.definition import PLAIN_SECTIONS, PRESET_NAMES, top_level_keys, tuned_sections
from search.space.settings import ConfirmSettings, Constraints, DataSettings, SearchSettings
from search.space.space import Space
from search.space.yaml_nodes import Node
from search.space.yaml_settings import advice, read_setting, read_value

_LONGEST_PROBLEM = 500
"""Characters of one problem that are shown; a space may hold a novel where a number belongs."""
_LONGEST_NAME = 40
"""Characters of a preset's name: it stands in tables."""


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
        self.notices: list[str] = []

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
        return Space(
            settings,
            DataSettings(**plain["data"]),
            SearchSettings(**plain["search"]),
            Constraints(**plain["constraints"]),
            tuple(presets),
            self.source,
            ConfirmSettings(**plain["confirm"]),
            {name: own for name, own in presets.items() if own is not None},
            tuple(self.notices),
        )

    def stages_of_their_own(
        self, settings: Mapping[str, Mapping[str, Setting]], root: Node
    ) -> None:
        """Looks at `attention.per_stage` and the keys of single stages."""
        attention = settings["attention"]
        parts = by_stage(attention)
        keys = {stage_key(stage, name): stage for stage, own in parts.own.items() for name in own}

        def problem(key: str, message: str) -> None:
            line = root.value["attention"].value[key].line
            self.problem(line, f"attention.{key}", message)

        if keys and not parts.listed:
            problem(
                next(iter(keys)),
                "has no effect without per_stage, the list of knobs that every stage has of "
                "its own.",
            )
        if not parts.listed:
            return
        try:
            section = sections(settings)[1]
        except KnobError as error:
            problem(PER_STAGE.name, f"{error}.")
            return
        known = section.stage_knobs()
        for name in parts.listed:
            if name not in known:
                problem(
                    PER_STAGE.name,
                    f"{name} cannot differ from stage to stage.{did_you_mean(name, known)} "
                    f"Those that can: {', '.join(known)}.",
                )
            elif not section.owners(name, attention):
                problem(
                    PER_STAGE.name,
                    f"{name} has no effect: no chosen attention type has it "
                    f"({', '.join(section.selected(attention))}).",
                )
        for key, stage in keys.items():
            if stage > section.stages:
                problem(key, f"the backbone has {section.stages} stages.")

    def entries(
        self, name: str, node: Node, knob: Callable[[str], Knob | None], known: Iterable[str]
    ) -> dict[str, Node]:
        """The keys of a section that set a knob."""
        if not isinstance(node.value, dict):
            received = as_written(node.plain())
            self.problem(node.line, name, f"expected a mapping of keys. Received: {received}.")
            return {}
        found = {}
        for key, entry in node.value.items():
            if knob(key) is not None:
                found[key] = entry
                continue
            if knob(new := NEW_NAMES.get(key, key)) is not None:
                if new in node.value:
                    self.problem(entry.line, f"{name}.{key}", f"the old name of {new}, set too.")
                found[new] = entry
                self.notices.append(renaming_notice(f"{name}.{key}"))
                continue
            meant = f"{did_you_mean(key, known)} Known keys: {', '.join(known)}."
            self.problem(entry.line, f"{name}.{key}", f"unknown key.{meant}")
        return found

    def refused(self, path: str, knob: Knob, node: Node, error: KnobError) -> None:
        """Collects what is wrong with a setting, each on the line where it stands."""
        for each in (error, *error.others):
            at = node.at(each.location)
            stop = "" if str(each).endswith("?") else "."
            self.problem(at.line, path + each.key, f"{each}{stop}{advice(knob, each, at)}")

    def tuned_section(self, section: Section, node: Node) -> dict[str, Setting]:
        entries = self.entries(section.name, node, section.knob, section.knobs())
        selector = section.selector.name
        implied = [section.implied[key] for key in entries if key in section.implied]
        if implied and selector not in entries:
            entries[selector] = Node(implied[0], node.line)
        entries = {key: entries[key] for key in sorted(entries, key=lambda key: key != selector)}

        def refuse(key: str, error: KnobError) -> None:
            knob = section.knob(key)
            assert knob is not None, "other keys are left out of the entries"
            self.refused(f"{section.name}.{key}", knob, entries[key], error)

        accepted = section.accept(entries, read_setting, refuse, idle=False)
        return {key: accepted[key] for key in entries if key in accepted}

    def plain_section(self, name: str, knobs: tuple[Knob, ...], node: Node) -> dict[str, Any]:
        by_name = {knob.name: dataclasses.replace(knob, tunable=False) for knob in knobs}
        values: dict[str, Any] = {knob.name: knob.default for knob in knobs}
        for key, entry in self.entries(name, node, by_name.get, by_name).items():
            knob = by_name[key]
            if self._written_out and entry.value == knob.default:
                continue  # it was left out
            try:
                values[key] = read_value(knob, entry)
            except KnobError as error:
                self.refused(f"{name}.{key}", knob, entry, error)
        return values

    def presets(self, node: Node) -> dict[str, Mapping[str, Setting] | None]:
        """The presets by name; those that are not published ones, with their settings."""
        if not isinstance(node.value, list):
            self.problem(
                node.line,
                "presets",
                f"expected a list of names. Received: {as_written(node.plain())}.",
            )
            return {}
        found: dict[str, Mapping[str, Setting] | None] = {}
        for item in node.value:
            own = isinstance(item.value, dict)
            name, settings = self.own_preset(item) if own else (item.plain(), None)
            if not own and name not in PRESET_NAMES:
                self.problem(
                    item.line,
                    "presets",
                    f"unknown preset {name!r}.{did_you_mean(name, PRESET_NAMES)} "
                    f"Known presets: {', '.join(PRESET_NAMES)}; or name settings of your own: "
                    "{mine: {type: se}}.",
                )
            elif name in found:
                self.problem(item.line, "presets", f"{name} stands twice.")
            elif name:
                found[name] = settings
        return found

    def own_preset(self, node: Node) -> tuple[str, Mapping[str, Setting]]:
        """A name and the attention settings that it stands for; no name where it is wrong."""
        (name, content), *others = node.value.items() or [("", node)]
        refused = ""
        if others or not isinstance(content.value, dict):
            refused = f"expected one name with its settings. Received: {as_written(node.plain())}."
        elif name in PRESET_NAMES:
            refused = f"{name} is a published preset. Choose another name for your own."
        elif not name.strip() or not name.isprintable() or len(name) > _LONGEST_NAME:
            refused = f"expected a name of at most {_LONGEST_NAME} printable characters."
        if refused:
            self.problem(node.line, "presets", refused)
            return "", {}
        path = f"presets.{name}"
        section = tuned_sections()["attention"]
        entries = self.entries(path, content, section.knob, section.knobs())

        def refuse(key: str, error: KnobError) -> None:
            knob = section.knob(key)
            assert knob is not None, "other keys are left out of the entries"
            fixed = dataclasses.replace(knob, tunable=False)
            self.refused(f"{path}.{key}", fixed, entries[key], error)

        return name, section.accept(entries, read_value, refuse, idle=False)


def _left_open(key: str, node: Node) -> bool:
    """Whether a section is a heading with nothing below it, which is as if it were left out."""
    return node.value is None and key != "backbone" and key in top_level_keys()
