"""A run in which nothing was trained makes room for a corrected space; any other never does."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.errors import RunDirectoryError
from search.run import open_run
from search.space import Space
from search.space_loading import parse_space
from tests.search import example


def space(learning_rate: float, seed: int = 1) -> Space:
    return parse_space(
        "backbone: {family: resnet_v1, depth: 8}\n"
        "attention: {type: {choice: [none, se, cbam]}, reduction_ratio: {choice: [4, 8]}}\n"
        f"recipe: {{learning_rate: {learning_rate}}}\n"
        "data: {name: cifar10-sample, limit: 60, validation: 20}\n"
        f"search: {{max_epochs: 3, seed: {seed}}}\n"
    )


def begun(path: Path, *, trained: bool) -> bytes:
    """A run that was left before or after its first trial was started; its journal."""
    with open_run(space(0.1), path, searching=True) as run:
        if trained:
            run.record(example.trial("0000"))
    return (path / "journal.jsonl").read_bytes()


@pytest.mark.parametrize("seed", [1, 2])  # another seed cuts another validation split
def test_an_untrained_run_makes_room(seed: int, tmp_path: Path) -> None:
    before = begun(tmp_path / "run", trained=False)
    with open_run(space(0.2, seed), tmp_path / "run", searching=True) as run:
        assert not run.resumed and not run.state.trials
        assert run.state.header["space"]["recipe"]["learning_rate"] == 0.2
    assert (tmp_path / "run" / "journal.jsonl").read_bytes() != before


def test_the_same_search_goes_on_in_it(tmp_path: Path) -> None:
    before = begun(tmp_path / "run", trained=False)
    with open_run(space(0.1), tmp_path / "run", searching=True) as run:
        assert run.resumed
    assert (tmp_path / "run" / "journal.jsonl").read_bytes() == before


def test_a_run_with_a_trial_is_kept(tmp_path: Path) -> None:
    before = begun(tmp_path / "run", trained=True)
    with (
        pytest.raises(RunDirectoryError, match="learning_rate: 0.1 in the run, 0.2 now"),
        open_run(space(0.2), tmp_path / "run", searching=True),
    ):
        pass
    assert (tmp_path / "run" / "journal.jsonl").read_bytes() == before


def test_no_other_verb_clears_anything(tmp_path: Path) -> None:
    before = begun(tmp_path / "run", trained=False)
    with (
        pytest.raises(RunDirectoryError, match="run of another space"),
        open_run(space(0.2), tmp_path / "run", mend_data=True),
    ):
        pass
    assert (tmp_path / "run" / "journal.jsonl").read_bytes() == before
