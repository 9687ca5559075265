"""S3 and what speaks its language (MinIO, Ceph, …) as a store.

Parts pass through the API, which hashes them on the way, and go to a multipart upload; nothing is
presigned, so no byte reaches the bucket unmeasured and the server's sha256 is never the client's
word. An ETag of a multipart object is no hash of its content and is never used as one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from app.errors import StoreUnavailable
from app.settings import MIB, Settings
from app.storage.store import StoreMissing

_MISSING = {"404", "NoSuchKey", "NoSuchUpload", "NotFound", "InvalidPart"}

_CHECK_S = 3
"""A check waits no longer: whoever asks wants to know now."""


@contextmanager
def _translated(key: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _MISSING:
            raise StoreMissing(key) from error
        raise StoreUnavailable(f"the object store answered {code or 'an error'}") from error
    except BotoCoreError as error:
        raise StoreUnavailable("the object store cannot be reached") from error


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
        with _translated("bucket"):
            self._checker.head_bucket(Bucket=self._bucket)

    def put(self, key: str, source: Path) -> None:
        with _translated(key):
            self._client.upload_file(str(source), self._bucket, self._prefix + key)

    def open(self, key: str) -> BinaryIO:
        with _translated(key):
            answer = self._client.get_object(**self._at(key))
        return cast(BinaryIO, answer["Body"])

    def size(self, key: str) -> int:
        with _translated(key):
            return int(self._client.head_object(**self._at(key))["ContentLength"])

    def delete(self, key: str) -> None:
        with _translated(key):
            self._client.delete_object(**self._at(key))

    def begin_parts(self, key: str) -> str:
        with _translated(key):
            return str(self._client.create_multipart_upload(**self._at(key))["UploadId"])

    def put_part(self, key: str, ref: str, number: int, source: Path) -> str:
        with _translated(key), source.open("rb") as body:
            answer = self._client.upload_part(
                **self._at(key), UploadId=ref, PartNumber=number, Body=body
            )
        return str(answer["ETag"])

    def join_parts(self, key: str, ref: str, parts: list[tuple[int, str]]) -> None:
        listed = [{"PartNumber": number, "ETag": etag} for number, etag in parts]
        with _translated(key):
            self._client.complete_multipart_upload(
                **self._at(key), UploadId=ref, MultipartUpload={"Parts": listed}
            )

    def drop_parts(self, key: str, ref: str) -> None:
        try:
            with _translated(key):
                self._client.abort_multipart_upload(**self._at(key), UploadId=ref)
        except StoreMissing:
            pass

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}
