"""What SQLAlchemy hears from our SQLite connections and from its own: run by the server's Python.

python argilla_trips.py FOLDER: prints what was heard from both, and the trips to the thread.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import aiosqlite
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import create_async_engine
from workbench_argilla import trips

N_TRIPS = {"now": 0}
_execute = aiosqlite.Connection._execute


async def _counted(self: Any, function: Any, *arguments: Any, **named: Any) -> Any:
    N_TRIPS["now"] += 1
    return await _execute(self, function, *arguments, **named)


async def heard(file: Path, *, ours: bool) -> tuple[list[Any], int]:
    """All that a connection says to the same questions, and the trips of the plain reads."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{file}?check_same_thread=False")
    if ours:
        trips.use(engine.sync_engine)
    said: list[Any] = []
    async with engine.connect() as one:
        await one.execute(text("CREATE TABLE t (id INTEGER PRIMARY KEY, word TEXT UNIQUE)"))
        await one.commit()
        insert = text("INSERT INTO t (word) VALUES (:word)")
        said.append((await one.execute(insert, {"word": "a"})).lastrowid)
        await one.execute(insert, [{"word": word} for word in "bcd"])
        await one.rollback()  # all of it is undone
        said.append((await one.scalars(text("SELECT word FROM t"))).all())
        await one.execute(insert, [{"word": word} for word in "xyz"])
        await one.commit()
        said.append((await one.execute(text("UPDATE t SET word = word || '!'"))).rowcount)
        async with engine.connect() as other:  # sees what was committed, and no more
            said.append((await other.scalars(text("SELECT word FROM t ORDER BY id"))).all())
        await one.commit()
        for wrong in ("INSERT INTO t (word) VALUES ('x!')", "SELECT * FROM nowhere", "no SQL"):
            try:
                await one.execute(text(wrong))
            except exc.SQLAlchemyError as error:
                said.append([type(error).__name__, str(error.__cause__)])
            await one.rollback()
        found = await one.execute(text("SELECT id, word FROM t ORDER BY id"))
        said.append([list(found.keys()), [list(row) for row in found]])
        said.append(list((await one.execute(text("SELECT 1 WHERE 0"))).keys()))
        streamed = await one.stream(text("SELECT word FROM t ORDER BY id"))
        said.append([row[0] async for row in streamed])
        await one.rollback()
        before = N_TRIPS["now"]
        for _ in range(10):
            await one.execute(text("SELECT count(*) FROM t"))
            await one.rollback()
        n_trips = N_TRIPS["now"] - before
        await (await one.get_raw_connection()).driver_connection.close()
        try:
            await one.execute(text("SELECT 1"))
        except exc.DBAPIError as error:
            said.append([type(error).__name__, error.connection_invalidated])
    await engine.dispose()
    return said, n_trips


if __name__ == "__main__":
    aiosqlite.Connection._execute = _counted
    folder = Path(sys.argv[1])
    found = {
        name: asyncio.run(heard(folder / f"{name}.db", ours=name == "ours"))
        for name in ("ours", "stock")
    }
    print(json.dumps(found))
