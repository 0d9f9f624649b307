"""Configuration in every form, the factory, and the global manager."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from langswarm_memory import (
    InMemoryBackend,
    MemoryBackendType,
    MemoryConfiguration,
    MemoryConfigurationError,
    MemoryFactory,
    MemoryManager,
    MemorySessionContext,
    Message,
    PostgresBackend,
    SessionStatus,
    SQLiteBackend,
    create_memory_backend,
    create_memory_manager,
    create_session,
    get_global_memory_manager,
    get_memory_manager,
    get_session,
    initialize_memory,
    set_memory_manager,
    setup_global_memory,
    shutdown_global_memory,
    teardown_global_memory,
)
from langswarm_memory.configuration import URL_VARIABLE


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(URL_VARIABLE, raising=False)


def backend_of(manager: MemoryManager | None) -> Any:
    assert manager is not None
    return manager.backend


@pytest.mark.parametrize(
    ("arguments", "options", "kind"),
    [
        ((), {}, SQLiteBackend),
        ((True,), {}, SQLiteBackend),
        (("auto",), {}, SQLiteBackend),
        (("memory",), {}, InMemoryBackend),
        (("in_memory",), {}, InMemoryBackend),
        (("sqlite",), {"db_path": "x.db"}, SQLiteBackend),
        (("sqlite",), {"db_path": "x.db", "pool_size": 10, "timeout": 30}, SQLiteBackend),
        (("sqlite", {"db_path": "x.db"}), {}, SQLiteBackend),
        ((), {"backend": "sqlite", "db_path": "x.db"}, SQLiteBackend),
        (({"backend": "sqlite", "settings": {"db_path": "x.db"}},), {}, SQLiteBackend),
        (({"backend": "sqlite", "config": {"db_path": "x.db"}},), {}, SQLiteBackend),
        (({"backend": "sqlite", "db_path": "x.db"},), {}, SQLiteBackend),
        (("sqlite:///x.db",), {}, SQLiteBackend),
        (("sqlite+aiosqlite:///x.db",), {}, SQLiteBackend),
        (("memory://",), {}, InMemoryBackend),
        (("postgresql://u:p@h/d",), {}, PostgresBackend),
        (("postgresql+asyncpg://u:p@h/d",), {}, PostgresBackend),
        (("pg",), {"url": "postgres://u:p@h/d"}, PostgresBackend),
        ((), {"backend": "postgres", "host": "h", "port": 5433, "user": "u", "password": "p"}, PostgresBackend),
        ((MemoryConfiguration(backend="in_memory"),), {}, InMemoryBackend),
        (("development",), {}, SQLiteBackend),
        (("testing",), {}, InMemoryBackend),
        (("production",), {}, SQLiteBackend),
        (("cloud",), {}, SQLiteBackend),
    ],
)
def test_every_form_makes_its_backend(arguments: tuple[Any, ...], options: dict[str, Any], kind: type) -> None:
    assert type(backend_of(create_memory_manager(*arguments, **options))) is kind


@pytest.mark.parametrize(
    ("config", "options", "path"),
    [
        ("sqlite", {"db_path": "x.db"}, "x.db"),
        ({"backend": "sqlite", "settings": {"db_path": "x.db"}}, {}, "x.db"),
        ({"backend": "sqlite", "settings": {"db_path": "a"}, "config": {"db_path": "b"}}, {}, "b"),
        ({"backend": "sqlite", "config": {"db_path": "b"}, "db_path": "c"}, {}, "c"),
        ({"backend": "sqlite", "db_path": "c"}, {"db_path": "d"}, "d"),
        ("development", {}, "./langswarm_dev_memory.db"),
        ("development", {"db_path": "mine.db"}, "mine.db"),
        ("sqlite:////tmp/abs.db", {}, "/tmp/abs.db"),
        ("sqlite://", {}, ":memory:"),
        (True, {}, "langswarm_memory.db"),
    ],
)
def test_more_explicit_options_win(config: Any, options: dict[str, Any], path: str) -> None:
    assert backend_of(create_memory_manager(config, **options)).settings.db_path == path


def test_false_means_no_memory() -> None:
    assert create_memory_manager(False) is None
    assert create_memory_manager({"enabled": False}) is None


def test_factory_refuses_a_disabled_configuration() -> None:
    with pytest.raises(MemoryConfigurationError, match="disabled"):
        MemoryFactory.create_backend(False)


def test_environment_names_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL_VARIABLE, "sqlite:///from-environment.db")
    for form in (True, "auto", "production", "cloud"):
        assert backend_of(create_memory_manager(form)).settings.db_path == "from-environment.db"


def test_environment_does_not_touch_an_explicit_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL_VARIABLE, "sqlite:///from-environment.db")
    assert backend_of(create_memory_manager("sqlite")).settings.db_path == "langswarm_memory.db"


def test_debug_mode_means_in_memory() -> None:
    assert type(backend_of(create_memory_manager(True, debug_mode=True))) is InMemoryBackend


@pytest.mark.parametrize(
    ("config", "options", "hint"),
    [
        ("sqlite", {"db_pth": "x"}, "did you mean 'db_path'"),
        ("postgres", {"usr": "x"}, "did you mean 'user'"),
        ("sqlte", {}, "did you mean 'sqlite'"),
        ({"backend": "sqlite", "settings": {"enable_wall": True}}, {}, "did you mean 'enable_wal'"),
        ("mysql://h/d", {}, "sqlite://"),
        ("nothing-like-it", {}, "in_memory"),
        (3.5, {}, "float"),
        ({"backend": 5}, {}, "backend"),
        ({"backend": "sqlite", "settings": "x.db"}, {}, "settings"),
        ("sqlite", {"pool_size": 0}, "pool_size"),
        ("sqlite", {"synchronous": "SOMETIMES"}, "FULL"),
        ("sqlite", {"journal_mode": "wal; DROP TABLE sessions"}, "WAL"),
        ("sqlite", {"timeout": "5"}, "timeout"),
        ("sqlite", {"auto_vacuum": "sometimes"}, "incremental"),
        ("sqlite", {"ttl": -1}, "ttl"),
        ("sqlite", {"overflow": "drop"}, "keep"),
        ("sqlite", {"max_messages": 0}, "max_messages"),
        ("sqlite://relative.db", {}, "three slashes"),
        ("postgres", {"port": 70_000}, "port"),
        ("postgres", {"max_size": 0}, "max_size"),
        ("postgres", {"table_prefix": "ls_"}, "schema"),
        ("postgres", {"url": "sqlite:///x.db"}, "not postgresql"),
        (True, {"cleanup_interval": 0}, "cleanup_interval"),
    ],
)
def test_wrong_configuration_says_what_and_what_instead(config: Any, options: dict[str, Any], hint: str) -> None:
    with pytest.raises(MemoryConfigurationError, match=hint):
        create_memory_manager(config, **options)


def test_backend_given_twice_is_refused() -> None:
    with pytest.raises(MemoryConfigurationError, match="once"):
        create_memory_manager("sqlite", backend="postgres")


@pytest.mark.parametrize("text", ["postgresql://u:s3cret@h:notaport/d", "postgresql://u:s3cret@[::1/d"])
def test_wrong_url_does_not_show_its_password(text: str) -> None:
    with pytest.raises(MemoryConfigurationError) as caught:
        PostgresBackend(text)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_settings_do_not_show_their_secrets() -> None:
    backend = PostgresBackend(url="postgresql://u:s3cret@h/d", password="s3cret")
    assert "s3cret" not in repr(backend.settings)
    assert "s3cret" not in repr(backend)


@pytest.mark.parametrize(
    ("option", "value", "name"),
    [("ttl_seconds", 60, "ttl"), ("max_messages_per_session", 5, "max_messages"), ("path", "x", "db_path")],
)
def test_aliases_name_the_same_option(option: str, value: object, name: str) -> None:
    assert getattr(SQLiteBackend(**{option: value}).settings, name) == value  # type: ignore[arg-type]


def test_one_option_under_two_names_is_refused_when_they_differ() -> None:
    with pytest.raises(MemoryConfigurationError, match="twice"):
        SQLiteBackend({"ttl": 1, "ttl_seconds": 2})


def test_wal_off_means_delete_journal() -> None:
    assert SQLiteBackend(enable_wal=False).settings.journal_mode == "DELETE"


def test_path_alone_configures_sqlite() -> None:
    assert SQLiteBackend("old.db").settings.db_path == "old.db"


def test_session_ttl_reaches_the_backend() -> None:
    backend = backend_of(create_memory_manager("memory", session_ttl=60))
    assert (backend.expiry(backend.clock()) - backend.clock()).total_seconds() == pytest.approx(60, abs=5)


def test_validate_lists_what_is_wrong() -> None:
    issues = MemoryConfiguration(backend="sqlite", settings={"nope": 1}, cleanup_interval=0).validate()
    assert len(issues) == 2
    assert MemoryConfiguration(backend="in_memory").validate() == []


def test_from_string_takes_presets_names_and_urls() -> None:
    assert MemoryConfiguration.from_string("testing").backend == "in_memory"
    assert MemoryConfiguration.from_string("pg").backend == "postgres"
    assert MemoryConfiguration.from_string("sqlite:///x.db").settings == {"db_path": "sqlite:///x.db"}


def test_factory_lists_and_describes_backends() -> None:
    assert {"in_memory", "sqlite", "postgres"} <= set(MemoryFactory.list_backends())
    assert set(MemoryFactory().get_available_backends()) >= {"in_memory", "sqlite"}
    info = MemoryFactory.get_backend_info("postgresql")
    assert (info["name"], info["class"], info["available"]) == ("postgres", "PostgresBackend", True)
    with pytest.raises(ValueError, match="unknown backend"):
        MemoryFactory.get_backend_info("nope")


def test_registered_backend_is_found_by_name() -> None:
    class Custom(InMemoryBackend):
        pass

    factory = MemoryFactory()
    factory.register_backend("custom-for-a-test", Custom)
    assert type(backend_of(create_memory_manager("custom-for-a-test"))) is Custom
    assert type(create_memory_backend("custom-for-a-test")) is Custom
    assert "custom-for-a-test" in factory.get_available_backends()


def test_only_backends_can_be_registered() -> None:
    with pytest.raises(MemoryConfigurationError, match="IMemoryBackend"):
        MemoryFactory.register_backend("dict", dict)  # type: ignore[arg-type]


async def test_awaiting_a_manager_starts_it() -> None:
    manager = await MemoryFactory.create_manager("memory")
    assert manager.backend.is_connected
    await manager.stop()


def test_create_takes_name_and_config() -> None:
    assert backend_of(MemoryFactory.create("sqlite", config={"db_path": "x.db"})).settings.db_path == "x.db"


# --- the global manager -------------------------------------------------------------------------------------------


@pytest.fixture
def no_global() -> Iterator[None]:
    set_memory_manager(None)
    yield
    set_memory_manager(None)


@pytest.fixture
async def in_memory_global(no_global: None) -> AsyncIterator[MemoryManager]:
    manager = initialize_memory("testing")
    assert manager is not None
    yield manager
    await shutdown_global_memory()


@pytest.mark.usefixtures("no_global")
def test_initialize_sets_one_global_for_all_names() -> None:
    manager = initialize_memory(memory="testing")
    assert manager is get_global_memory_manager() is get_memory_manager()
    assert initialize_memory(config=False) is None
    assert get_memory_manager() is None


@pytest.mark.usefixtures("no_global")
async def test_setup_is_truthy_and_can_be_awaited() -> None:
    assert setup_global_memory("testing")
    assert not setup_global_memory(False)
    manager = await setup_global_memory("testing")
    assert manager.backend.is_connected
    await shutdown_global_memory()
    assert get_global_memory_manager() is None
    assert not manager.backend.is_connected


@pytest.mark.usefixtures("no_global")
def test_teardown_works_without_an_event_loop() -> None:
    initialize_memory("testing")
    teardown_global_memory()
    assert get_memory_manager() is None


@pytest.mark.usefixtures("no_global")
async def test_teardown_inside_a_loop_stops_in_the_background() -> None:
    manager = await setup_global_memory("testing")
    teardown_global_memory()
    await shutdown_global_memory()
    assert not manager.backend.is_connected


@pytest.mark.usefixtures("no_global")
async def test_without_a_manager_the_helpers_answer_none() -> None:
    assert await create_session("s") is None
    assert await get_session("s") is None


@pytest.mark.usefixtures("in_memory_global")
async def test_helpers_use_the_global_manager() -> None:
    made = await create_session("s", user_id="u")
    found = await get_session("s")
    assert made is not None
    assert found is not None
    assert found.metadata.user_id == "u"


@pytest.mark.usefixtures("in_memory_global")
async def test_context_makes_a_session_and_finds_it_again() -> None:
    async with MemorySessionContext(session_id="s", user_id="u", max_tokens=16_000) as session:
        await session.add_message(Message("user", "hi"))
    async with MemorySessionContext(session_id="s", user_id="u") as session:
        assert [message.text for message in await session.get_messages()] == ["hi"]
        assert session.metadata.max_tokens == 16_000
        assert session.metadata.status == SessionStatus.ACTIVE


@pytest.mark.usefixtures("in_memory_global")
async def test_error_inside_the_context_keeps_what_was_added() -> None:
    with pytest.raises(RuntimeError, match="boom"):  # noqa: PT012 - the block is what is tested
        async with MemorySessionContext(session_id="s") as session:
            await session.add_message(Message("user", "hi"))
            raise RuntimeError("boom")
    session = await get_session("s")
    assert session is not None
    assert len(await session.get_messages()) == 1


@pytest.mark.usefixtures("in_memory_global")
async def test_context_closes_when_asked() -> None:
    async with MemorySessionContext(session_id="s", close_on_exit=True):
        pass
    session = await get_session("s")
    assert session is not None
    assert session.metadata.status == SessionStatus.COMPLETED


@pytest.mark.usefixtures("no_global")
async def test_context_without_a_manager_says_what_to_do() -> None:
    with pytest.raises(MemoryConfigurationError, match="initialize_memory"):
        async with MemorySessionContext(user_id="u"):
            pass


def test_backend_kind_is_an_enum_member() -> None:
    assert InMemoryBackend().backend_type is MemoryBackendType.IN_MEMORY
