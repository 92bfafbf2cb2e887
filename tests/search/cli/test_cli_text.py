"""Names of others on the command line: shown as text, taken in every locale, or refused."""

from __future__ import annotations

import argparse
import csv
import io
import json
import types
from pathlib import Path
from typing import Any, cast

import pytest

from search.analysis.summary import to_csv, to_markdown
from search.cli import commands as cli
from search.cli import search as search_command
from search.display.console import make_console
from search.errors import StorageError
from search.runs.journal import encode
from search.runs.run import Run
from search.runs.state import RunState
from tests.search import example
from tests.search.command import run

ESCAPES = "\x1b]0;owned\x07\x1b[2J"


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a wrong command line is told, whoever tells it."""
    try:
        code = cli.main(list(arguments))
    except SystemExit as stop:
        code = int(str(stop.code))
    shown = capsys.readouterr()
    assert code == 2 and not shown.out
    assert "\x1b" not in shown.err and "\u202e" not in shown.err
    return shown.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("sumary", "runs/x"), "there is no command 'sumary'. Did you mean 'summary'?"),
        (("verfy",), "Did you mean 'verify'?"),
        (
            (".",),
            ". is a folder; say what to do with it: one of compare, confirm, export, "
            "importance, sites, summary, verify",
        ),
        ((__file__,), f"to search the space {__file__}, run cbam-search --space {__file__}"),
        (("--json", "summary", "runs/x"), "the command comes first: cbam-search summary"),
        ((f"{ESCAPES}x",), r"there is no command '\x1b]0;owned\x07\x1b[2Jx'"),
        (("--space", "x", f"--{ESCAPES}"), r"unrecognized arguments: --\x1b]0;owned\x07\x1b[2J"),
        (("--space", "x", "--workers", ESCAPES), r"\x1b]0;owned"),
        (("summary", "x", "--format", "\u202efdp"), r"\u202efdp"),
        (("--space", "x", "--overw"), "unrecognized arguments: --overw"),
        (("--spa", "x"), "--space"),
        (("--space", "quickstart", "--name", ""), "--name is empty"),
        (("--space", "quickstart", "--directory", ""), "--directory is empty"),
    ],
)
def test_a_wrong_command_line_is_told_what_is_wrong(
    arguments: tuple[str, ...], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in said(capsys, *arguments)


@pytest.mark.parametrize(
    "options", [("--name", "caf\udce9"), ("--data", "caf\udce9"), ("--directory", "\udcff/x")]
)
def test_bytes_that_are_no_text_are_refused_before_anything_is_spent(
    options: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    space = tmp_path / "small.yaml"
    space.write_text("backbone: {depth: 8}\ndata: {name: cifar10-sample}\n")
    where = () if "--directory" in options else ("--directory", str(tmp_path / "runs"))
    told = said(capsys, "--space", str(space), *where, *options)
    assert "bytes that are no text in this locale" in told and r"\x" in told
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


def test_a_search_that_is_too_large_is_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--space", "quickstart", "--directory", str(tmp_path / "runs")]
    sizes = ["--max-epochs", "100000", "--hyperband-iterations", "1000"]
    assert cli.main([*arguments, *sizes]) == 3
    told = capsys.readouterr().err
    assert "would begin with 93,635,000 trials" in told and "at most 200,000" in told
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_any_name_works_in_any_locale(tmp_path: Path) -> None:
    """Markup, emoji, a pattern of TensorFlow's, a mark that turns the line, another script."""
    name = "[red]:smile:[b]*\u202e \u732b"
    space = tmp_path / "sp[ace].yaml"
    space.write_text(
        "backbone: {depth: 8}\ndata: {name: cifar10-sample, limit: 60, validation: 20, "
        "batch_size: 20}\nsearch: {max_epochs: 1}\n"
    )
    arguments = ("--space", space, "--directory", tmp_path / "a[b", "--name", name)
    plain = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C.UTF-8"}
    done = run(*arguments, "--verbose", **plain)
    shown = r"[red]:smile:[b]*\u202e \u732b"
    assert f"{tmp_path}/a[b/{shown}:" in done.stdout.splitlines()[0]
    assert "Exported trial 0000" in done.stdout and "0.0e+00" in done.stdout
    folder = tmp_path / "a[b" / name
    assert r"\u202e" in run("summary", folder / "no", check=5, **plain).stderr
    again = run("export", folder, "--json", **plain)
    assert json.loads(again.stdout)["best"]["folder"] == str(folder / "best")


