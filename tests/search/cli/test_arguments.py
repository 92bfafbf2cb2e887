"""Numbers on the command line: bounded, and refused in our own words."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import pytest

from search.cli.arguments import MAX_WORKERS, search_parser, sites_parser

Parser = Callable[[], argparse.ArgumentParser]


def refused(parser: Parser, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        parser().parse_args(["--space", "quickstart", *arguments])
    assert stopped.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("workers", [1, 2, MAX_WORKERS])
def test_workers(workers: int) -> None:
    arguments = ["--space", "quickstart", "--workers", str(workers)]
    assert search_parser().parse_args(arguments).workers == workers


@pytest.mark.parametrize(
    "workers",
    ["0", "-1", "1025", "1000000000", "9" * 400, "two", "", "1.0", "1e3", "1_0", "٣", "²", "0x10"],
)
def test_workers_that_are_none(workers: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(search_parser, capsys, f"--workers={workers}")
    assert "argument --workers: expected a whole number from 1 to 1024. Received: " in said
    assert "_" not in said.replace(workers, "").replace("FILE_OR_NAME", "")  # no name of ours
    assert len(said) < 400


@pytest.mark.parametrize(
    "option", ["--seed", "--max-epochs", "--hyperband-iterations", "--limit", "--keep"]
)
@pytest.mark.parametrize("value", ["many", "1.5", "9" * 5000])
def test_other_numbers(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(search_parser, capsys, f"{option}={value}")
    assert f"argument {option}: expected a whole number from " in said and len(said) < 500


@pytest.mark.parametrize("image", ["32", "32x32", "0x32x3", "²x32x3", "32xx3", f"{9**400}x1x1"])
def test_images(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "argument --image: expected " in refused(sites_parser, capsys, f"--image={image}")
