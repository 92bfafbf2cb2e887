"""Every wrong input: one clear message, its exit code, no traceback, nothing changed on disk."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from search import errors
from search.cli import arguments
from search.cli import commands as cli
from search.runs.journal import encode
from tests.script import script
from tests.search.command import SMALL_SPACE, command, environment, run

ROOT = Path(__file__).parents[3]


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL_SPACE)
    return path


def refused(
    capsys: pytest.CaptureFixture[str], folder: Path, code: int, *arguments: object
) -> str:
    """Runs the command line on arguments that it must refuse; returns what it says."""
    before = snapshot(folder)
    assert cli.main([str(argument) for argument in arguments]) == code
    said = capsys.readouterr().err
    assert said.startswith("cbam-search: ") and "Traceback" not in said
    assert snapshot(folder) == before
    return said


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"\xff\xfe\x00\x01", "not UTF-8"),
        (b"backbone: [", "small.yaml:1"),
        (b"backbone: {family: resnet_v1, depht: 20}", "Did you mean 'depth'"),
        (b"backbone: {depth: 21}", "valid depths near it are 20 and 26"),
        (b"backbone: {depth: twenty}", "expected a whole number"),
        (b"backbone: {}\nattention: {type: cbam, spatial_kernel_size: 4}", "3, 5, 7"),
        (b"backbone: {}\nattention: {type: cbm}", "Did you mean 'cbam'"),
        (b"backbone: {}\nattention: {type: {choice: []}}", "choice takes a list"),
        (b"- backbone", "a space is a mapping"),
        (b"x" * 100_001, "more than 100,000 bytes"),
    ],
)
def test_wrong_spaces(
    content: bytes, expected: str, space: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space.write_bytes(content)
    said = refused(capsys, tmp_path, 3, "--space", space, "--directory", tmp_path / "runs")
    assert expected in said


def test_missing_space(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, tmp_path, 3, "--space", "quikstart", "--directory", tmp_path)
    assert "Did you mean 'quickstart'" in said
    said = refused(capsys, tmp_path, 3, "--space", tmp_path / "no.yaml", "--directory", tmp_path)
    assert "there is no space at" in said


@pytest.mark.parametrize(
    ("attention", "expected"),
    [
        ("{type: se, reduction_ratio: 128}", "above the channels"),
        ("{type: cbam, stages: [4]}", "the backbone has 3 stages"),
        ("{type: se, reduction_ratio: {choice: [8, 128]}}", "128 is on offer"),
        ("{type: cbam, stages: {choice: [all, [2, 4]]}}", "2,4 is on offer"),
        ("{type: bam, stages: [3], dilation: {choice: [1, 6]}}", "dilation: 6 is on offer"),
    ],
)
def test_a_space_that_can_build_nothing(
    attention: str,
    expected: str,
    space: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    space.write_text(
        f"backbone: {{depth: 8}}\nattention: {attention}\n"
        "data: {name: cifar10-sample}\nsearch: {max_epochs: 1}\n"
    )
    said = refused(capsys, tmp_path, 3, "--space", space, "--directory", tmp_path / "runs")
    assert expected in said and any(
        words in said for words in ("can be built", "cannot be built", "fits no configuration")
    )


def test_constraint_that_nothing_meets(
    space: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space.write_text(SMALL_SPACE + "constraints: {max_parameters: 1k}\n")
    said = refused(capsys, tmp_path, 3, "--space", space, "--directory", tmp_path / "runs")
    assert "constraints.max_parameters (1,000)" in said


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("cifar11", "cifar10"),
        ("float.npz", "uint8"),
        ("short.npz", "validation"),
        ("text.npz", "text.npz"),
    ],
)
def test_unusable_data(
    data: str, expected: str, space: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = np.zeros((20, 8, 8, 3))
    labels = np.arange(20) % 10
    arrays = {"y_train": labels, "y_test": labels}
    np.savez(tmp_path / "float.npz", x_train=images, x_test=images, **arrays)
    tiny = images.astype("uint8")
    np.savez(tmp_path / "short.npz", x_train=tiny, x_test=tiny, **arrays)
    (tmp_path / "text.npz").write_text("not an archive")
    name = tmp_path / data if data.endswith(".npz") else data
    said = refused(
        capsys, tmp_path, 4, "--space", space, "--data", name, "--directory", tmp_path / "runs"
    )
    assert expected in said


def test_directory_of_another_program(
    space: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs" / "small").mkdir(parents=True)
    (tmp_path / "runs" / "small" / "thesis.tex").write_text("years of work")
    arguments = ("--space", space, "--directory", tmp_path / "runs")
    assert "thesis.tex" in refused(capsys, tmp_path, 5, *arguments)
    assert "thesis.tex" in refused(capsys, tmp_path, 5, *arguments, "--overwrite")
    (tmp_path / "runs" / "small" / "oracle.json").write_text("{}")
    assert "KerasTuner project" in refused(capsys, tmp_path, 5, *arguments)


def test_run_directory_is_a_file(
    space: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "small").write_text("")
    said = refused(capsys, tmp_path, 5, "--space", space, "--directory", tmp_path / "runs")
    assert "is a file" in said


@pytest.mark.parametrize("command_name", ["export", "summary"])
def test_commands_on_what_is_no_run(
    command_name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "not a run directory" in refused(capsys, tmp_path, 5, command_name, tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_directory_that_cannot_be_written(
    space: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # /proc refuses new folders even to the superuser.
    said = refused(capsys, tmp_path, 7, "--space", space, "--directory", "/proc/cbam-search")
    assert "cannot write" in said


@pytest.mark.parametrize("name", ["../elsewhere", "..", ".", "/", "/etc", "a/b", "a/", "a/.."])
def test_name_is_not_a_path(
    name: str, space: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--space", space, "--directory", tmp_path / "runs", "--name", name)
    assert "--name is a name" in refused(capsys, tmp_path, 2, *arguments)


@pytest.mark.parametrize("name", ["n" * 300, "a\0b"])
def test_name_that_no_file_can_have(
    name: str, space: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--space", space, "--directory", tmp_path / "runs", "--name", name)
    assert "--name" in refused(capsys, tmp_path, 2, *arguments)


def test_directory_that_no_file_system_has(
    space: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = tmp_path / ("n" * 300)
    assert "File name too long" in refused(
        capsys, tmp_path, 7, "--space", space, "--directory", long
    )
    for name in ("summary", "export", "verify"):
        assert "is not a run directory" in refused(capsys, tmp_path, 5, name, long)


@pytest.mark.parametrize("data", ["../tiny", "/etc/passwd", "/dev/zero", "/proc/self/mem", "/"])
def test_data_of_a_stranger_is_read_and_nothing_else(
    data: str, space: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A space may name any path; what is no data is refused and not shown."""
    arguments = ("--space", space, "--directory", tmp_path / "runs", "--data", data)
    said = refused(capsys, tmp_path, 4, *arguments)
    assert "root:" not in said