# ---- a stranger's journal ---------------------------------------------------------------


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A run directory whose every text wants to be more than text."""
    records = json.loads(json.dumps(example.RECORDS))
    evil = f"{ESCAPES}|<b>*x*[y](z) [red]\u202e"
    for record in records:
        if record["type"] == "trial" and record["trial"] == "0002":
            record["configuration"]["attention"]["type"] = evil
            record["preset"] = f"=cmd|{ESCAPES}"
        if record["type"] == "ended" and record["reason"]:
            record["reason"] = f"=HYPERLINK(1)\n{evil}"
            record["output"] = [f"line {evil}"]
    (tmp_path / "journal.jsonl").write_bytes(b"".join(map(encode, records)))
    return tmp_path


@pytest.mark.parametrize("form", ["table", "csv", "markdown", "json"])
def test_a_summary_is_text(form: str, hostile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["summary", str(hostile), "--format", form]) == 0
    printed = capsys.readouterr().out
    assert not {"\x1b", "\x07", "\u202e"} & set(printed)
    assert "[red]" in printed.replace("\\[", "[").replace("\\]", "]")
    if form == "csv":
        cells = [cell for row in csv.reader(io.StringIO(printed)) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "@", "+", "-"))]
        assert any(cell.startswith("'=HYPERLINK(1)\n") for cell in cells)
    if form == "markdown":
        table = [line for line in printed.splitlines() if line.startswith("|")]
        assert any(r"\<b\>\*x\*\[y\](z)" in line for line in table)
        widths = {line.replace(r"\|", "").count("|") for line in table[:7]}
        assert len(widths) == 1


def test_the_files_of_a_summary_are_text(hostile: Path) -> None:
    from search.analysis.summary import rows, write_summary
    from search.runs.run import load_run

    state = load_run(hostile)
    write_summary(hostile, state)
    assert (hostile / "summary.csv").read_bytes() == to_csv(rows(state)).encode()
    assert (hostile / "summary.md").read_text("utf-8") == to_markdown(state)
    assert "\x1b" not in to_markdown(state) + to_csv(rows(state))


# ---- advice -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--space", "my space.yaml"], "run the same command again:"),
        (["--space=s", "--overwrite"], "run it again without --overwrite"),
        (["--overwrite", "--space", "s", "--name", "\x1b"], "run it again without --overwrite"),
    ],
)
def test_the_way_to_go_on_deletes_nothing(arguments: list[str], expected: str) -> None:
    console, text = make_console(), io.StringIO()
    console.file = text
    state = RunState.replay(example.RECORDS[:5])
    stopped = cast(Run, types.SimpleNamespace(state=state, path=Path("runs/s")))
    search_command._say_stopped(console, stopped, KeyboardInterrupt("SIGINT"), arguments)
    told = " ".join(text.getvalue().split())
    assert expected in told and "1 finished trial, and" in told
    command = text.getvalue().splitlines()[-1]
    assert command.startswith("  cbam-search ") and "--overwrite" not in command
    assert "\x1b" not in command


def test_a_message_does_not_say_to_delete_what_it_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(options: argparse.Namespace) -> Any:
        raise StorageError("cannot write: No space left. Make room, then run the same command.")

    monkeypatch.setattr(search_command, "carry_out", refuse)
    assert cli.main(["--space", "x"]) == 7
    assert "--overwrite" not in capsys.readouterr().err
    assert cli.main(["--space", "x", "--overwrite"]) == 7
    assert "Leave out --overwrite then" in capsys.readouterr().err
