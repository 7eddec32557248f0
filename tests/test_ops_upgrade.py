"""`amrgate-ca upgrade`: a database of an earlier version is made this one's."""

from __future__ import annotations

from alembic import command

from ca.store import schema
from ca.store.engine import reading, writing
from tests.operating import EXAMPLE, Ca

pytest_plugins = ["tests.operating"]

BEFORE = "0006"


def test_a_database_of_an_earlier_version_is_brought_up_to_date(ca: Ca) -> None:
    ca.check("apply", EXAMPLE)
    assert ca.check("upgrade") == "Nothing is to do.\n"
    with writing(ca.engine) as connection:
        alembic = schema.config()
        alembic.attributes["connection"] = connection
        command.downgrade(alembic, BEFORE)

    refused = ca.error("apply", EXAMPLE)
    done = ca.check("upgrade")

    assert f"schema is {BEFORE}, but this version needs {schema.newest()}: run " in refused
    assert "`amrgate-ca upgrade`" in refused
    assert done == f"The schema was {BEFORE}, is {schema.newest()}.\n"
    assert ca.check("apply", EXAMPLE) == "Nothing to change.\n", "all is still there"


def test_a_database_of_a_later_version_is_left_alone(ca: Ca) -> None:
    with writing(ca.engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    for what in ("upgrade", "apply"):
        words = (what, EXAMPLE) if what == "apply" else (what,)
        assert "take the version that made it, or a later one." in ca.error(*words)
    with reading(ca.engine) as connection:
        assert schema.version(connection) == "9999"
