"""``install_langswarm`` gives the package its old name, and takes nothing away from a real LangSwarm."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import langswarm_memory
from langswarm_memory.compat import install_langswarm, uninstall_langswarm

MEMORY = "langswarm.core.memory"

S2_NAMES = """
initialize_memory create_memory_manager create_openai_message messages_to_openai_format create_anthropic_message
messages_to_anthropic_format MemorySessionContext get_global_memory_manager setup_global_memory shutdown_global_memory
"""
GUIDE_NAMES = """
get_memory shutdown_memory create_development_memory create_production_memory create_testing_memory create_redis_memory
create_sqlite_memory create_inmemory_memory get_memory_manager set_memory_manager create_session get_session MemoryError
"""


@pytest.fixture(autouse=True)
def undone() -> Iterator[None]:
    if importlib.util.find_spec("langswarm") is not None:
        pytest.skip("LangSwarm itself is installed, so its name is not ours to take")
    yield
    uninstall_langswarm()
    for name in [name for name in sys.modules if name.partition(".")[0] == "langswarm"]:
        del sys.modules[name]


def real(folder: Path, monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Put packages with a name `REAL` where Python looks for them."""
    for package in packages:
        path = folder / "site" / package.replace(".", "/")
        path.mkdir(parents=True)
        (path / "__init__.py").write_text("REAL = True\n")
    monkeypatch.syspath_prepend(str(folder / "site"))


@pytest.mark.parametrize("name", [*S2_NAMES.split(), *GUIDE_NAMES.split()])
def test_documented_name_is_found(name: str) -> None:
    install_langswarm()
    assert callable(getattr(importlib.import_module(MEMORY), name))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("interfaces", "Message"),
        ("interfaces", "SummaryType"),
        ("backends", "SQLiteBackend"),
        ("base", "BaseMemorySession"),
        ("factory", "MemoryFactory"),
        ("errors", "MemoryBackendError"),
        ("exceptions", "MemoryConnectionError"),
    ],
)
def test_classes_are_the_same_under_both_names(module: str, name: str) -> None:
    install_langswarm()
    found = getattr(importlib.import_module(f"{MEMORY}.{module}"), name)
    assert found is getattr(importlib.import_module(f"langswarm_memory.{module}"), name)


def test_migrator_is_found_where_the_guide_has_it() -> None:
    install_langswarm()
    module = importlib.import_module(f"{MEMORY}.migration")
    assert issubclass(module.V1MemoryMigrator, langswarm_memory.IMemoryMigrator)


def test_attributes_lead_to_the_modules() -> None:
    install_langswarm()
    import langswarm.core.memory.interfaces  # type: ignore[import-not-found]

    assert langswarm.core.memory.interfaces.Message is langswarm_memory.Message


def test_star_import_brings_the_public_names() -> None:
    install_langswarm()
    names: dict[str, object] = {}
    exec(f"from {MEMORY} import *", names)
    assert set(langswarm_memory.__all__) <= set(names)


def test_preset_functions_make_managers() -> None:
    install_langswarm()
    memory = importlib.import_module(MEMORY)
    assert memory.create_sqlite_memory(db_path="x.db").backend.settings.db_path == "x.db"
    assert type(memory.create_testing_memory().backend).__name__ == "InMemoryBackend"


def test_unknown_name_is_refused() -> None:
    install_langswarm()
    with pytest.raises(AttributeError, match="nonsense"):
        _ = importlib.import_module(MEMORY).nonsense
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(f"{MEMORY}.nonsense")


def test_installing_twice_is_installing_once() -> None:
    first = install_langswarm()
    assert install_langswarm() == first


def test_uninstalling_takes_every_module_back() -> None:
    placed = install_langswarm()
    uninstall_langswarm()
    assert [name for name in placed if name in sys.modules] == []
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(MEMORY)


def test_uninstalling_what_is_not_there_does_nothing() -> None:
    uninstall_langswarm()
    assert importlib.util.find_spec("langswarm") is None


def test_installed_module_has_a_spec() -> None:
    install_langswarm()
    assert importlib.util.find_spec(MEMORY) is not None


def test_real_memory_module_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real(tmp_path, monkeypatch, "langswarm", "langswarm.core", MEMORY)
    assert install_langswarm() == ()
    assert importlib.import_module(MEMORY).REAL


def test_real_package_without_a_memory_module_gets_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real(tmp_path, monkeypatch, "langswarm", "langswarm.core")
    placed = install_langswarm()
    assert placed[0] == MEMORY
    assert importlib.import_module("langswarm.core").REAL
    assert importlib.import_module(MEMORY).Message is langswarm_memory.Message


def test_real_package_is_as_before_after_uninstalling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real(tmp_path, monkeypatch, "langswarm", "langswarm.core")
    install_langswarm()
    uninstall_langswarm()
    assert not hasattr(importlib.import_module("langswarm.core"), "memory")
