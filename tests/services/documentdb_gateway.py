"""MongoDB's wire protocol in front of PostgreSQL with the DocumentDB extension: what FerretDB is, and transactions.

The extension takes whole commands as BSON and answers in BSON; this passes them on. For tests alone: no
authentication, loopback only, few error codes, and a write that a driver retries is not recognised.

    python -m tests.services.documentdb_gateway PORT POSTGRES_URL
"""

from __future__ import annotations

import asyncio
import random
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

Command = dict[str, Any]
Document = Mapping[str, Any]

OP_QUERY, OP_REPLY, OP_MSG = 2004, 1, 2013
CHECKSUM_PRESENT, MORE_TO_COME = 1, 2
POOL_SIZE = 40
INDEX_POLL_SECONDS = 0.1

WRITE_CONFLICT = 112
TRY_AGAIN = "TransientTransactionError"
ERROR_CODES = {
    **{"M0002": 2, "M001C": 11000, "23505": 11000},
    **dict.fromkeys(("40001", "40P01", "55P03"), WRITE_CONFLICT),  # serialization, deadlock, lock not available
}
OTHER_ERROR = 1

# Like MongoDB's own transactions, they hardly wait for a document that another one has changed.
BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL lock_timeout = '50ms'"

# Of the driver and the session, not of the command.
ENVELOPE = frozenset(
    {
        *("lsid", "$db", "$clusterTime", "txnNumber", "autocommit", "startTransaction"),
        *("$readPreference", "readConcern", "writeConcern"),
    }
)
WITHOUT_MEANING = {"ping", "endsessions", "refreshsessions"}
CURSOR_QUERIES = {
    "find": "find_cursor_first_page",
    "aggregate": "aggregate_cursor_first_page",
    "listcollections": "list_collections_cursor_first_page",
    "listindexes": "list_indexes_cursor_first_page",
}
# Command → query; $1 is the database, $2 the command, $3 the name of its collection.
QUERIES = {
    "insert": "SELECT p_result FROM documentdb_api.insert($1, $2)",
    "update": "SELECT p_result FROM documentdb_api.update($1, $2)",
    "delete": "SELECT p_result FROM documentdb_api.delete($1, $2)",
    "findandmodify": "SELECT p_result FROM documentdb_api.find_and_modify($1, $2)",
    "count": "SELECT document FROM documentdb_api.count_query($1, $2)",
    "distinct": "SELECT document FROM documentdb_api.distinct_query($1, $2)",
    "dropindexes": "CALL documentdb_api.drop_indexes($1, $2, NULL)",
    "collstats": "SELECT documentdb_api.coll_stats($1, $3)",
    "dbstats": "SELECT documentdb_api.db_stats($1)",
}
STATEMENTS = {
    "create": "SELECT documentdb_api.create_collection($1, $3)",
    "drop": "SELECT documentdb_api.drop_collection($1, $3)",
    "dropdatabase": "SELECT documentdb_api.drop_database($1)",
}


class CommandError(Exception):
    """A command that is answered with an error of MongoDB's."""

    def __init__(self, code: int, name: str, message: str, *labels: str) -> None:
        super().__init__(message)
        self.answer = {"ok": 0.0, "errmsg": message, "code": code, "codeName": name}
        if labels:
            self.answer["errorLabels"] = list(labels)


@dataclass(slots=True)
class Transaction:
    """An open transaction, which holds a connection, and the client that was heard of last."""

    connection: Any
    client: asyncio.StreamWriter


