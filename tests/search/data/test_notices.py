"""What a run says of its data before anything is spent, and beside its figures."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from search.data import constant_answer, imbalance_notice
from search.data.class_counts import counts_of
from search.display.narrator import FIRST_AFTER_SECONDS, Narrator
from search.display.report import print_export, print_notices
from search.driver.signals import Interrupted
from search.errors import DataError, RunDirectoryError
from search.runs.encoding import from_record
from search.space.data_of import image_of_data
from search.space.loading import parse_space
from search.text import markdown
from tests.search import example
from tests.search.command import run
from tests.search.data.data_files import write_images

SPACE = """\
backbone: {family: resnet_v1, depth: 8}
attention: {type: none}
recipe: {augmentation: none}
data: {name: %s, validation: 0.3, test_fraction: 0.2, batch_size: 8}
search: {max_epochs: 1, seed: 1}
"""


def imbalanced(folder: Path) -> Path:
    """36 images of `[sound]` in two formats, 4 of `sick`, and a note."""
    write_images(folder / "[sound]", (90,), 30, size=(8, 8))
    write_images(folder / "[sound]", (80,), 6, size=(8, 8), suffix=".gif")
    write_images(folder / "sick", (200,), 4, size=(8, 8))
    (folder / "sick" / "who[b] knows.txt").write_text("")
    return folder


def test_a_run_says_what_it_does_with_its_data(tmp_path: Path) -> None:
    data = imbalanced(tmp_path / "data")
    (tmp_path / "space.yaml").write_text(SPACE % json.dumps(str(data)))
    arguments = ("--space", tmp_path / "space.yaml", "--directory", tmp_path / "runs")
    first = run(*arguments, "--verbose", COLUMNS="1000")
    lines = first.stdout.splitlines()
    told = [
        "  The images are of several formats: 34 .png, 6 .gif.",
        "  The data has no test split: 8 of its 40 training images, the same share of each class "
        "(test_fraction 0.2), are held out as one.",
        "  1 file is left out, as the suffix is none of an image that Pillow reads: "
        "sick/who[b] knows.txt.",
        "  The classes differ in size: the largest, [sound], has 20 training, 9 validation and 7 "
        "test images, the smallest, sick, 2 training, 1 validation and 1 test images; answering "
        "[sound] to every validation image has an accuracy of 0.9.",
    ]
    assert lines[0].startswith("Searching ") and lines[1:5] == told
    assert "always answering [sound] gets 0.875)" in first.stdout and "chance" not in first.stdout
    directory = tmp_path / "runs" / "space"
    metrics = json.loads((directory / "best" / "metrics.json").read_text())
    assert metrics["constant_answer"] == {"accuracy": 0.875, "class": "[sound]"}
    summary = (directory / "summary.md").read_text()
    assert all(f"* {markdown(line.strip())}" in summary.splitlines() for line in told)
    manifest = json.loads((directory / "data" / "data.json").read_text())
    assert manifest["class_counts"] == {"train": [20, 2], "validation": [9, 1], "test": [7, 1]}

    again = run(*arguments, "--verbose", COLUMNS="1000").stdout.splitlines()
    assert again[0].startswith("Resuming ") and again[1:5] == told
    write_images(data / "sick", (7,), 1, size=(8, 8))
    changed = run(*arguments, "--verbose", check=5, COLUMNS="1000")
    assert "1 file with another content (sick/000.png)" in changed.stderr
    for verb in ("summary", "export", "verify"):  # the results can still be had
        run(verb, directory)


def test_sites_says_it_too(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(SPACE % json.dumps(str(imbalanced(tmp_path / "data"))))
    result = run("sites", "--space", tmp_path / "space.yaml", "--format", "json")
    assert json.loads(result.stdout)
    assert "sick/who[b] knows.txt" in result.stderr and "differ in size" in result.stderr


def test_sites_refuses_data_that_the_search_refuses(tmp_path: Path) -> None:
    write_images(tmp_path / "data" / "a", (1,), 4)
    write_images(tmp_path / "data" / "b", (1,), 2)
    text = SPACE.replace("0.2", "0.4") % json.dumps(str(tmp_path / "data"))
    with pytest.raises(DataError, match="validation split of .* cannot be cut"):
        image_of_data(parse_space(text, "space.yaml"))


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([5, 5, 5], (0, 1 / 3)), ([1, 7, 2], (1, 0.7)), ([3, 9, 9], (1, 9 / 21)), ([0, 4], (1, 1.0))],
)
def test_constant_answer_is_the_share_of_the_largest_class(
    counts: list[int], expected: tuple[int, float]
) -> None:
    assert constant_answer(counts) == expected
    labels = np.repeat(np.arange(len(counts)), counts)
    assert counts_of(labels, len(counts)) == tuple(counts)
    best = max(np.mean(labels == answer) for answer in range(len(counts)))
    assert constant_answer(counts)[1] == best


def test_classes_of_about_one_size_need_no_sentence() -> None:
    counts = {"train": (20, 12, 10), "validation": (4, 3, 2), "test": (2, 2, 1)}
    assert imbalance_notice(counts, "abc") is None
    notice = imbalance_notice({**counts, "train": (21, 12, 10)}, "abc")
    assert notice is not None and "the largest, a, has 21 training" in notice


def test_an_export_of_before_has_no_constant_answer() -> None:
    metrics = {**example.EXPORTED, "trial": "0001-1"}
    header = example.run()
    from_record({"type": "export", "trial": "0001-1", "metrics": metrics}, first=False)
    wrong = {**metrics, "constant_answer": {"accuracy": "high", "class": "a"}}
    with pytest.raises(RunDirectoryError, match="metrics is"):
        from_record({"type": "export", "trial": "0001-1", "metrics": wrong}, first=False)
    for bad in ("x", [1], {"a": "b"}):
        with pytest.raises(RunDirectoryError, match="notices is"):
            from_record({**header, "notices": bad}, first=True)
    from search.driver.export import Exported

    console = Console(record=True, width=300)
    print_export(console, Exported(Path("best"), "0001-1", metrics))
    assert "which the search never read)." in console.export_text()


def test_notices_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    print_notices(Console(), ["[red]a[/b] :smile: \x1b[2J", "b"])
    assert capsys.readouterr().out == "  [red]a[/b] :smile: \\x1b[2J\n  b\n"


def test_narrator_speaks_of_what_takes_long(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    narrator = Narrator()
    narrator("Decoding images", 0, 30)
    now += FIRST_AFTER_SECONDS - 0.1
    narrator("Decoding images", 10, 30)
    assert capsys.readouterr().err == ""
    now += 0.2
    narrator("Decoding images", 1234, 3000)
    narrator("Decoding images", 1235, 3000)
    assert capsys.readouterr().err == "Decoding images: 1,234 of 3,000.\n"
    narrator("Writing arrays", 0, 6)
    assert capsys.readouterr().err == ""


def test_loading_can_be_stopped(tmp_path: Path) -> None:
    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise Interrupted(2)

    space = parse_space(SPACE % json.dumps(str(imbalanced(tmp_path / "data"))), "space.yaml")
    with pytest.raises(Interrupted):
        image_of_data(space, Narrator(check))
    assert asked == 3
