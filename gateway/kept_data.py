# SPDX-License-Identifier: Apache-2.0
"""What is kept, for which duty, how long: every table of the data folder and every kind of shared order.

Interim Measures article 11: no more personal information than is needed, none kept without a reason. The documentation
prints this list. A test opens every store and fails where one has a table, a column or a shelf of orders that stands
not here, so whoever keeps more has to say why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LOG_TIME = "`retention.network_log_days` or `retention.risk_record_days`, unless held (docs/audit.md)"
ORDER_TIME = "until it expires or is lifted"


@dataclass(frozen=True, slots=True)
class Kept:
    """One table or shelf. `columns` are all of a table's, none for a shelf; `is_personal` says whether it holds what
    leads to a person; `why` names the duty and its article."""

    place: str
    name: str
    columns: tuple[str, ...]
    what: str
    why: str
    how_long: str
    is_personal: bool


def _table(
    place: str, name: str, columns: str, what: str, why: str, how_long: str, *, is_personal: bool = False
) -> Kept:
    return Kept(place, name, tuple(columns.split()), what, why, how_long, is_personal)


def _shelf(name: str, what: str, why: str, how_long: str = ORDER_TIME, *, is_personal: bool = False) -> Kept:
    return Kept("orders", name, (), what, why, how_long, is_personal)


_LOGS = "proof of duties; Cybersecurity Law art 23(3)"
_CASES = "complaints; Interim Measures art 15"
_INCIDENTS = "illegal content and incidents; Interim Measures art 14"
_CASE_TIME = "as long as the deployment keeps its cases"

KEPT: tuple[Kept, ...] = (
    _table("audit.db", "meta", "origin vkey created_at", "name and key of the log", _LOGS, "as long as the log"),
    _table("audit.db", "coordination", "one next key_epoch seen_at minimum", "the writer's turn", _LOGS,
           "as long as the log"),
    _table("audit.db", "leaves", "idx leaf", "records without names, texts or addresses", _LOGS, LOG_TIME),
    _table("audit.db", "rows", "idx id exchange type t tenant subject class action incident",
           "the index of records, with pseudonyms", "requests of people; Interim Measures art 11 para 2", LOG_TIME,
           is_personal=True),
    _table("audit.db", "subject_keys", "key tenant subject wrapped", "keys of sealed bodies, by pseudonym",
           "erasure; Interim Measures art 11 para 2", "until they are erased", is_personal=True),
    _table("audit.db", "bodies", "id key wrapped ciphertext commitment",
           "prompts and answers, sealed, where `audit.bodies` says so", _LOGS, "`audit.keep_body_days`",
           is_personal=True),
    _table("audit.db", "erased_keys", "key recorded", "which keys were destroyed", "proof of erasure", LOG_TIME),
    _table("audit.db", "head", "origin body", "the log's head", _LOGS, "as long as the log"),
    _table("audit.db", "checkpoints", "size body signed_at", "signed heads of the log", _LOGS, "as long as the log"),
    _table("complaints.db", "alembic_version", "version_num", "the schema's version", _CASES, "always"),
    _table("complaints.db", "cases",
           "id receipt secret_hash category language tenant record received_ms state version updated_ms started_ms "
           "holder decision answered_ms appeals due_ms is_due_certain next_due_ms appeal_until_ms",
           "cases, with the hash of their secret", _CASES, _CASE_TIME),
    _table("complaints.db", "case_events", "case_id seq act origin state at_ms role actor decision sealed_sha256",
           "who did what about a case", _CASES, _CASE_TIME),
    _table("complaints.db", "case_texts", "case_id seq field sealed", "words and contact of complainants, sealed",
           _CASES, _CASE_TIME, is_personal=True),
    _table("complaints.db", "case_facts", "id case_id seq audit_record", "what the log was told", _CASES, _CASE_TIME),
    _table("complaints.db", "desk_key", "id fingerprint", "which key opens the words", _CASES, _CASE_TIME),
    _table("incidents.db", "incident",
           "id opened_at_s class_code rule role record_id tenant subject released_chars start end filter_digest state "
           "model body_record released", "what was found, where, with the pseudonym", _INCIDENTS, _CASE_TIME,
           is_personal=True),
    _table("incidents.db", "incident_transition", "incident_id number at_s actor before after reason",
           "steps of an incident", _INCIDENTS, _CASE_TIME),
    _table("incidents.db", "incident_note", "incident_id number at_s actor text", "officers' notes", _INCIDENTS,
           _CASE_TIME),
    _table("incidents.db", "incident_facts", "incident_id at_s actor facts", "figures for reports", _INCIDENTS,
           _CASE_TIME),
    _table("orders.db", "orders", "key value number expires_at told_until", "the shelves below",
           "so that every process follows", ORDER_TIME, is_personal=True),
    _table("orders.db", "last", "number", "the number of the last change", "so that every process follows", "always"),
    _table("outbox.db", "delivery",
           "id incident kind language via actor created_at payload state attempts next_at ended_at problem proof",
           "reports and crisis notices on their way and their proof, the latter with a pseudonym", _INCIDENTS,
           _CASE_TIME, is_personal=True),
    _table("state.db", "usage", "key last_ms started_ms day day_ms others expires_ms",
           "how long a protected pseudonym used the service, by day; of a companion service every pseudonym",
           "minors; Interim Measures art 10; companions; Anthropomorphic Measures art 18",
           "three days after the last use", is_personal=True),
    _table("state.db", "remembered", "key value expires_ms",
           "which notice a pseudonym was told, which agreement it accepted, of whose crisis a contact was told",
           "disclosure; Model AI Law art 34; agreement; Interim Measures art 9 para 2; Anthropomorphic Measures art 13",
           "`disclosure.told_days`, `agreement.accepted_days`, `crisis.contact_again_hours`", is_personal=True),
    _table("state.db", "counters", "key amount expires_ms",
           "reminders told, signs of a minor, requests of restricted people, quotas of API keys, nonces of a proxy",
           "minors; companions; measures; quotas; replay",
           "two days at most, reminders twice their period, signs `minors.suspicion_days`", is_personal=True),
    _table("fingerprints.db", "prints", "id kind signature record at_s", "hashes of works that went out",
           "copies are found again; `label.fingerprints`", "`label.fingerprint_days`"),
    _table("fingerprints.db", "bands", "band print", "the index of those hashes", "copies are found again",
           "`label.fingerprint_days`"),
    _table("fingerprints.db", "marks", "payload record at_s", "payloads of invisible marks", "copies are found again",
           "`label.fingerprint_days`"),
    _shelf("pause", "what is paused, by whom, why", "the kill switch; Model AI Law art 50"),
    _shelf("measure", "measures against pseudonyms, with evidence", "Interim Measures art 14 para 2",
           is_personal=True),
    _shelf("strikes", "violations of a pseudonym, in a row and by day", "Interim Measures art 14 para 2",
           "a day, with suspensions `sanctions.suspension_memory_days`", is_personal=True),
    _shelf("notice", "notices of incidents that wait for a pseudonym", "Model AI Law art 33",
           "until told, 400 days at most", is_personal=True),
    _shelf("withheld", "records whose content is withheld", _INCIDENTS),
    _shelf("owed", "records that the log could not take yet", _LOGS, "until the log has them", is_personal=True),
    _shelf("apikey", "keyed hashes of API keys, tenant, quotas, label", "who may ask"),
    _shelf("guardian", "which pseudonym's guardian consented, and their settings", "minors; Interim Measures art 10",
           is_personal=True),
    _shelf("guardian_code", "keyed hashes of guardians' codes", "minors; Interim Measures art 10", is_personal=True),
    _shelf("minor_mode", "pseudonyms in minors' mode, and why", "minors; Interim Measures art 10", is_personal=True),
    _shelf("not_a_minor", "pseudonyms who were cleared on appeal", "minors; Anthropomorphic Measures art 14",
           "`minors.cleared_days`", is_personal=True),
)  # fmt: skip


def table(kept: Sequence[Kept] = KEPT) -> str:
    """The list as a Markdown table, for the documentation."""
    lines = [
        "| where | table or shelf | what | leads to a person | for which duty | how long |",
        "|---|---|---|---|---|---|",
    ]
    for item in kept:
        personal = "by pseudonym, or sealed" if item.is_personal else "no"
        lines.append(f"| `{item.place}` | `{item.name}` | {item.what} | {personal} | {item.why} | {item.how_long} |")
    return "\n".join(lines) + "\n"
