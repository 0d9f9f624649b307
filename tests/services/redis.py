"""Real Redis servers on loopback: plain, with the search module, and a cluster of three plain ones."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Literal, Self, cast
from uuid import uuid4

from redis import Redis, RedisCluster

from tests.services.recipes import REDIS, redis_stack_folder
from tests.services.server import Server, StopMode, await_condition

URL_VARIABLE = "LANGSWARM_TEST_REDIS_URL"
STACK_URL_VARIABLE = "LANGSWARM_TEST_REDIS_STACK_URL"
CLUSTER_URL_VARIABLE = "LANGSWARM_TEST_REDIS_CLUSTER_URL"

SLOTS = 16_384
CLUSTER_NODES = 3

DEFAULT_SETTINGS = {
    "bind": "127.0.0.1",
    "save": "",  # nothing is kept over a restart, unless the test asks for it
    "appendonly": "no",
    "daemonize": "no",
}


@dataclass(frozen=True, slots=True)
class RedisService:
    """A Redis that answers at a URL, whoever runs it. `cluster` says that the URL is a cluster's node."""

    url: str
    cluster: bool = False

    @contextmanager
    def client(self) -> Iterator[Redis | RedisCluster]:
        """A blocking connection, for looking into the server from a test."""
        client = RedisCluster.from_url(self.url) if self.cluster else Redis.from_url(self.url)
        try:
            yield client
        finally:
            client.close()

    def version(self) -> str:
        """Ask the server for its version."""
        # Of one node: a cluster's client would ask all, and answer with a table.
        with Redis.from_url(self.url) as client:
            return str(cast("dict[str, Any]", client.info("server"))["redis_version"])

    @contextmanager
    def fresh_prefix(self) -> Iterator[str]:
        """Yield a prefix for keys that nobody else uses, and delete the keys that begin with it."""
        prefix = f"test_{uuid4().hex}:"
        try:
            yield prefix
        finally:
            with self.client() as client:
                for key in client.scan_iter(match=f"{prefix}*", count=1000):
                    client.delete(key)


def service_from_environment(variable: str = URL_VARIABLE) -> RedisService | None:
    """Return the server that the environment names, or None."""
    url = os.environ.get(variable)
    return RedisService(url, cluster=variable == CLUSTER_URL_VARIABLE) if url else None


class RedisServer(Server):
    """A Redis of our own, without persistence unless `settings` asks for it.

    Args:
        settings: Settings of redis.conf on top of the defaults: `{"appendonly": "yes"}` keeps the data over a
            restart, `{"replicaof": "127.0.0.1 6379"}` makes a read-only replica, `{"requirepass": "secret"}`
            one that refuses clients without the password.
        search: Take the server that has the modules for search and for JSON.
        on_disk: As for every server.
    """

    name: ClassVar[str] = "redis"

    def __init__(
        self, settings: Mapping[str, str] | None = None, *, search: bool = False, on_disk: bool = False
    ) -> None:
        super().__init__(on_disk=on_disk)
        self._settings = {**DEFAULT_SETTINGS, "dir": str(self.folder), **(settings or {})}
        self._search = search

    @property
    def service(self) -> RedisService:
        """The server as a service."""
        return RedisService(self.url)

    @property
    def url(self) -> str:
        """URL of database 0, with the password if there is one."""
        password = self._settings.get("requirepass")
        return f"redis://{f':{password}@' if password else ''}127.0.0.1:{self.port}/0"

    @property
    def version(self) -> str:
        """The server's own word on its version."""
        return self.service.version()

    def _launch(self) -> None:
        command: list[str | Path] = [self._program(), "--port", str(self.port)]
        for name, value in self._settings.items():
            command += [f"--{name}", *(value.split() or [""])]
        if self._search:
            for module in ("redisearch.so", "rejson.so"):
                command += ["--loadmodule", redis_stack_folder() / "lib" / module]
        self._spawn(command, self._answers)

    def _program(self) -> Path:
        if self._search:
            return redis_stack_folder() / "bin/redis-server"
        return REDIS.folder / "tree/usr/bin/redis-server"

    def _answers(self) -> bool:
        # Not by the client: this one has to work whatever the settings say of passwords.
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


class RedisClusterServer:
    """A cluster of three plain servers, each with a third of the slots and no replica."""

    def __init__(self) -> None:
        self.nodes: list[_ClusterNode] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """URL of the first node; a client learns of the others from it."""
        return self.nodes[0].url

    @property
    def service(self) -> RedisService:
        """The cluster as a service."""
        return RedisService(self.url, cluster=True)

    @property
    def version(self) -> str:
        """The first node's own word on its version."""
        return self.service.version()

    def start(self) -> None:
        """Start the nodes; the first time, make a cluster of them. Return once all slots are served."""
        if self.nodes:
            for node in self.nodes:
                node.start()
        else:
            for _ in range(CLUSTER_NODES):
                node = _ClusterNode()
                self._stack.callback(node.close)
                self.nodes.append(node)
                node.start()
            self._join()
        self.await_state("ok")

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop all nodes; one node alone is stopped by `nodes[i].stop()`."""
        for node in self.nodes:
            node.stop(mode)

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop and start all nodes; slots stay where they were, and so do the ports."""
        self.stop(mode)
        self.start()

    def close(self) -> None:
        """Stop the nodes and remove their folders. Idempotent."""
        self._stack.close()

    def await_state(self, state: Literal["ok", "fail"]) -> None:
        """Return once every running node says so of the cluster.

        Raises:
            ServerError: They did not within START_SECONDS.
        """
        running = [node for node in self.nodes if node.pids]
        await_condition(
            lambda: all(_cluster_state(node) == state for node in running), f"the cluster is not in state {state}"
        )

    def _join(self) -> None:
        first = self.nodes[0]
        share = -(-SLOTS // len(self.nodes))
        for index, node in enumerate(self.nodes):
            with Redis.from_url(node.url) as client:
                low, high = index * share, min((index + 1) * share, SLOTS) - 1
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", low, high)
                if node is not first:
                    client.execute_command("CLUSTER", "MEET", "127.0.0.1", first.port, first.bus_port)


class _ClusterNode(RedisServer):
    # A port of our choice for the bus: the default, 10000 above, may be one that the system hands to clients.
    port_count: ClassVar[int] = 2

    def __init__(self) -> None:
        super().__init__(
            {"cluster-enabled": "yes", "cluster-config-file": "nodes.conf", "cluster-node-timeout": "2000"}
        )

    @property
    def bus_port(self) -> int:
        return self._ports[1]

    def _launch(self) -> None:
        self._settings["cluster-port"] = str(self.bus_port)
        super()._launch()


def _cluster_state(node: RedisServer) -> str:
    with Redis.from_url(node.url) as client:
        answer = client.execute_command("CLUSTER", "INFO")
    text = answer.decode() if isinstance(answer, bytes) else answer
    if isinstance(text, dict):
        return str(text["cluster_state"])
    return str(dict(line.split(":", 1) for line in text.splitlines() if ":" in line)["cluster_state"])
