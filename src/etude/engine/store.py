"""The store: every run's record, in SQLite by default or in PostgreSQL, and the folder of artifacts."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.schema import CreateIndex, CreateTable

from etude.engine.artifact import discard, sweep
from etude.engine.record import Record
from etude.errors import InputError

T = TypeVar("T")

SCHEMA = 1
"""Version of the tables below; a later version of Etude migrates what it finds with a lower one."""

_tables = sa.MetaData()
_schema = sa.Table("etude_schema", _tables, sa.Column("version", sa.Integer, primary_key=True))
_runs = sa.Table(
    "etude_runs",
    _tables,
    # A failed repeat of a run that was done stands beside it and does not cost the result.
    sa.Column("key", sa.String(16), primary_key=True),
    sa.Column("status", sa.String(8), primary_key=True),
    sa.Column("task", sa.Text, nullable=False, index=True),
    sa.Column("method", sa.Text, nullable=False, index=True),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("started", sa.String(40), nullable=False, index=True),
    sa.Column("record", sa.Text, nullable=False),
)


def home() -> Path:
    """Where Etude keeps what it makes: ``$ETUDE_HOME``, or the user's data directory."""
    import platformdirs

    return Path(os.environ.get("ETUDE_HOME") or platformdirs.user_data_dir("etude"))


class Store:
    """Records of runs, and the folder that holds their artifacts.

    Several processes may use one store at once. Nothing stays open between calls.

    Parameters
    ----------
    url : a file (SQLite), ``sqlite:///file`` or ``postgresql://user:password@host/database``; None
        for ``$ETUDE_STORE``, or ``etude.db`` in ``$ETUDE_HOME`` (by default the user's data directory).

    Raises
    ------
    InputError : naming ``store``, if it cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> store = Store(Path(tempfile.mkdtemp()) / "runs.db")
    >>> store.put(Record(key="0f3a", status="done", task="demo", method="halve"))
    >>> store.find("0f").method, len(store.records(task="demo"))
    ('halve', 1)
    >>> store.delete(["0f3a"])
    1
    """

    def __init__(self, url: str | os.PathLike[str] | None = None) -> None:
        self._url = _parse(os.fspath(url or os.environ.get("ETUDE_STORE") or home() / "etude.db"))
        self.artifacts = _artifacts_of(self._url)
        try:
            if self._url.database and _is_file(self._url):
                Path(self._url.database).parent.mkdir(parents=True, exist_ok=True)
            self._engine = _engine(self._url)
            _patiently(self._prepare)
        except ImportError as error:
            raise InputError("store", "PostgreSQL needs psycopg: pip install 'etude[postgres]'") from error
        except (OSError, DBAPIError) as error:
            cause = getattr(error, "orig", None) or error
            raise InputError("store", f"cannot open {self._url!r}: {' '.join(str(cause).split())}") from error
        if self.artifacts.is_dir():
            sweep(self.artifacts)

    @property
    def url(self) -> str:
        """What opens this store again, in another process too; holds the password if there is one."""
        return self._url.render_as_string(hide_password=False)

    @property
    def place(self) -> str:
        """Where the records are, for people: the file, or the server's URL without its password."""
        return str(self._url.database if _is_file(self._url) else self._url)

    def __repr__(self) -> str:
        return f"Store({str(self._url)!r})"

    def put(self, record: Record) -> None:
        """Keep a record in place of an earlier one of the same key.

        A record of a run that is done also takes the place of its failures; that of a failed run
        stands beside an earlier success.
        """
        row = {
            "key": record.key,
            "status": record.status,
            "task": record.task,
            "method": record.method,
            "seed": record.seed,
            "started": record.started,
            "record": json.dumps(record.to_json(), ensure_ascii=False, default=str, allow_nan=False),
        }
        dialect = sqlite if _is_file(self._url) else postgresql
        insert = dialect.insert(_runs).values(row)
        upsert = insert.on_conflict_do_update(index_elements=["key", "status"], set_=row)
        older = sa.delete(_runs).where(_runs.c.key == record.key, _runs.c.status != "done")
        self._write([older, upsert] if record.status == "done" else [upsert])

    def get(self, key: str) -> Record | None:
        """The record of exactly this key, the successful one first; None if there is none."""
        query = sa.select(_runs.c.record).where(_runs.c.key == key).order_by(_runs.c.status)
        found = self._read(query)
        return found[0] if found else None

    def find(self, prefix: str) -> Record:
        """The one run whose key begins with ``prefix``, as a user types it.

        Raises
        ------
        InputError : naming ``run``, if no run or more than one begins so.
        """
        query = sa.select(_runs.c.record).where(_runs.c.key.startswith(prefix, autoescape=True))
        found = {record.key: record for record in self._read(query.order_by(_runs.c.status.desc()))}
        if not prefix or not found:
            raise InputError("run", f"no run begins with {prefix!r}; `etude runs` lists them")
        if len(found) > 1:
            raise InputError("run", f"{prefix!r} begins {len(found)} runs: {', '.join(sorted(found)[:5])}")
        return next(iter(found.values()))

    def records(
        self,
        task: str | None = None,
        method: str | None = None,
        status: str | None = None,
        limit: int | None = None,
    ) -> list[Record]:
        """The records that fit, newest first."""
        query = sa.select(_runs.c.record).order_by(_runs.c.started.desc(), _runs.c.key).limit(limit)
        for column, value in ((_runs.c.task, task), (_runs.c.method, method), (_runs.c.status, status)):
            if value is not None:
                query = query.where(column == value)
        return self._read(query)

    def delete(self, keys: Iterable[str]) -> int:
        """Forget runs, and remove their artifacts from the store's own folder; returns how many were known.

        What a user asked to be written elsewhere (``--out``) stays.
        """
        deleted = 0
        for key in set(keys):
            known = self.get(key)
            self._write([sa.delete(_runs).where(_runs.c.key == key)])
            if known is not None:
                deleted += 1
                discard(self.artifacts / key)
        return deleted

    def _read(self, query: sa.Select[tuple[str]]) -> list[Record]:
        def read() -> list[str]:
            with self._engine.connect() as connection:
                return list(connection.scalars(query))

        return [Record.from_json(json.loads(text)) for text in _patiently(read)]

    def _write(self, statements: Iterable[sa.Executable]) -> None:
        """All or none of the statements. Each begins with a write, so that SQLite queues it at once."""

        def write() -> None:
            with self._engine.begin() as connection:
                for statement in statements:
                    connection.execute(statement)

        _patiently(write)

    def _prepare(self) -> None:
        """Make the tables where there are none; refuse those of a later version."""
        if not sa.inspect(self._engine).has_table(_schema.name):
            with self._engine.begin() as connection:
                if not _is_file(self._url):  # CREATE ... IF NOT EXISTS of two processes at once collide there
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(0x657475646)))
                for table in (_runs, _schema):  # whoever sees the second may use the first
                    connection.execute(CreateTable(table, if_not_exists=True))
                    for index in table.indexes:
                        connection.execute(CreateIndex(index, if_not_exists=True))
                connection.execute(_schema.delete())
                connection.execute(_schema.insert().values(version=SCHEMA))
        with self._engine.connect() as connection:
            version = connection.scalar(sa.select(sa.func.max(_schema.c.version)))
        if version is not None and version > SCHEMA:
            raise InputError("store", f"{self._url!r} was written by a later Etude; upgrade with pip")


