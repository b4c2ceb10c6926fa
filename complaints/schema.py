# SPDX-License-Identifier: Apache-2.0
"""The tables of the case store, as SQLAlchemy Core sees them; `migrations/` creates them and a test compares the two.

What is personal and what is not never share a table: `case_texts` holds the sealed words and can be erased row by row,
the others hold what queues, clocks and proofs need. Times are whole milliseconds since 1970 in UTC.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

metadata = MetaData()

cases = Table(
    "cases",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("receipt", String(14), nullable=False, unique=True),
    Column("secret_hash", LargeBinary(32), nullable=False),
    Column("category", String(32), nullable=False),
    Column("language", String(8), nullable=False),
    Column("tenant", String(100)),
    Column("record", String(36)),
    Column("received_ms", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("holder", String(100)),
    Column("decision", String(16)),
    Column("answered_ms", BigInteger),
    Column("appeals", Integer, nullable=False),
    # Derived from the columns above and the policy; kept so that queues can ask for them.
    Column("due_ms", BigInteger, nullable=False),
    Column("is_due_certain", Boolean, nullable=False),
    Column("next_due_ms", BigInteger),
    Column("appeal_until_ms", BigInteger),
    Index("cases_by_age", "received_ms", "id"),
    Index("cases_by_state", "state", "received_ms", "id"),
    Index("cases_by_next_due", "next_due_ms"),
)

# Append-only: triggers refuse every change to a row.
case_events = Table(
    "case_events",
    metadata,
    Column("case_id", String(36), ForeignKey("cases.id"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("act", String(16), nullable=False),
    Column("origin", String(16)),
    Column("state", String(16), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("role", String(16), nullable=False),
    Column("actor", String(100)),
    Column("decision", String(16)),
    Column("sealed_sha256", String(64)),
)

case_texts = Table(
    "case_texts",
    metadata,
    Column("case_id", String(36), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("field", String(16), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    ForeignKeyConstraint(["case_id", "seq"], ["case_events.case_id", "case_events.seq"]),
)

# One row an event, written with it: its way into the audit log. `audit_record` is NULL until it has arrived there.
case_facts = Table(
    "case_facts",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("case_id", String(36), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("audit_record", String(100)),
    ForeignKeyConstraint(["case_id", "seq"], ["case_events.case_id", "case_events.seq"]),
    Index("case_facts_by_event", "case_id", "seq", unique=True),
    Index("case_facts_by_record", "audit_record", "id"),
)

# One row: the fingerprint of the key that every sealed text of this store was sealed with.
desk_key = Table(
    "desk_key",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("fingerprint", LargeBinary(32), nullable=False),
)
