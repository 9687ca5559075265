"""S3 and what speaks its language (MinIO, Ceph, …) as a store.

Parts pass through the API, which hashes them on the way, and go to a multipart upload; nothing is
presigned, so no byte reaches the bucket unmeasured and the server's sha256 is never the client's
word. An ETag tells whether a part is still the one that was put; it is no hash of the content
and is never used as one. A multipart upload is bound to its key and becomes an object once,
so what lies there stays.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from app.errors import StoreUnavailable
from app.settings import MIB, Settings
from app.storage.store import PartsChanged, Stored, StoreMissing, Unfinished, guarded

_MISSING = {"404", "NoSuchKey", "NoSuchUpload", "NotFound"}
_CHANGED = {"InvalidPart", "InvalidPartOrder"}
_PAGE = 1000
_JOINING_ELSEWHERE_S = (0.0, 0.2, 0.5, 1.0, 2.0)
"""How often to look for the object of an upload that another request is just joining, perhaps."""

_CHECK_S = 3
"""A check waits no longer: whoever asks wants to know now."""


@contextmanager
def _translated(key: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code = _code(error)
        if code in _MISSING:
            raise StoreMissing(key) from error
        raise StoreUnavailable(f"the object store answered {code or 'an error'}") from error
    except (BotoCoreError, Boto3Error) as error:
        raise StoreUnavailable("the object store cannot be reached") from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


class S3Store:
    """Implements ``Store`` on one bucket, below an optional prefix."""

    min_part_bytes = 5 * MIB
    """S3's own rule for every part but the last."""

    def __init__(
        self, client: Any, bucket: str, prefix: str = "", checker: Any | None = None
    ) -> None:
        """``checker``: a client of less patience, for :meth:`check`."""
        self._client = client
        self._checker = checker or client
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    @classmethod
    def from_settings(cls, settings: Settings) -> S3Store:
        """Credentials come from the settings, else from boto3's usual chain."""
        url = urlsplit(settings.store_url or "")
        access, secret = settings.s3_access_key, settings.s3_secret_key

        def client(read_timeout_s: int, retries: int) -> Any:
            return boto3.client(
                "s3",
                endpoint_url=settings.s3_endpoint_url,
                region_name=settings.s3_region,
                aws_access_key_id=access.get_secret_value() if access else None,
                aws_secret_access_key=secret.get_secret_value() if secret else None,
                config=Config(
                    connect_timeout=min(5, read_timeout_s),
                    read_timeout=read_timeout_s,
                    retries={"max_attempts": retries, "mode": "standard"},
                    max_pool_connections=50,
                    # Endpoints other than AWS often reject boto3's newer default checksums.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                    s3={"addressing_style": "path"} if settings.s3_endpoint_url else {},
                ),
            )

        return cls(client(60, 3), url.netloc, url.path, checker=client(_CHECK_S, 0))

    def check(self) -> None:
        """``HEAD`` of the bucket, by a client of less patience."""
        try:
            with _translated("bucket"):
                self._checker.head_bucket(Bucket=self._bucket)
        except StoreMissing:
            raise StoreUnavailable("the bucket is not there") from None

    def put(self, key: str, source: Path) -> None:
        """Upload the file, in parts where it is long (boto3's ``upload_file``)."""
        with _translated(key):
            self._client.upload_file(str(source), self._bucket, self._prefix + key)

    def open(self, key: str) -> BinaryIO:
        """The object's bytes as they arrive; nothing is spooled here."""
        with _translated(key):
            answer = self._client.get_object(**self._at(key))
        return guarded(answer["Body"])

    def size(self, key: str) -> int:
        """``ContentLength`` of a ``HEAD``."""
        with _translated(key):
            return int(self._client.head_object(**self._at(key))["ContentLength"])

    def delete(self, key: str) -> None:
        """Delete the object; S3 does not mind an unknown key."""
        with _translated(key):
            self._client.delete_object(**self._at(key))

    def begin_parts(self, key: str) -> str:
        """Create a multipart upload; its id is the answer."""
        with _translated(key):
            return str(self._client.create_multipart_upload(**self._at(key))["UploadId"])

    def put_part(self, key: str, ref: str, number: int, source: Path) -> str:
        """Upload a part; its ETag is the answer."""
        with _translated(key), source.open("rb") as body:
            answer = self._client.upload_part(
                **self._at(key), UploadId=ref, PartNumber=number, Body=body
            )
        return str(answer["ETag"])

    def forget_part(self, key: str, ref: str, number: int, part: str) -> None:
        """Nothing: putting another part of that number has replaced it."""

    def join_parts(self, key: str, ref: str, parts: Sequence[tuple[int, str]]) -> str:
        """Complete the multipart upload; an object that is already there counts as joined."""
        listed = [{"PartNumber": number, "ETag": etag} for number, etag in parts]
        try:
            with _translated(key):
                try:
                    self._client.complete_multipart_upload(
                        **self._at(key), UploadId=ref, MultipartUpload={"Parts": listed}
                    )
                except ClientError as error:
                    if _code(error) in _CHANGED:
                        raise PartsChanged(self._differing(key, ref, parts)) from error
                    raise
        except (StoreMissing, StoreUnavailable):
            # Joined before a crash, by another request, or by this one
            # although the answer was lost.
            if not self._appears(key):
                raise
        return key

    def drop_parts(self, key: str, ref: str) -> None:
        """Abort the multipart upload; one that is unknown is gone already."""
        with suppress(StoreMissing), _translated(key):
            self._client.abort_multipart_upload(**self._at(key), UploadId=ref)

    def objects(self) -> Iterator[Stored]:
        """Every object below ``tenants/``; half-written ones never show on S3."""
        for item in self._listed("list_objects_v2", "Contents"):
            key = str(item["Key"]).removeprefix(self._prefix)
            yield Stored(key, int(item["Size"]), item["LastModified"])

    def unfinished(self) -> Iterator[Unfinished]:
        """Every multipart upload below ``tenants/``; S3 does not tell how large they are."""
        for item in self._listed("list_multipart_uploads", "Uploads"):
            key = str(item["Key"]).removeprefix(self._prefix)
            yield Unfinished(key, str(item["UploadId"]), item["Initiated"], None)

    def _listed(self, operation: str, field: str) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator(operation).paginate(
            Bucket=self._bucket,
            Prefix=f"{self._prefix}tenants/",
            PaginationConfig={"PageSize": _PAGE},
        )
        with _translated("tenants"):
            for page in pages:
                yield from page.get(field, [])

    def _differing(self, key: str, ref: str, parts: Sequence[tuple[int, str]]) -> list[int]:
        """Parts that the store lacks or has under another ETag; all where none differs."""
        pages = self._client.get_paginator("list_parts").paginate(**self._at(key), UploadId=ref)
        items = (item for page in pages for item in page.get("Parts", []))
        here = {item["PartNumber"]: item["ETag"].strip('"') for item in items}
        differing = [number for number, etag in parts if here.get(number) != etag.strip('"')]
        return differing or [number for number, _ in parts]

    def _appears(self, key: str) -> bool:
        for pause in _JOINING_ELSEWHERE_S:
            time.sleep(pause)
            with suppress(StoreMissing):
                self.size(key)
                return True
        return False

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}