def _parse(text: str) -> sa.URL:
    if "://" not in text:
        path = Path(text).expanduser().absolute()
        if path.is_dir():
            raise InputError("store", f"{text} is a folder; give a file in it, such as {path / 'etude.db'}")
        return sa.URL.create("sqlite", database=str(path))
    try:
        url = sa.make_url(text)
    except (ArgumentError, ValueError) as error:
        raise InputError("store", f"{text!r} is no database URL") from error
    kind = url.get_backend_name()
    if kind == "sqlite" and url.database and url.database != ":memory:":
        return _parse(url.database)
    if kind in ("postgresql", "postgres") and url.database:
        return url.set(drivername="postgresql+psycopg")
    raise InputError("store", f"{url!r} names no store; give a file or postgresql://user@host/database")


def _is_file(url: sa.URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _artifacts_of(url: sa.URL) -> Path:
    """A folder of its own for each store: beside its file, or for a server's in `home`."""
    if _is_file(url):
        return Path(str(url.database)).with_suffix(".artifacts")
    place = hashlib.sha256(f"{url.host}:{url.port}/{url.database}".encode()).hexdigest()[:8]
    return home().absolute() / f"{url.database}-{place}.artifacts"


def _engine(url: sa.URL) -> sa.Engine:
    if not _is_file(url):
        return sa.create_engine(url, poolclass=sa.NullPool)
    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"timeout": 30})

    @sa.event.listens_for(engine, "connect")
    def write_ahead(connection: sqlite.dbapi.Connection, _: object) -> None:  # type: ignore[name-defined]
        connection.execute("PRAGMA journal_mode=WAL").close()

    return engine


def _patiently(action: Callable[[], T], attempts: int = 6) -> T:
    """Try again where a database is busy for longer than it waits by itself, or cannot wait."""
    for attempt in range(attempts):
        try:
            return action()
        except OperationalError as error:
            busy = "locked" in str(error.orig) or "busy" in str(error.orig)
            if not busy or attempt == attempts - 1:
                raise
            time.sleep(0.05 * 2**attempt)
    raise AssertionError("unreachable")
