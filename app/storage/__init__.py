"""Where bytes lie: one Protocol, a folder and S3. Knows keys, not what they mean."""

from app.settings import Settings
from app.storage.local import FolderStore
from app.storage.s3 import S3Store
from app.storage.store import PartsChanged, Store, Stored, StoreMissing, Unfinished

__all__ = [
    "FolderStore",
    "PartsChanged",
    "S3Store",
    "Store",
    "StoreMissing",
    "Stored",
    "Unfinished",
    "open_store",
]


def open_store(settings: Settings) -> Store:
    """The store that the settings name.

    Raises:
        ValueError: ``store_url`` has an unknown scheme.
    """
    if settings.store_url is None:
        return FolderStore(settings.data_dir.absolute() / "store", settings.needed_free_bytes)
    if settings.store_url.startswith("s3://"):
        return S3Store.from_settings(settings)
    raise ValueError(f"CLIPVET_STORE_URL must begin with s3://, not {settings.store_url[:20]!r}")
