"""``python -m tests.support.s3_server``: moto's server, in which an upload in parts that is gone is NoSuchUpload.

moto 5.2 looks such an upload up in a dictionary and answers 500, which boto3 tries again for seconds; S3
itself answers 404 with this code.
"""

from __future__ import annotations

from typing import Any

from moto.s3.exceptions import NoSuchUpload
from moto.s3.models import S3Backend
from moto.server import main


def _known(name: str) -> None:
    original = getattr(S3Backend, name)

    def checked(self: Any, bucket_name: str, multipart_id: str, *rest: Any, **more: Any) -> Any:
        try:
            return original(self, bucket_name, multipart_id, *rest, **more)
        except KeyError as error:
            if error.args == (multipart_id,):
                raise NoSuchUpload(upload_id=multipart_id) from None
            raise

    setattr(S3Backend, name, checked)


if __name__ == "__main__":
    for operation in ("upload_part", "complete_multipart_upload"):
        _known(operation)
    main()
