"""SQLite with one trip to a connection's thread for each statement.

aiosqlite gives each connection a thread, and SQLAlchemy goes there four times for a statement: for
a cursor, to execute, to fetch, to close; and once more to end a transaction that never began.
Argilla asks thirty statements for a page of ten records, so most of its time were such trips. Here
a statement is one trip, and what did not begin ends without one.

SQLAlchemy's event `do_connect` puts our connection in the place of its own. What is inside both
packages may be relied on, because both are pinned.
"""

import sqlite3
from collections import deque
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.dialects.sqlite import aiosqlite as dialects

# Where types are checked there is another SQLAlchemy than the server's.
StockCursor: Any = dialects.AsyncAdapt_aiosqlite_cursor
StockConnection: Any = dialects.AsyncAdapt_aiosqlite_connection


def use(engine: Engine) -> None:
    """Make this engine's connections ours from now on."""
    event.listen(engine, "do_connect", _connect)


def _connect(dialect: Any, _: object, arguments: Any, named: Any) -> "_Connection":
    made = dialect.loaded_dbapi.connect(*arguments, **named)
    return _Connection(made.dbapi, made.driver_connection)


def _whole(
    connection: sqlite3.Connection, statement: str, parameters: Any, many: bool
) -> tuple[Any, ...]:
    """All of a statement, in the connection's thread: description, rows, last id, row count."""
    cursor = connection.cursor()
    try:
        if many:
            cursor.executemany(statement, parameters)
        else:
            cursor.execute(statement, () if parameters is None else parameters)
        rows = cursor.fetchall() if cursor.description else []
        return cursor.description, rows, cursor.lastrowid, cursor.rowcount
    finally:
        cursor.close()


class _Cursor(StockCursor):  # type: ignore[misc]  # its class is untyped here
    def execute(self, operation: Any, parameters: Any = None) -> None:
        """Execute and fetch."""
        self._ask(operation, parameters, many=False)

    def executemany(self, operation: Any, seq_of_parameters: Any) -> None:
        """Execute with each of these parameters."""
        self._ask(operation, seq_of_parameters, many=True)

    def _ask(self, statement: Any, parameters: Any, *, many: bool) -> None:
        inner: Any = self._connection
        try:
            asked = inner._execute(_whole, inner._conn, statement, parameters, many)
            self.description, rows, last_id, n_rows = self.await_(asked)
        except ValueError as error:  # a closed connection, which SQLAlchemy wants to hear of so
            self._adapt_connection._handle_exception(error)
        if self.description:
            self.lastrowid = self.rowcount = -1
            self._rows = deque(rows)
        else:
            self.lastrowid, self.rowcount = last_id, n_rows


class _Connection(StockConnection):  # type: ignore[misc]  # its class is untyped here
    def cursor(self, server_side: bool = False) -> Any:
        """One that reads all at once, unless it is to read little by little."""
        return super().cursor(server_side) if server_side else _Cursor(self)

    def commit(self) -> None:
        """End what began."""
        if self._began():
            super().commit()

    def rollback(self) -> None:
        """End what began."""
        if self._began():
            super().rollback()

    def _began(self) -> bool:
        inner: Any = self._connection
        try:
            return bool(inner.in_transaction)  # SQLite knows that without a look at the file
        except ValueError:  # closed: the way of every connection says so
            return True
