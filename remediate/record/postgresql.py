"""PostgreSQL as the record's database: its driver, and what makes an acknowledged entry durable there.

Whether COMMIT waits for the disk is a setting of the server, the database, the role or the session (PostgreSQL 15,
20.5.1, synchronous_commit): with ``off`` the last commits before a crash are lost although they were acknowledged. So
each transaction that writes raises it for itself; in a transaction, since a connection pooler may hand each one to
another session. What only the server's administrator can set, and can set while it runs, is looked at in each as well.
"""

from __future__ import annotations

import sqlalchemy as sa

from remediate.errors import RecordError

#: The one driver that is tested.
DRIVER = "postgresql+psycopg"
#: Any number; whoever opens a record holds this advisory lock, since two may not create one table at the same time.
_OPENING = 0x7265_6D65
#: With ``local`` and above, COMMIT waits until this server's own disk has it; what they ask of standby servers is the
#: administrator's choice and stays.
_RAISED = """
    SELECT current_setting('fsync'), current_setting('full_page_writes'), current_setting('server_encoding'),
    CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', true) END
"""


def engine(url: sa.URL) -> sa.Engine:
    where = url.render_as_string(hide_password=True)
    if url.drivername not in {"postgresql", DRIVER}:
        raise RecordError(
            f"the record is not kept through the driver {url.get_driver_name()}",
            where=where,
            next="write postgresql://user@host/name; the driver is psycopg",
        )
    try:
        return sa.create_engine(
            url.set(drivername=DRIVER), hide_parameters=True, pool_pre_ping=True, client_encoding="utf8"
        )
    except ImportError as error:
        raise RecordError(
            "the PostgreSQL driver is not installed", where=where, next="pip install 'remediate[postgresql]'"
        ) from error


def alone(connection: sa.Connection) -> None:
    """Whoever creates or migrates a record waits here for who is doing so; until the end of the transaction."""
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_OPENING)))


def raise_durability(connection: sa.Connection, where: str) -> None:
    """This transaction's COMMIT waits for the disk. RecordError: on this server that would be worth nothing."""
    fsync, full_page_writes, encoding, _ = connection.exec_driver_sql(_RAISED).one()
    for name, value in (("fsync", fsync), ("full_page_writes", full_page_writes)):
        if value != "on":
            raise RecordError(
                f"this PostgreSQL server has {name} = {value}: a crash of its machine can lose or corrupt entries "
                "that it acknowledged",
                where=where,
                next=f"ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf(); or keep the record on another server",
            )
    if encoding != "UTF8":
        raise RecordError(
            f"the database's encoding is {encoding}; the record's texts are UTF-8",
            where=where,
            next="CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0, and name that one",
        )
