"""A webhook receiver that is always there, takes everything and writes down what came."""

from __future__ import annotations

import json

from tests.chaos.record import Record
from tests.support.receiver import Received, Receiver


class Sink(Receiver):
    """Use as a context manager. Below ``url`` any path is an endpoint of its own."""

    def __init__(self, record: Record) -> None:
        super().__init__()
        self._record = record

    def keep(self, got: Received) -> None:
        body = json.loads(got.body)
        self._record.write(
            "received",
            path=got.path,
            webhook_id=got.headers["webhook-id"],
            type=body["type"],
            inspection=body["data"]["inspection_id"],
            verdict=body["data"]["verdict"],
        )

    @property
    def url(self) -> str:
        return super().url.removesuffix("/hook")
