"""What must hold at the end of a run, read from the database, the store and the rows of the run."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from app.inspections.transitions import EVENT_TYPES
from app.models import TERMINAL
from tests.chaos.findings import Finding, none_of
from tests.chaos.servers import BUCKET
from tests.chaos.world import World

_PREFIX = "clipvet/"
Row = dict[str, Any]


class Ledger:
    """The database as it is at the end, by inspection."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.accepted = {row["id"]: row for row in world.record.of("accepted")}
        self.inspections = {row["id"]: row for row in world.rows("SELECT * FROM inspections")}
        self.uploads = {row["id"]: row for row in world.rows("SELECT * FROM uploads")}
        self.artifacts = world.rows("SELECT * FROM artifacts")
        self.events: defaultdict[str, list[Row]] = defaultdict(list)
        for row in world.rows("SELECT * FROM inspection_events ORDER BY seq"):
            self.events[row["inspection_id"]].append(row)
        self.reports = Counter(
            row["inspection_id"] for row in world.rows("SELECT inspection_id FROM reports")
        )

    @property
    def ended(self) -> dict[str, Row]:
        return {key: row for key, row in self.inspections.items() if row["status"] in TERMINAL}


def judge(world: World, wishes: int) -> Iterator[Finding]:
    """Everything that can be read off at the end, one finding after the other."""
    ledger = Ledger(world)
    yield from _acknowledged(ledger, wishes)
    yield from _endings(ledger)
    yield from _histories(ledger)
    yield from _hooks(ledger)
    yield from _stored(ledger)


def _acknowledged(ledger: Ledger, wishes: int) -> Iterator[Finding]:
    record = ledger.world.record
    yield Finding(
        "inspections acknowledged",
        f"{len(ledger.accepted)} of {wishes}",
        len(ledger.accepted) == wishes,
    )
    wrong = [*record.of("gave_up"), *record.of("refused")]
    yield none_of("requests that an honest client could not get through", wrong)
    yield none_of(
        "acknowledged inspections that are not there",
        ledger.accepted.keys() - ledger.inspections.keys(),
    )
    sent = record.of("uploaded")
    yield none_of(
        "acknowledged uploads that are not there, or with another hash",
        [
            row["id"]
            for row in sent
            if row["sha256"] != row["sent"]
            or (ledger.uploads.get(row["id"]) or {}).get("sha256") != row["sent"]
        ],
        len(sent),
    )
    repeated = record.of("repeated")
    yield none_of(
        "requests repeated under one key with another answer",
        [row for row in repeated if len(set(row["ids"])) != 1],
        sum(len(row["ids"]) - 1 for row in repeated),
    )
    wanted = Counter(row["labels"].get("wish") for row in ledger.inspections.values())
    yield none_of(
        "requests that made more than one inspection",
        [f"wish {wish}: {count}" for wish, count in wanted.items() if count > 1],
    )


def _endings(ledger: Ledger) -> Iterator[Finding]:
    rows = ledger.inspections.values()
    yield none_of(
        "inspections that have not ended",
        [f"{row['id']} {row['status']}" for row in rows if row["status"] not in TERMINAL],
        len(rows),
    )
    counts = Counter(row["status"] for row in rows)
    yield Finding("how they ended", ", ".join(f"{n} {s}" for s, n in sorted(counts.items())), None)
    yield none_of("endings that changed afterwards", ledger.world.record.of("ending_changed"))
    yield none_of(
        "failed or expired by infrastructure",
        [_blame(ledger, row) for row in rows if _is_infrastructure(ledger, row)],
    )
    yield none_of(
        "canceled without having been asked to",
        [
            row["id"]
            for row in rows
            if row["status"] == "canceled"
            and not ledger.accepted.get(row["id"], {}).get("may_cancel")
        ],
    )
    succeeded = [row for row in rows if row["status"] == "succeeded"]
    yield none_of(
        "verdicts or targets other than ordered, or than the truth of the sample",
        [row["id"] for row in succeeded if not _is_as_expected(ledger, row)],
        len(succeeded),
    )
    real = [row for row in succeeded if ledger.accepted.get(row["id"], {}).get("is_real")]
    yield Finding("real inspections among them", str(len(real)), None)
    spent = Counter(row["attempt"] for row in rows)
    shown = ", ".join(f"{n} in {attempt}" for attempt, n in sorted(spent.items()))
    yield Finding("attempts that they took", shown, None)


def _is_infrastructure(ledger: Ledger, row: Row) -> bool:
    wish = ledger.accepted.get(row["id"])
    told_to = wish is not None and wish["expected"] == "failed"
    as_told = row["status"] == "failed" and told_to and row["error_code"] == "as_told"
    return row["status"] in ("failed", "expired") and not as_told


