# SPDX-License-Identifier: Apache-2.0
"""The tables the code knows and the tables the migrations make are the same."""

from io import StringIO
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory

import complaints
from complaints import CaseStore, Unavailable
from complaints.schema import metadata


def test_migrations_make_exactly_the_known_tables(store: CaseStore) -> None:
    """No column, index or constraint in one and not in the other."""
    with store._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, metadata)

    assert differences == []


def test_the_migrations_can_be_written_for_postgresql() -> None:
    """Nothing in them is SQLite's alone, and history is append-only there too."""
    written = StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": written, "target_metadata": metadata}
    )
    scripts = ScriptDirectory(str(Path(complaints.__file__).parent / "migrations"))
    with Operations.context(context):
        for script in reversed(list(scripts.walk_revisions())):
            script.module.upgrade()

    for table in metadata.tables:
        assert f"CREATE TABLE {table} (" in written.getvalue()
    assert "BEFORE UPDATE OR DELETE ON case_events" in written.getvalue()


def test_history_cannot_be_changed_or_deleted(store: CaseStore) -> None:
    """The database itself refuses, whoever asks."""
    with store._engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        connection.exec_driver_sql(
            "INSERT INTO cases (id, receipt, secret_hash, category, language, received_ms, state, version, updated_ms,"
            " started_ms, appeals, due_ms, is_due_certain) VALUES ('c','r',x'00','other','zh',0,'received',1,0,0,0,0,1)"
        )
        connection.exec_driver_sql(
            "INSERT INTO case_events (case_id, seq, act, state, at_ms, role)"
            " VALUES ('c', 1, 'file', 'received', 0, 'public')"
        )
    for statement in ("UPDATE case_events SET at_ms = 1", "DELETE FROM case_events"):
        with store._engine.connect() as connection, pytest.raises(sa.exc.IntegrityError, match="append-only"):
            connection.exec_driver_sql(statement)


def test_opening_again_changes_nothing(store: CaseStore, path: Path) -> None:
    """Migrations run once."""
    CaseStore.open(path).close()

    with store._engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all() == ["v0001"]


def test_a_store_of_a_newer_release_is_left_alone(store: CaseStore, path: Path) -> None:
    """An old release does not write into tables it does not know."""
    with store._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'v9999'")

    with pytest.raises(Unavailable, match="newer release"):
        CaseStore.open(path)
