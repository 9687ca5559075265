"""Ledgers on the databases and stores that the service supports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr

from app.db.migrate import upgrade
from app.db.session import Database
from app.settings import Settings
from tests.support.servers import BUCKET, new_database, shared_servers


def s3_settings(folder: Path) -> Settings:
    return Settings(
        data_dir=folder,
        store_url=f"s3://{BUCKET}/{uuid4().hex}",
        s3_endpoint_url=shared_servers().s3,
        s3_access_key=SecretStr("test"),
        s3_secret_key=SecretStr("test"),
    )


@pytest.fixture
def settings_on_s3(tmp_path: Path) -> Settings:
    return s3_settings(tmp_path)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database of the newest schema."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'x.sqlite3'}"
    else:
        url = new_database(shared_servers().postgres)
    made = Database(Settings(database_url=url).resolved_database_url)
    upgrade(made)
    yield made
    made.close()
