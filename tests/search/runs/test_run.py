"""When a run makes room for another, what of it goes, and what is the same search."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from search.driver.opening import open_run
from search.driver.oracle import SearchOracle
from search.driver.tuner import algorithm_of, costs_of, hypermodel_of
from search.errors import RunDirectoryError
from search.runs.encoding import from_record
from search.runs.records import Entry
from search.space.loading import parse_space
from search.space.space import Space
from tests.search import example
from tests.search.data.data_files import toy_arrays, write_npz


def space(learning_rate: float, seed: int = 1) -> Space:
    return parse_space(
        "backbone: {family: resnet_v1, depth: 8}\n"
        "attention: {type: {choice: [none, se, cbam]}, reduction_ratio: {choice: [4, 8]}}\n"
        f"recipe: {{learning_rate: {learning_rate}}}\n"
        "data: {name: cifar10-sample, limit: 60, validation: 20}\n"
        f"search: {{max_epochs: 3, seed: {seed}}}\n"
    )


def trial() -> Entry:
    entry = from_record(example.trial("0000"), first=False)
    assert entry is not None
    return entry


def begun(path: Path, *, trained: bool) -> bytes:
    """A run that was left before or after its first trial was started; its journal."""
    with open_run(space(0.1), path, searching=True) as run:
        if trained:
            run.record(trial())
    return (path / "journal.jsonl").read_bytes()


@pytest.mark.parametrize("seed", [1, 2])  # another seed cuts another validation split
def test_an_untrained_run_makes_room(seed: int, tmp_path: Path) -> None:
    before = begun(tmp_path / "run", trained=False)
    with open_run(space(0.2, seed), tmp_path / "run", searching=True) as run:
        assert not run.resumed and not run.state.trials
        assert run.state.header.space["recipe"]["learning_rate"] == 0.2
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
        open_run(space(0.2), tmp_path / "run", restore_data=True),
    ):
        pass
    assert (tmp_path / "run" / "journal.jsonl").read_bytes() == before


def test_another_spelling_of_the_same_data_is_the_same_search(tmp_path: Path) -> None:
    path = Path(write_npz(tmp_path / "toy.npz", toy_arrays()))

    def of(name: object) -> Space:
        return parse_space(
            f"backbone: {{family: resnet_v1, depth: 8}}\n"
            f"data: {{name: {json.dumps(str(name))}, validation: 0.3, test_fraction: 0.3}}\n"
            "search: {max_epochs: 1}\n"
        )

    with open_run(of(path), tmp_path / "run", searching=True) as run:
        run.record(trial())
    for same in (f"{path.parent}/./toy.npz", f"{path.parent}/../{path.parent.name}/toy.npz"):
        with open_run(of(same), tmp_path / "run", searching=True) as run:
            assert run.resumed
    other = write_npz(tmp_path / "other.npz", toy_arrays())
    with (
        pytest.raises(RunDirectoryError, match=r"data\.name"),
        open_run(of(other), tmp_path / "run", searching=True),
    ):
        pass


def test_what_lies_beside_a_run_is_not_deleted_with_it(tmp_path: Path) -> None:
    begun(tmp_path / "run", trained=True)
    (tmp_path / "run" / "notes.txt").write_text("mine")
    (tmp_path / "run" / "figures").mkdir()
    (tmp_path / "run" / "figures" / "one.txt").write_text("mine too")
    with open_run(space(0.2), tmp_path / "run", overwrite=True, searching=True) as run:
        assert not run.resumed
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"
    assert (tmp_path / "run" / "figures" / "one.txt").read_text() == "mine too"


def test_the_view_of_the_oracle_is_a_function_of_the_journal(tmp_path: Path) -> None:
    """With seed 0 too, for which KerasTuner draws another; and whoever is at work."""
    with open_run(space(0.1, seed=0), tmp_path / "run", searching=True) as run:
        hyperband = algorithm_of(run, costs_of(run))
        first, second = (
            SearchOracle(run.space, hyperband, run.state, hypermodel_of(run)) for _ in range(2)
        )
        assert first.get_state() == second.get_state()
        assert first.get_state()["seed"] == 0
        assert first.create_trial("worker0").status == "RUNNING"
        assert first.get_state()["ongoing_trials"] == {}