class Gateway:
    """Serves one PostgreSQL on one port of 127.0.0.1."""

    def __init__(self, port: int) -> None:
        self._address = f"127.0.0.1:{port}"
        self._pool: Any = None
        self._cursors: dict[int, tuple[bytes, Any]] = {}
        self._transactions: dict[bytes, Transaction] = {}

    async def serve(self, postgres_url: str) -> None:
        """Serve until cancelled."""
        host, port = self._address.split(":")
        self._pool = await asyncpg.create_pool(postgres_url, min_size=2, max_size=POOL_SIZE, init=_pass_bson_through)
        server = await asyncio.start_server(self._client, host, int(port))
        await server.serve_forever()

    # ---- protocol

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                length, request, _, operation = struct.unpack("<iiii", await reader.readexactly(16))
                body = await reader.readexactly(length - 16)
                if operation == OP_QUERY:  # drivers say their first hello in the old form
                    reply = struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(self._hello())
                    self._send(writer, request, OP_REPLY, reply)
                else:
                    flags, command = _parsed(body)
                    answer = await self._answer(command, writer)
                    if not flags & MORE_TO_COME:
                        self._send(writer, request, OP_MSG, struct.pack("<IB", 0, 0) + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            writer.close()
            for key in [key for key, open_ in self._transactions.items() if open_.client is writer]:
                await self._end(key, "ROLLBACK")  # nobody will

    def _send(self, writer: asyncio.StreamWriter, request: int, operation: int, body: bytes) -> None:
        writer.write(struct.pack("<iiii", 16 + len(body), random.getrandbits(31), request, operation) + body)

    async def _answer(self, command: Command, client: asyncio.StreamWriter) -> bytes:
        try:
            answer = await self._run(command, client)
        except CommandError as error:
            answer = error.answer
        except asyncpg.PostgresError as error:
            answer = _postgres_error(error).answer
        return answer if isinstance(answer, bytes) else bson.encode(answer)

    # ---- commands

    async def _run(self, command: Command, client: asyncio.StreamWriter) -> bytes | Document:
        name = next(iter(command)).lower()
        if name in ("hello", "ismaster"):
            return self._hello()
        if name == "buildinfo":
            return {"version": "7.0.0", "versionArray": [7, 0, 0, 0], "gitVersion": "documentdb", "ok": 1.0}
        if name in WITHOUT_MEANING:
            return {"ok": 1.0}
        if name == "killcursors":
            return await self._kill_cursors(command)
        key = bytes(command["lsid"]["id"]) if "lsid" in command else b""
        if name in ("committransaction", "aborttransaction"):
            await self._end(key, "COMMIT" if name == "committransaction" else "ROLLBACK")
            return {"ok": 1.0}
        spec = {word: value for word, value in command.items() if word not in ENVELOPE}
        if command.get("autocommit") is False:
            return await self._in_transaction(key, name, command, spec, client)
        connection = await self._pool.acquire()
        keep = False
        try:
            answer, keep = await self._do(connection, name, command["$db"], spec)
            return answer
        finally:
            if not keep:
                await self._pool.release(connection)

    async def _in_transaction(
        self, key: bytes, name: str, command: Command, spec: Command, client: asyncio.StreamWriter
    ) -> bytes | Document:
        if command.get("startTransaction"):
            connection = await self._pool.acquire()
            await connection.execute(BEGIN)
            self._transactions[key] = Transaction(connection, client)
        transaction = self._transaction(key)
        transaction.client = client
        try:
            answer, _ = await self._do(transaction.connection, name, command["$db"], spec, in_transaction=True)
        except asyncpg.PostgresError:
            await self._end(key, "ROLLBACK")
            raise
        errors = answer.get("writeErrors") if isinstance(answer, dict) else None
        if errors:
            await self._end(key, "ROLLBACK")  # as MongoDB does: a failed write ends the transaction
            if errors[0]["code"] == WRITE_CONFLICT:
                raise CommandError(WRITE_CONFLICT, "WriteConflict", errors[0]["errmsg"], TRY_AGAIN)
        return answer

    def _transaction(self, key: bytes) -> Transaction:
        try:
            return self._transactions[key]
        except KeyError:
            message = "Given transaction number does not match any in-progress transactions"
            raise CommandError(251, "NoSuchTransaction", message, TRY_AGAIN) from None

    async def _end(self, key: bytes, how: str) -> None:
        connection = self._transaction(key).connection
        del self._transactions[key]
        try:
            await connection.execute(how)
        finally:
            await self._pool.release(connection)

    async def _do(
        self, connection: Any, name: str, database: str, spec: Command, *, in_transaction: bool = False
    ) -> tuple[bytes | Document, bool]:
        """Carry out a command; return its answer, and whether a cursor needs the connection further on."""
        collection = next(iter(spec.values()))
        if name in CURSOR_QUERIES:
            return await self._open_cursor(connection, CURSOR_QUERIES[name], database, spec, in_transaction)
        if name == "getmore":
            return await self._get_more(connection, database, spec), False
        if name == "createindexes":
            return await self._create_indexes(connection, database, spec, in_transaction), False
        if name in QUERIES:
            query = QUERIES[name]
            values = [value for place, value in (("$1", database), ("$2", bson.encode(spec))) if place in query]
            if "$3" in query:
                query = query.replace("$3", f"${len(values) + 1}")
                values.append(collection)
            answer = await connection.fetchval(query, *values)
            return (_with_mongo_codes(answer) if name in ("insert", "update", "delete") else answer), False
        if name in STATEMENTS:
            query = STATEMENTS[name].replace("$3", "$2")
            await connection.fetchval(query, *([database, collection] if "$2" in query else [database]))
            return {"ok": 1.0}, False
        if name == "listdatabases":
            return await connection.fetchval("SELECT documentdb_api.list_databases($1)", bson.encode(spec)), False
        raise CommandError(59, "CommandNotFound", f"no such command: '{name}'")

    async def _open_cursor(
        self, connection: Any, function: str, database: str, spec: Command, in_transaction: bool
    ) -> tuple[bytes, bool]:
        row = await connection.fetchrow(
            f"SELECT cursorpage, continuation, persistconnection, cursorid FROM documentdb_api.{function}($1, $2, $3)",
            database,
            bson.encode(spec),
            random.getrandbits(62),
        )
        if row["continuation"] is None:
            return row["cursorpage"], False
        keep = row["persistconnection"] and not in_transaction
        self._cursors[row["cursorid"]] = (row["continuation"], connection if keep else None)
        return row["cursorpage"], keep

    async def _get_more(self, connection: Any, database: str, spec: Command) -> bytes:
        number = int(spec["getMore"])
        if number not in self._cursors:
            raise CommandError(43, "CursorNotFound", f"cursor id {number} not found")
        continuation, own = self._cursors.pop(number)
        row = await (own or connection).fetchrow(
            "SELECT cursorpage, continuation FROM documentdb_api.cursor_get_more($1, $2, $3)",
            database,
            bson.encode(spec),
            continuation,
        )
        if row["continuation"] is not None:
            self._cursors[number] = (row["continuation"], own)
        elif own is not None:
            await self._pool.release(own)
        page: bytes = row["cursorpage"]
        return page

    async def _kill_cursors(self, command: Command) -> Document:
        killed = [int(number) for number in command["cursors"] if int(number) in self._cursors]
        for number in killed:
            _, own = self._cursors.pop(number)
            if own is not None:
                await self._pool.release(own)
        return {"cursorsKilled": killed, "cursorsNotFound": [], "cursorsAlive": [], "cursorsUnknown": [], "ok": 1.0}

    async def _create_indexes(self, connection: Any, database: str, spec: Command, in_transaction: bool) -> Document:
        encoded = bson.encode(spec)
        try:
            result = bson.decode(
                await connection.fetchval(
                    "SELECT documentdb_api_internal.create_indexes_non_concurrently($1, $2)", database, encoded
                )
            )
        except asyncpg.PostgresError:
            if in_transaction:
                raise
            result = await self._create_indexes_behind(connection, database, encoded)  # the collection has documents
        shard: dict[str, Any] = next(iter(result.get("raw", {}).values()), {})
        if result.get("ok"):
            return {**{word: value for word, value in shard.items() if word != "ok"}, "ok": 1.0}
        return {"ok": 0.0, "errmsg": shard.get("errmsg", "index error"), "code": shard.get("code", 67)}

    async def _create_indexes_behind(self, connection: Any, database: str, spec: bytes) -> dict[str, Any]:
        row = await connection.fetchrow(
            "SELECT retval, ok, requests FROM documentdb_api.create_indexes_background($1, $2)", database, spec
        )
        while row["ok"] and row["requests"] is not None:
            status = await connection.fetchrow(
                "SELECT * FROM documentdb_api_internal.check_build_index_status($1)", row["requests"]
            )
            if not status["ok"]:
                return {**bson.decode(status["retval"]), "ok": 0}
            if status["complete"]:
                break
            await asyncio.sleep(INDEX_POLL_SECONDS)  # a job of the extension's builds it
        return bson.decode(row["retval"])

    def _hello(self) -> Document:
        return {
            "isWritablePrimary": True,
            "ismaster": True,
            "helloOk": True,
            "setName": "rs0",  # drivers begin transactions with a replica set alone
            "setVersion": 1,
            "secondary": False,
            "hosts": [self._address],
            "primary": self._address,
            "me": self._address,
            "electionId": bson.ObjectId("7fffffff0000000000000001"),
            "maxBsonObjectSize": 16 * 1024 * 1024,
            "maxMessageSizeBytes": 48_000_000,
            "maxWriteBatchSize": 100_000,
            "localTime": datetime.now(UTC),
            "logicalSessionTimeoutMinutes": 30,
            "connectionId": 1,
            "minWireVersion": 0,
            "maxWireVersion": 21,
            "readOnly": False,
            "ok": 1.0,
        }


async def _pass_bson_through(connection: Any) -> None:
    for name in ("bson", "bsonsequence"):
        await connection.set_type_codec(name, schema="documentdb_core", encoder=bytes, decoder=bytes, format="binary")


def _parsed(body: bytes) -> tuple[int, Command]:
    """Return the flags and the command of an OP_MSG, its document sequences put into it as arrays."""
    (flags,) = struct.unpack_from("<I", body)
    end = len(body) - (4 if flags & CHECKSUM_PRESENT else 0)
    place, command, sequences = 4, {}, {}
    while place < end:
        kind, start = body[place], place + 1
        (length,) = struct.unpack_from("<i", body, start)
        place = start + length
        if kind == 0:
            # Documents within stay raw: what a client wrote is passed on byte for byte.
            command = dict(RawBSONDocument(body[start:place], RAW))
        else:
            name_end = body.index(b"\0", start + 4)
            documents, at = [], name_end + 1
            while at < place:
                (size,) = struct.unpack_from("<i", body, at)
                documents.append(RawBSONDocument(body[at : at + size], RAW))
                at += size
            sequences[body[start + 4 : name_end].decode()] = documents
    return flags, {**command, **sequences}


RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)


def _postgres_error(error: asyncpg.PostgresError) -> CommandError:
    code = ERROR_CODES.get(error.sqlstate or "", OTHER_ERROR)
    labels = (TRY_AGAIN,) if code == WRITE_CONFLICT else ()
    return CommandError(code, f"sqlstate {error.sqlstate}", str(error.args[0]), *labels)


def _with_mongo_codes(answer: bytes) -> dict[str, Any]:
    document = bson.decode(answer)
    for error in document.get("writeErrors", []):
        # PostgreSQL packs the five characters of its codes into an integer, six bits each.
        packed = error["code"]
        state = "".join(chr((packed >> 6 * place & 0x3F) + ord("0")) for place in range(5))
        error["code"] = ERROR_CODES.get(state, OTHER_ERROR)
    return document


if __name__ == "__main__":
    asyncio.run(Gateway(int(sys.argv[1])).serve(sys.argv[2]))