@pytest.mark.parametrize(
    "arguments", [[], ["--space"], ["--space", "x", "--workers", "0"], ["--spce", "x"]]
)
def test_wrong_command_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert "usage: cbam-search" in capsys.readouterr().err


def test_run_of_another_space_and_of_a_driven_one(space: Path, tmp_path: Path) -> None:
    arguments = ("--space", space, "--directory", tmp_path / "runs", "--workers", 2)
    run(*arguments, "--max-epochs", 1)
    path = tmp_path / "runs" / "small"
    before = snapshot(path)
    said = run(*arguments, "--max-epochs", 1, "--seed", 4, check=5).stderr
    assert "search.seed: 3 in the run, 4 now" in said
    space.write_text(SMALL_SPACE.replace("[none, se, cbam]", "[none, cbam]"))
    said = run(*arguments, "--max-epochs", 1, check=5).stderr
    assert "attention.type: {'choice': ['none', 'se', 'cbam']} in the run" in said
    space.write_text(SMALL_SPACE)
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from pathlib import Path\n"
            "from search.storage.files import FileLock\n"
            f"lock = FileLock(Path({str(path / 'lock')!r})); lock.acquire()\n"
            "print('held', flush=True)\n"
            "time.sleep(3600)",
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout and holder.stdout.readline() == b"held\n"
        said = run(*arguments, "--max-epochs", 1, check=6).stderr
        assert f"process {holder.pid}" in said
    finally:
        holder.kill()
        holder.wait()
    after = snapshot(path)
    assert {name: content for name, content in after.items() if name != "lock"} == {
        name: content for name, content in before.items() if name != "lock"
    }
    # A finished search that is run again trains nothing and says the same.
    again = run(*arguments, "--max-epochs", 1)
    assert "Resuming" in again.stdout and "Exported trial" in again.stdout
    assert (path / "journal.jsonl").read_bytes() == before["journal.jsonl"]


