"""How servers are brought onto the machine: once, several at a time, and a failure says why."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.services import __main__ as command_line
from tests.services import recipes, stores
from tests.services.fixtures_servers import require
from tests.services.install import FOLDER_VARIABLE, Installed, InstallError, Piece, Progress, Workshop, bring_all


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of their own for the pieces of these tests."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "servers"))
    return tmp_path / "servers"


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def bring(lines: list[str]) -> Callable[..., dict[str, Installed | InstallError]]:
    return lambda *pieces: bring_all(pieces, Progress(lines.append))


def piece(name: str = "p", version: str = "1.2", *, found: str = "1.2.3", script: str = "", recipe: int = 1) -> Piece:
    def make(workshop: Workshop) -> str:
        workshop.run(["/bin/sh", "-c", f"echo x >>made; {script}"])
        return found

    return Piece(name, version, "a shelf", ("sh",), make, recipe)


def made(brought: Piece) -> str:
    return (brought.folder / "made").read_text()


def test_brought_piece_is_found_again(bring: Callable[..., object]) -> None:
    bring(piece())
    installed = piece().installed()
    assert installed is not None
    assert installed.version == "1.2.3"


def test_missing_piece_is_not_found() -> None:
    assert piece().installed() is None


def test_second_run_makes_nothing(bring: Callable[..., object], lines: list[str]) -> None:
    bring(piece())
    bring(piece(script="exit 1"))
    assert lines[-1].endswith("p: 1.2.3 is there")


@pytest.mark.parametrize("other", [piece(version="1.3"), piece(recipe=2)], ids=["version", "recipe"])
def test_other_pin_is_made_anew(bring: Callable[..., object], other: Piece) -> None:
    bring(piece(script="touch old"))
    bring(other)
    assert not (other.folder / "old").exists()


def test_failure_tells_the_end_of_the_log(bring: Callable[..., dict[str, Installed | InstallError]]) -> None:
    outcome = bring(piece(script="echo no such module; exit 4"))["p"]
    assert str(outcome) == "sh ended with code 4\nno such module"


def test_failed_piece_leaves_nothing(bring: Callable[..., object]) -> None:
    bring(piece(script="exit 4"))
    assert not piece().folder.exists()


def test_interrupted_piece_is_made_anew(bring: Callable[..., object], folder: Path) -> None:
    (folder / "p").mkdir(parents=True)
    (folder / "p/made").write_text("half")
    bring(piece())
    assert made(piece()) == "x\n"


def test_failure_does_not_stop_the_others(bring: Callable[..., dict[str, Installed | InstallError]]) -> None:
    outcomes = bring(piece("a", script="exit 1"), piece("b"))
    assert [type(outcomes[name]) for name in "ab"] == [InstallError, Installed]


def test_missing_program_is_named(bring: Callable[..., dict[str, Installed | InstallError]]) -> None:
    unable = Piece("p", "1", "a shelf", ("no-such-program",), lambda workshop: "1")
    assert str(bring(unable)["p"]) == "needs no-such-program"


def test_version_that_is_not_the_pinned_one_is_told(bring: Callable[..., dict[str, Installed | InstallError]]) -> None:
    outcome = bring(piece(found="2.0"))["p"]
    assert isinstance(outcome, Installed)
    assert outcome.note == "a shelf, pinned is 1.2"


def test_pieces_are_made_at_the_same_time(bring: Callable[..., dict[str, Installed | InstallError]]) -> None:
    # Each waits for the other, so that one after the other would never end.
    wait = "n=0; while [ ! -e ../{other}/made ]; do n=$((n+1)); [ $n -lt 400 ] || exit 1; sleep 0.05; done"
    outcomes = bring(
        piece("a", script=wait.format(other="b")),
        piece("b", script=wait.format(other="a")),
    )
    assert [type(outcome) for outcome in outcomes.values()] == [Installed, Installed]


def test_table_tells_the_command_for_what_is_missing() -> None:
    rows = command_line.table(command_line.found())
    assert "mongodb        -        run: python -m tests.services up mongodb" in rows


def test_table_tells_why_a_piece_failed() -> None:
    rows = command_line.table({"redis": InstallError("needs apt-get\nand more")})
    assert rows[-3].split(maxsplit=2) == ["redis", "-", "needs apt-get; run: python -m tests.services up redis"]


def test_table_tells_version_and_origin_of_what_is_there() -> None:
    rows = command_line.table({"redis": Installed(recipes.REDIS, "7.0.15", 1.0)})
    assert rows[-3].split(maxsplit=3) == ["redis", "redis", "7.0.15", recipes.REDIS.source]


def test_unknown_store_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command_line.main(["up", "mongo"])
    assert "unknown mongo; known are" in capsys.readouterr().err


def test_failed_bring_up_fails_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(recipes.STORES, "redis", (piece(script="exit 1"),))
    assert command_line.main(["up", "redis"]) == 1


def test_clean_removes_the_folder(bring: Callable[..., object], folder: Path) -> None:
    bring(piece())
    command_line.main(["clean"])
    assert not folder.exists()


def test_test_without_its_server_skips_with_the_command(
    pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "required_stores", lambda config: frozenset())
    with pytest.raises(pytest.skip.Exception, match=r"run: python -m tests\.services up redis"):
        require(pytestconfig, "redis")


def test_folder_in_a_private_one_is_not_open_to_all(tmp_path: Path) -> None:
    inner = tmp_path / "private/inner"
    inner.mkdir(parents=True)
    (tmp_path / "private").chmod(0o700)
    assert not recipes.open_to_all(inner)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts a server under another account")
def test_folder_that_the_account_cannot_enter_is_told(
    bring: Callable[..., object], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(recipes.STORES, "mongodb", (piece(),))
    bring(piece())
    folder.chmod(0o700)
    assert f"set {FOLDER_VARIABLE} to a folder" in str(recipes.missing("mongodb"))


def test_test_without_its_required_server_fails(pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "required_stores", lambda config: frozenset({"redis"}))
    with pytest.raises(pytest.fail.Exception, match=r"run: python -m tests\.services up redis"):
        require(pytestconfig, "redis")
