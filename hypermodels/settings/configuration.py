"""A configuration: the resolved values of backbone, attention and recipe, and its sections."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hypermodels.attention import mechanisms
from hypermodels.backbones import all_placements, families, get_family
from hypermodels.errors import BackboneError
from hypermodels.knobs import Knob, KnobError, Section, Setting, Value, join_values
from hypermodels.knobs.per_stage import StagedSection, by_stage, settings_in
from hypermodels.knobs.renamed import with_new_names
from hypermodels.settings.recipe import recipe_section

STAGE_WORDS = ("all", "first", "last", "all_but_last")


def _normalize_stages(received: Any) -> Any:
    if isinstance(received, list | tuple):
        if not received or not all(
            isinstance(stage, int) and not isinstance(stage, bool) for stage in received
        ):
            raise KnobError(f"expected a list of stage numbers. Received: {received!r}")
        return ",".join(str(stage) for stage in sorted(set(received)))
    return str(received) if isinstance(received, int) else received


def _check_stages(value: Any) -> None:
    if value in STAGE_WORDS:
        return
    if not isinstance(value, str) or not re.fullmatch(r"[1-9][0-9]?(,[1-9][0-9]?)*", value):
        raise KnobError(
            f"expected {join_values(STAGE_WORDS)} or a list of stage numbers such as [2, 3]. "
            f"Received: {value!r}"
        )


BLOCKS = Knob(
    "blocks",
    "choice",
    "all",
    "blocks of those stages that get attention",
    choices=("all", "first", "last", "alternate"),
    label="blocks=",
    selects_sites=True,
)

STAGES = Knob(
    "stages",
    "text",
    "all",
    "stages that get attention: all, first, last, all_but_last or a list such as [2, 3]",
    check=_check_stages,
    normalize=_normalize_stages,
    label="stages=",
    may_be_infeasible=True,
    selects_sites=True,
    forms=(
        {"type": "string", "pattern": rf"^({'|'.join(STAGE_WORDS)}|[1-9]\d?(,[1-9]\d?)*)$"},
        {"type": "integer", "minimum": 1},
        {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1},
    ),
)


def placement_knob() -> Knob:
    """The knob `placement`; what it can be depends on the families that are registered."""
    known = all_placements()
    return Knob(
        "placement",
        "choice",
        known[0],
        "port of the block where attention acts: residual branch before the addition, pre "
        "(before the branch), post (the block's output), identity branch, or what else the "
        "family has; its first one where the space says nothing",
        choices=known,
        may_be_infeasible=True,
        selects_sites=True,
    )


def backbone_section() -> Section:
    """The section `backbone`: the family and its knobs."""
    known = families()
    names = tuple(family.name for family in known)
    selector = Knob("family", "choice", names[0], "backbone family", choices=names)
    variants = {family.name: family.knobs for family in known}
    implied: dict[str, str] = {each: each for each in ("application", "model")}
    return Section("backbone", selector, variants, implied)


def attention_section(stages: int = 0) -> StagedSection:
    """The section `attention`: the type, its knobs and where it goes.

    Args:
        stages: Integer, the stages that may have settings of their own.
    """
    known = mechanisms()
    names = tuple(entry.name for entry in known)
    selector = Knob("type", "choice", "none", "attention type", choices=names, selects_sites=True)
    placing = (placement_knob(), STAGES, BLOCKS)
    variants = {
        entry.name: () if entry.layer is None else (*entry.knobs, *placing) for entry in known
    }
    return StagedSection("attention", selector, variants, shared=placing, stages=stages)


def sections(
    settings: Mapping[str, Mapping[str, Setting]] | None = None,
) -> tuple[Section, StagedSection, Section]:
    """The three sections of a configuration, in the order of a space.

    Args:
        settings: What a space sets, by section; with `attention.per_stage` the section
            `attention` has the knobs of every stage.
    """
    of_backbone = backbone_section()
    given = settings or {}
    stages = 0
    if by_stage(given.get("attention", {})).listed:
        stages = _most_stages(of_backbone, given.get("backbone", {}))
    return of_backbone, attention_section(stages), recipe_section()


def _most_stages(section: Section, backbone: Mapping[str, Setting]) -> int:
    """How many stages the backbones that can be chosen have at most.

    Raises:
        KnobError: If a backbone's stages are known only once it is built, or none can be.
    """
    counts: list[int] = []
    reason = "no backbone can be built"
    for settings in combinations(section, backbone):
        chosen = get_family(str(settings[section.selector.name]))
        if chosen.stages is None:
            raise KnobError(
                f"how many stages a backbone of {chosen.name} has is not known "
                "before it is built. Use one of the families, or set stages instead"
            )
        try:
            counts.append(chosen.stages(settings))
        except BackboneError as error:
            reason = str(error).rstrip(".")
    if not counts:
        raise KnobError(reason)
    return max(counts)


def combinations(
    section: Section, settings: Mapping[str, Setting], most: int = 4096
) -> Iterator[dict[str, Value]]:
    """Every way to resolve a section, a range of numbers by its default alone.

    Args:
        section: The `Section`.
        settings: What a space fixes and tunes of it.
        most: Integer, after which it ends.

    Yields:
        Resolved settings, each once.
    """
    tuned = {
        section.path(knob): domain.values if hasattr(domain, "values") else (domain.default,)
        for knob, domain in section.tuned(settings)
    }
    seen: set[str] = set()
    for values in itertools.islice(itertools.product(*tuned.values()), most):
        resolved = section.resolve(settings, dict(zip(tuned, values, strict=True)))
        if (name := digest(resolved)) not in seen:
            seen.add(name)
            yield resolved


@dataclass(frozen=True)
class Configuration:
    """Everything that defines a network and its training, with no knob left open.

    Args:
        backbone: Mapping of the backbone's knobs, `family` included.
        attention: Mapping of the attention's active knobs, `type` included.
        recipe: Mapping of the recipe's active knobs, `optimizer` included.
    """

    backbone: Mapping[str, Value]
    attention: Mapping[str, Value]
    recipe: Mapping[str, Value]

    @classmethod
    def resolve(
        cls,
        settings: Mapping[str, Mapping[str, Setting]],
        values: Mapping[str, Value] | None = None,
    ) -> Configuration:
        """Resolves what a space fixes and tunes with the sampled values of the tuned knobs.

        Args:
            settings: Mapping from section name to its settings; sections may be missing.
            values: Mapping from full knob names (`"attention.type"`) to sampled values;
                knobs without one take their domain's default.

        Returns:
            A `Configuration` without inactive knobs.
        """
        settings, chosen = with_new_names(settings), with_new_names(values or {})
        backbone = backbone_section().resolve(settings.get("backbone", {}), chosen)
        standard = get_family(str(backbone["family"])).standard_placement(backbone)
        attention = {"placement": standard, **settings.get("attention", {})}
        try:
            # Of several backbones, this one may have fewer stages than the others.
            of_attention = sections({"attention": attention, "backbone": backbone})[1]
        except KnobError:  # it cannot be built, which is said where it is tried
            of_attention = sections(settings)[1]
        return cls(
            backbone,
            of_attention.resolve(attention, chosen),
            recipe_section().resolve(settings.get("recipe", {}), chosen),
        )

    @classmethod
    def from_dict(cls, content: Mapping[str, Mapping[str, Value]]) -> Configuration:
        content = with_new_names(content)
        return cls(content["backbone"], content["attention"], content["recipe"])

    def to_dict(self) -> dict[str, dict[str, Value]]:
        return {
            "backbone": dict(self.backbone),
            "attention": dict(self.attention),
            "recipe": dict(self.recipe),
        }

    def flat(self) -> dict[str, Value]:
        """Full knob names to values: `{"backbone.family": "resnet_v1", ...}`."""
        return {
            f"{section}.{name}": value
            for section, values in self.to_dict().items()
            for name, value in values.items()
        }

    def attention_in(self, stage: int) -> dict[str, Value]:
        """The attention settings that hold in one stage of the backbone."""
        return settings_in(self.attention, stage)


def digest(content: Any) -> str:
    """Twelve hexadecimal digits of the SHA-256 of `content` as canonical JSON."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