def _blame(ledger: Ledger, row: Row) -> str:
    hits = ledger.world.hits[row["id"]]
    return f"{row['id']} {row['status']} {row['error_code']} in attempt {row['attempt']}, {hits} hit by us"


def _is_as_expected(ledger: Ledger, row: Row) -> bool:
    wish = ledger.accepted.get(row["id"])
    if wish is None:
        return False
    target = (row["summary"] or {}).get("target")
    index = target["index"] if target else None
    if row["verdict"] != wish["expected"]:
        return False
    return bool(wish["expected"] != "backdoored" or index == wish["target"])


def _histories(ledger: Ledger) -> Iterator[Finding]:
    gaps, ends = [], []
    for identifier, row in ledger.inspections.items():
        events = ledger.events[identifier]
        if [event["seq"] for event in events] != list(range(1, row["last_seq"] + 1)):
            gaps.append(identifier)
        final = [event["status"] for event in events if event["status"] in TERMINAL]
        is_over = row["status"] in TERMINAL
        if final != ([row["status"]] if is_over else []) or (
            is_over and events[-1]["status"] != row["status"]
        ):
            ends.append(f"{identifier} {row['status']}: {final}")
    yield none_of("histories with gaps", gaps, len(ledger.inspections))
    yield none_of("histories without exactly one end, at their end", ends)
    wrong = [
        identifier
        for identifier, row in ledger.inspections.items()
        if ledger.reports[identifier] != (row["status"] == "succeeded")
    ]
    yield none_of("inspections without exactly one report if succeeded, none else", wrong)


def _hooks(ledger: Ledger) -> Iterator[Finding]:
    world = ledger.world
    twice = world.rows(
        "SELECT inspection_id, endpoint_id FROM webhook_deliveries"
        " GROUP BY 1, 2 HAVING count(*) > 1"
    )
    yield none_of("events that one endpoint is owed twice", twice)
    came: defaultdict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
    received = world.record.of("received")
    for row in received:
        came[row["inspection"], row["path"]].add((row["webhook_id"], row["type"]))
    missing, doubled = [], []
    for identifier, row in ledger.ended.items():
        wish = ledger.accepted.get(identifier, {"wish": None, "has_own_hook": False})
        own = [f"/own/{wish['wish']}"] if wish["has_own_hook"] else []
        got = [came[identifier, path] for path in ("/standing", *own)]
        if any({kind for _, kind in one} != {EVENT_TYPES[row["status"]]} for one in got):
            missing.append(f"{identifier} {row['status']}: {got}")
        if len({webhook_id for one in got for webhook_id, _ in one}) > 1:
            doubled.append(identifier)
    yield none_of("ends that the sink was not told, or told otherwise", missing, len(ledger.ended))
    yield none_of("ends told under more than one webhook-id", doubled)
    paths = Counter((row["inspection"], row["path"]) for row in received)
    again = sum(count - 1 for count in paths.values())
    yield Finding("told more than once, under the same id", f"{again} of {len(received)}", None)


def _stored(ledger: Ledger) -> Iterator[Finding]:
    client = ledger.world.bucket()
    uploads = [row for row in ledger.uploads.values() if row["status"] == "stored"]
    yield none_of(
        "stored uploads whose bytes have another hash",
        [row["id"] for row in uploads if _hash(client, row["storage_key"]) != row["sha256"]],
        len(uploads),
    )
    yield none_of(
        "artifacts whose bytes have another hash",
        [
            row["storage_key"]
            for row in ledger.artifacts
            if _hash(client, row["storage_key"]) != row["sha256"]
        ],
        len(ledger.artifacts),
    )
    known = {row["storage_key"] for row in (*uploads, *ledger.artifacts)}
    keys = [
        item["Key"].removeprefix(_PREFIX)
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        for item in page.get("Contents", [])
    ]
    yield none_of("objects that no row knows, after the purge", set(keys) - known, len(keys))
    yield none_of("unfinished multipart uploads after the purge", _multiparts(client))


def _hash(client: Any, key: str) -> str:
    digest = hashlib.sha256()
    try:
        body = client.get_object(Bucket=BUCKET, Key=_PREFIX + key)["Body"]
    except ClientError as error:
        return str(error)
    for block in iter(lambda: body.read(1 << 20), b""):
        digest.update(block)
    return digest.hexdigest()


def _multiparts(client: Any) -> list[str]:
    try:
        listed = client.list_multipart_uploads(Bucket=BUCKET)
    except ClientError as error:
        # So says rclone of a bucket that has had none since it was started.
        if error.response["Error"]["Code"] == "NoSuchUpload":
            return []
        raise
    return [item["Key"] for item in listed.get("Uploads") or []]