@pytest.mark.slow
def test_json_result_is_json_alone(space: Path, tmp_path: Path) -> None:
    import json

    result = run("--space", space, "--directory", tmp_path, "--max-epochs", 1, "--json")
    content = json.loads(result.stdout)
    assert content["best"]["trial"] in {row["trial"] for row in content["trials"]}
    summary = run("summary", tmp_path / "small", "--format", "json")
    assert json.loads(summary.stdout)["test_reads"][0]["type"] == "test_read"


def test_run_of_another_format(
    space: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "runs" / "small"
    path.mkdir(parents=True)
    (path / "lock").touch()
    (path / "journal.jsonl").write_bytes(encode({"type": "run", "format": 99}))
    assert cli.main(["--space", str(space), "--directory", str(tmp_path / "runs")]) == 5
    assert "format 99" in capsys.readouterr().err


def test_exit_codes_are_documented() -> None:
    documented = {int(code) for code in re.findall(r"\b(\d+)\b", arguments.EPILOG)}
    codes = {
        error.exit_code
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.CbamSearchError)
    }
    assert codes - {1} <= documented
    readme = (ROOT / "README.md").read_text()
    for code in sorted(codes - {1}):
        assert re.search(rf"^\| {code} \|", readme, re.MULTILINE), code


def test_help_is_instant_and_light() -> None:
    def seconds() -> float:
        began = os.times()
        subprocess.run(command("--help"), capture_output=True, check=True, env=environment())
        ended = os.times()
        return (
            ended.children_user
            + ended.children_system
            - (began.children_user + began.children_system)
        )

    # CPU time, not wall time: a busy machine must not fail it; the limit is for the wall.
    assert statistics.median(seconds() for _ in range(5)) < 0.35
    probe = (
        "import sys; from search.cli.commands import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'keras', 'tensorflow', 'numpy', 'rich', 'yaml'} & set(sys.modules)))"
    )
    assert script(probe).splitlines()[-1] == "[]"


def test_driver_never_loads_tensorflow(space: Path, tmp_path: Path) -> None:
    probe = (
        "import sys; from search.cli.commands import main\n"
        f"code = main(['--space', {str(space)!r}, '--directory', {str(tmp_path)!r}, "
        "'--max-epochs', '1'])\n"
        "print(code, 'tensorflow' in sys.modules, 'jax' in sys.modules)"
    )
    script = tmp_path / "drive.py"
    script.write_text(
        f"if __name__ == '__main__':\n    {probe.replace(chr(10), chr(10) + '    ')}\n"
    )
    result = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        env=environment(PYTHONPATH=str(ROOT)),
        timeout=600,
    )
    assert result.stdout.splitlines()[-1] == "0 False False", result.stdout + result.stderr


def test_shipped_spaces_are_named_in_help() -> None:
    from search.space.loading import shipped_spaces

    text = run("--help").stdout
    assert all(name in text for name in shipped_spaces())
