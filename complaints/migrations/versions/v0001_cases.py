# SPDX-License-Identifier: Apache-2.0
"""Cases, their append-only history, their sealed texts, and the facts on their way into the audit log."""

import sqlalchemy as sa
from alembic import op

revision = "v0001"
down_revision = None
branch_labels = None
depends_on = None

_SQLITE_APPEND_ONLY = """
CREATE TRIGGER case_events_no_{verb} BEFORE {verb} ON case_events
BEGIN SELECT RAISE(ABORT, 'the history of a case is append-only'); END
"""
_POSTGRESQL_FUNCTION = """
CREATE FUNCTION case_events_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the history of a case is append-only'; END $$
"""
_POSTGRESQL_TRIGGER = """
CREATE TRIGGER case_events_append_only BEFORE UPDATE OR DELETE ON case_events
FOR EACH ROW EXECUTE FUNCTION case_events_append_only()
"""


def upgrade() -> None:
    op.create_table(
        "cases",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("receipt", sa.String(14), nullable=False, unique=True),
        sa.Column("secret_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("category", sa.String(32), nullable=False),
        sa.Column("language", sa.String(8), nullable=False),
        sa.Column("tenant", sa.String(100)),
        sa.Column("record", sa.String(36)),
        sa.Column("received_ms", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.Column("started_ms", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.String(100)),
        sa.Column("decision", sa.String(16)),
        sa.Column("answered_ms", sa.BigInteger),
        sa.Column("appeals", sa.Integer, nullable=False),
        sa.Column("due_ms", sa.BigInteger, nullable=False),
        sa.Column("is_due_certain", sa.Boolean, nullable=False),
        sa.Column("next_due_ms", sa.BigInteger),
        sa.Column("appeal_until_ms", sa.BigInteger),
    )
    op.create_index("cases_by_age", "cases", ["received_ms", "id"])
    op.create_index("cases_by_state", "cases", ["state", "received_ms", "id"])
    op.create_index("cases_by_next_due", "cases", ["next_due_ms"])
    op.create_table(
        "case_events",
        sa.Column("case_id", sa.String(36), sa.ForeignKey("cases.id"), primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True),
        sa.Column("act", sa.String(16), nullable=False),
        sa.Column("origin", sa.String(16)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("actor", sa.String(100)),
        sa.Column("decision", sa.String(16)),
        sa.Column("sealed_sha256", sa.String(64)),
    )
    op.create_table(
        "case_texts",
        sa.Column("case_id", sa.String(36), primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True),
        sa.Column("field", sa.String(16), primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(["case_id", "seq"], ["case_events.case_id", "case_events.seq"]),
    )
    op.create_table(
        "case_facts",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("case_id", sa.String(36), nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("audit_record", sa.String(100)),
        sa.ForeignKeyConstraint(["case_id", "seq"], ["case_events.case_id", "case_events.seq"]),
    )
    op.create_index("case_facts_by_event", "case_facts", ["case_id", "seq"], unique=True)
    op.create_index("case_facts_by_record", "case_facts", ["audit_record", "id"])
    op.create_table(
        "desk_key",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("fingerprint", sa.LargeBinary(32), nullable=False),
    )
    if op.get_context().dialect.name == "sqlite":
        op.execute(_SQLITE_APPEND_ONLY.format(verb="UPDATE"))
        op.execute(_SQLITE_APPEND_ONLY.format(verb="DELETE"))
    else:
        op.execute(_POSTGRESQL_FUNCTION)
        op.execute(_POSTGRESQL_TRIGGER)
