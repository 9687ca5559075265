"""An API in this process on a fresh database and folder store, and shortcuts through it."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from app.db.migrate import upgrade
from app.db.session import Database
from app.dependencies import Context
from app.main import create_app
from app.models import Upload
from app.settings import Settings

CLASSES = ["cat", "dog", "fox", "hen", "owl"]


@functools.cache
def _migrated() -> bytes:
    """An empty database of the newest schema; made once, as migrating takes a moment."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "template.sqlite3"
        database = Database(f"sqlite:///{path}")
        upgrade(database)
        database.close()
        return path.read_bytes()


class Ledger:
    """``api`` speaks HTTP to the application, ``context`` is what it holds."""

    def __init__(self, settings: Settings) -> None:
        app = create_app(settings)
        self.settings = settings
        self.context: Context = app.state.context
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        if settings.database_url is None:
            (settings.data_dir / "clipvet.sqlite3").write_bytes(_migrated())
        else:
            upgrade(self.context.database)
        self.api = TestClient(app, raise_server_exceptions=False)

    def close(self) -> None:
        self.api.close()
        self.context.database.close()

    def upload(self, data: bytes, **declared: Any) -> dict[str, Any]:
        """A completed upload of ``data``."""
        body = {"filename": "model.pth.tar-50", "size": len(data)} | declared
        upload = self.api.post("/v1/uploads", json=body).json()
        for part in upload["parts"]:
            piece = data[part["start_offset"] : part["end_offset"]]
            assert self.api.put(part["upload_url"], content=piece).status_code == 200
        answer = self.api.post(f"/v1/uploads/{upload['id']}/complete")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def stored_bytes(self, upload_id: str) -> bytes:
        """What lies in the store where the row of an upload says."""
        with self.context.database.read() as session:
            key = session.get_one(Upload, upload_id).storage_key
        with self.context.store.open(key) as stream:
            return stream.read()

    def inspection(self, upload_id: str | None = None, **wishes: Any) -> dict[str, Any]:
        """A queued inspection."""
        upload_id = upload_id or self.upload(b"some bytes")["id"]
        body = {"upload_id": upload_id, "backbone": "pocket", "classes": CLASSES} | wishes
        answer = self.api.post("/v1/inspections", json=body)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    def get(self, inspection_id: str) -> dict[str, Any]:
        return dict(self.api.get(f"/v1/inspections/{inspection_id}").json())


def settings_in(folder: Path, **changes: Any) -> Settings:
    """Settings of an embedded service under ``folder``, quick for tests."""
    values: dict[str, Any] = {"data_dir": folder, "poll_s": 0.1, "retry_delay_s": 0}
    return Settings(**values | changes)
