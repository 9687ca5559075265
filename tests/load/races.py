"""``python -m tests.load.races --races 2000``: parts against ``complete`` on a real API process.

For each store (a folder, S3) and database (SQLite, PostgreSQL) an API process is started, and its share
of the races is run over HTTP, several at a time. Prints how many ended how; exits with 1 on any stored
hash that is not the hash of the stored bytes, any part that nobody acknowledged, and any answer other
than 200, 409 and 404 (422 where a hash is declared), and on anything that a purge leaves or takes wrongly.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import httpx2
from sqlalchemy import select

from app.db.session import Database
from app.models import Upload
from app.purge import Order, purge
from app.settings import MIB, Settings
from app.storage import Store, open_store
from tests.support.processes import Process
from tests.support.races import Race, drawn
from tests.support.servers import (
    BUCKET,
    S3_ENVIRONMENT,
    answers,
    free_port,
    new_database,
    shared_servers,
    wait_for,
)

STORES = ("folder", "s3")
DATABASES = ("sqlite", "postgres")
_FOLDER_PART = 200_000
_AT_A_TIME = 6


@contextlib.contextmanager
def api(folder: Path, store: str, database: str) -> Iterator[tuple[str, Settings]]:
    """A running API process on this store and database; its URL and settings."""
    environment = {"CLIPVET_DATA_DIR": str(folder), "CLIPVET_PART_BYTES": str(_FOLDER_PART)}
    if database == "postgres":
        environment["CLIPVET_DATABASE_URL"] = new_database(shared_servers().postgres)
    if store == "s3":
        environment |= S3_ENVIRONMENT | {
            "CLIPVET_STORE_URL": f"s3://{BUCKET}/{uuid4().hex}",
            "CLIPVET_S3_ENDPOINT_URL": shared_servers().s3,
        }
    run = [sys.executable, "-m", "app"]
    subprocess.run([*run, "migrate"], check=True, env=os.environ | environment)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = Process(["api", "--port", str(port)], environment, folder / "api.log")
    try:
        wait_for("the API", lambda: answers(f"{url}/readyz"))
        names = {key.removeprefix("CLIPVET_").lower(): value for key, value in environment.items()}
        yield url, Settings.model_validate(names)
    finally:
        process.kill()


class Tally:
    """How the races of one service ended."""

    def __init__(self) -> None:
        self.endings: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self.broken: list[str] = []


def races(url: str, settings: Settings, count: int, seed: int) -> Tally:
    """Run this many races against a service, several at a time."""
    store, database = open_store(settings), Database(settings.resolved_database_url)
    tally = Tally()

    def read(upload_id: str) -> bytes:
        with database.read() as session:
            key = session.get_one(Upload, upload_id).storage_key
        with store.open(key) as stream:
            return stream.read()

    def one(number: int) -> None:
        chance = random.Random(f"{seed}/{number}")
        is_s3 = settings.store_url is not None
        course = drawn(chance, 5 * MIB if is_s3 else _FOLDER_PART, cheap=is_s3)
        race = Race(url, client, chance, read)
        try:
            tally.endings[race.run(course)] += 1
        except Exception as error:
            tally.endings["broken"] += 1
            tally.broken.append(f"race {number}: {type(error).__name__}: {error}")
        tally.answers.update(race.answers)

    with httpx2.Client(timeout=120) as client, ThreadPoolExecutor(_AT_A_TIME) as pool:
        list(pool.map(one, range(count)))
    tally.broken += left_over(database, store, settings)
    database.close()
    return tally


def left_over(database: Database, store: Store, settings: Settings) -> list[str]:
    """What a purge without any grace leaves in the store and no stored upload names, or takes wrongly."""
    found = purge(database, store, Order.of(settings, older_than_s=0)).faults
    with database.read() as session:
        query = select(Upload.storage_key).where(Upload.status == "stored")
        named = set(session.scalars(query))
    lying = {stored.key for stored in store.objects()}
    told = [f"purge: {step}: {why}" for step, why in found.items()]
    told += [f"purge: {key} is named and gone" for key in named - lying]
    told += [f"purge: {key} is left over" for key in lying - named]
    return told + [f"purge: parts of {parts.key} are left over" for parts in store.unfinished()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--races", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--store", choices=STORES, nargs="+", default=STORES)
    parser.add_argument("--database", choices=DATABASES, nargs="+", default=DATABASES)
    chosen = parser.parse_args()
    services = [(store, database) for store in chosen.store for database in chosen.database]
    broken = 0
    for place, (store, database) in enumerate(services):
        count = chosen.races // len(services) + (place < chosen.races % len(services))
        with tempfile.TemporaryDirectory(prefix="cv-races-") as folder:
            begun = time.monotonic()
            with api(Path(folder), store, database) as (url, settings):
                tally = races(url, settings, count, chosen.seed)
        seconds = time.monotonic() - begun
        print(f"{store} and {database}: {count} races in {seconds:.0f} s, {dict(tally.endings)}")
        for answer, times in sorted(tally.answers.items()):
            print(f"    {times:6} {answer}")
        for line in tally.broken[:10]:
            print(f"    {line[:300]}")
        sys.stdout.flush()
        broken += len(tally.broken)
    print(f"{chosen.races} races, {broken} broken, seed {chosen.seed}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
