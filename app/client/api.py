"""A synchronous client: one method per thing one does with the service.

Reads files, speaks HTTP, returns the service's JSON as it is. Knows no screen and no exit code.
Every method raises :class:`~.errors.ApiError` where the service refuses and
:class:`~.errors.Unreachable` where nobody answers.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote
from uuid import uuid4

from . import files, uploads
from .errors import ClipvetError, Conflict, NotFound
from .transport import PATIENCE_S, Json, Transport

TERMINAL = frozenset({"succeeded", "failed", "canceled", "expired"})
"""How an inspection ends."""

_FIRST_HOLD_S, _LONGEST_HOLD_S = 1.0, 30.0
_SLOWER = 1.5
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_ETAG = re.compile(r'"([0-9a-f]{64})"')


def _no_progress(_sent: int) -> None:
    """For whoever looks at no bar."""


class Client:
    """Use as a context manager."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        timeout_s: float = 90,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._http = Transport(url, token, timeout_s, patience_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._http.close()

    def get(self, path: str, **params: Any) -> Json:
        """The JSON under a path, asked for once."""
        return self._http.json("GET", path, params=params)

    def post(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Json:
        """The JSON of the answer to ``body``, sent as JSON, once."""
        return self._http.json("POST", path, json=body, headers=headers)

    def metadata(self) -> Json:
        """Engine, version, profiles, registered backbones, limits."""
        return self.get("/v1/metadata")

    # Uploads

    def find_upload(self, sha256: str) -> Json | None:
        """A complete upload of these bytes; None where the service does not have them."""
        return uploads.find(self._http, sha256)

    def upload(
        self,
        path: Path,
        progress: Callable[[int], None] = _no_progress,
        *,
        ask_first: bool = True,
    ) -> Json:
        """Send a file, or a folder as one zip; the completed upload.

        What is there already is not sent (``ask_first``), nor are parts that arrived before the
        link was cut or this process was killed.

        Args:
            progress: is given how many bytes have arrived.

        Raises:
            ValueError: a folder that holds links, or nothing.
        """
        with files.as_one_file(path) as one:
            return uploads.send(self._http, one, progress, ask_first=ask_first)

    # Inspections

    def create_inspection(self, body: Mapping[str, Any]) -> Json:
        """Queue an inspection, once however often the answer is lost."""
        key = {"Idempotency-Key": uuid4().hex}
        return self._http.patiently(lambda: self.post("/v1/inspections", dict(body), key))

    def inspect(
        self,
        artifact: Path,
        *,
        backbone: str,
        classes: Sequence[str] | None = None,
        manifest: Mapping[str, Any] | None = None,
        probes: Path | None = None,
        labelled: Path | None = None,
        pairs: Path | None = None,
        labels: Mapping[str, str] | None = None,
        webhook: Mapping[str, Any] | None = None,
        progress: Callable[[int], None] = _no_progress,
        **options: Any,
    ) -> Json:
        """Send what is missing and queue an inspection of it.

        Args:
            artifact: a checkpoint, an archive, or a folder.
            classes: names in label order; they take the place of the manifest's. Where nobody
                names any, they are decoded from the file.
            probes: a folder or zip of pictures, in place of the built-in ones.
            labelled: a folder or zip of pictures of the task, in a folder a class, named as the
                class is: half of them teach a repair, half of them measure its accuracy. Needs
                ``repair=True``.
            pairs: a folder, zip or tar (a shard of a webdataset) of pictures with captions, x.png
                beside x.txt, on which changed encoders are cleaned. Needs ``repair=True``.
            labels: key and value of your own, shown with the inspection and in webhooks.
            webhook: ``url``, and where wanted ``secret`` and ``events``.
            options: any other field of ``POST /v1/inspections``: profile, seed, fail_on, repair …

        Raises:
            ValueError: labelled pictures or pairs, and no repair that they would serve; or see
                `upload`.
        """
        for what, given in (("labelled pictures", labelled), ("pairs", pairs)):
            if given is not None and not options.get("repair"):
                # The service says so, too, but only of what was sent.
                raise ValueError(f"{what} serve a repair, and none is asked for (repair)")
        stated = {"method": "auto", **(manifest or {})}
        if classes is not None:
            stated["classnames"] = list(classes)
        body: Json = {"backbone": backbone, "manifest": stated, **options}
        body |= {
            name: dict(value)
            for name, value in {"labels": labels, "webhook": webhook}.items()
            if value is not None
        }
        pictures = {"probes": probes, "labelled": labelled, "pairs": pairs}
        return self._created(artifact, pictures, body, progress)

    def _created(
        self,
        artifact: Path,
        pictures: Mapping[str, Path | None],
        body: Json,
        progress: Callable[[int], None],
    ) -> Json:
        for ask_first in (True, False):
            sent = {"upload_id": self.upload(artifact, progress, ask_first=ask_first)["id"]}
            for name, path in pictures.items():
                if path is not None:
                    sent[name] = self.upload(path, ask_first=ask_first)["id"]
            try:
                return self.create_inspection(body | sent)
            except Conflict as error:
                # Known when it was asked for, and purged since.
                if error.code != "upload_purged" or not ask_first:
                    raise
        raise AssertionError

    def inspection(self, inspection_id: str) -> Json:
        """One inspection as it stands."""
        return self.get(f"/v1/inspections/{inspection_id}")

    def inspections(self, **filters: str) -> Iterator[Json]:
        """Newest first; filters are ``status``, ``verdict`` and ``sha256``."""
        return self._pages("/v1/inspections", **filters)

    def cancel(self, inspection_id: str) -> Json:
        """Ask for the end; repeating it is harmless."""
        return self.post(f"/v1/inspections/{inspection_id}/cancel")

    def events(self, inspection_id: str, after: int = 0) -> Iterator[Json]:
        """The history in order, from behind ``after`` on."""
        return self._pages(f"/v1/inspections/{inspection_id}/events", after=after)

    def watch(
        self,
        inspection_id: str,
        timeout_s: float | None = None,
        longest_hold_s: float = _FIRST_HOLD_S,
    ) -> Iterator[Json]:
        """The inspection again and again until it has ended.

        Each request is held by the service until the end or for some time, a second at first and
        half as long again each time, up to ``longest_hold_s``.

        Raises:
            TimeoutError: it has not ended after ``timeout_s``.
        """
        ends_at = None if timeout_s is None else time.monotonic() + timeout_s
        hold_s = min(_FIRST_HOLD_S, longest_hold_s)
        while True:
            asked_at = time.monotonic()
            hold = hold_s if ends_at is None else min(hold_s, max(ends_at - asked_at, 0.0))
            row = self._held(inspection_id, hold)
            yield row
            if row["status"] in TERMINAL:
                return
            if ends_at is not None and time.monotonic() >= ends_at:
                raise TimeoutError(f"{inspection_id} is {row['status']} after {timeout_s:.0f} s")
            # A service that ends, or a proxy, may hold nothing.
            time.sleep(max(0.0, asked_at + hold - time.monotonic()))
            hold_s = min(hold_s * _SLOWER, longest_hold_s)

    def wait(self, inspection_id: str, timeout_s: float | None = None) -> Json:
        """The inspection once it has ended, asked for ever less often; raises as :meth:`watch`."""
        *_, last = self.watch(inspection_id, timeout_s, _LONGEST_HOLD_S)
        return last

    def _held(self, inspection_id: str, hold_s: float) -> Json:
        path = f"/v1/inspections/{inspection_id}"
        return self._http.patiently(lambda: self.get(path, wait=round(hold_s, 3)))

    # What came out

    def verdict(self, inspection_id: str) -> Json:
        """The answer in short; ``Conflict`` with the code ``not_ready`` until there is one."""
        return self.get(f"/v1/inspections/{inspection_id}/verdict")

    def report(self, inspection_id: str) -> Json:
        """The whole report."""
        path = f"/v1/inspections/{inspection_id}/report.json"
        return self._http.patiently(lambda: self.get(path))

    def artifacts(self, inspection_id: str) -> list[Json]:
        """Files that the inspection left, with their sha256."""
        items: list[Json] = self.get(f"/v1/inspections/{inspection_id}/artifacts")["items"]
        return items

    def download(
        self, path: str, target: Path, *, sha256: str | None = None, overwrite: bool = False
    ) -> Path:
        """Save what lies under a path of the service, whole or not at all.

        Args:
            sha256: of what must arrive; without it the answer's own, where it names one.

        Raises:
            FileExistsError: ``target`` is there, and ``overwrite`` was not said.
            WrongDigest: other bytes arrived.
        """
        with self._http.stream(path) as answer:
            told = _ETAG.fullmatch(answer.headers.get("etag", ""))
            expected = sha256 or (told and told[1])
            files.keep(answer.iter_bytes(), target, expected, overwrite=overwrite)
        return target

    def download_report(
        self, inspection_id: str, folder: Path, *, overwrite: bool = False
    ) -> list[Path]:
        """``report.json`` and ``report.html`` in a folder that exists; raises as `download`."""
        here = f"/v1/inspections/{inspection_id}"
        return [
            self.download(f"{here}/{name}", folder / name, overwrite=overwrite)
            for name in ("report.json", "report.html")
        ]

    def download_artifacts(
        self, inspection_id: str, folder: Path, *, overwrite: bool = False
    ) -> list[Path]:
        """Every file that the inspection left, in a folder that exists; raises as `download`."""
        here = f"/v1/inspections/{inspection_id}/artifacts"
        saved = []
        for item in self.artifacts(inspection_id):
            name = str(item["name"])
            if not _PLAIN_NAME.fullmatch(name):
                raise ClipvetError(f"the service names a file {name!r:.200}; it is not saved")
            path, sha256 = f"{here}/{name}", str(item["sha256"])
            saved.append(self.download(path, folder / name, sha256=sha256, overwrite=overwrite))
        return saved

    def download_all(self, inspection_id: str, folder: Path) -> list[Path]:
        """What an auditor keeps, in a folder that is there and empty.

        Report and page, the files that the inspection left, ``attestation.json`` (the signed
        verdict) and ``record.json``, from which ``clipvet page`` draws the page again.
        """
        here = f"/v1/inspections/{inspection_id}"
        return [
            self.download(here, folder / "record.json"),
            *self.download_report(inspection_id, folder),
            *self.download_artifacts(inspection_id, folder),
            self.download(f"{here}/attestation", folder / "attestation.json"),
        ]

    # Policies

    def add_policy(self, document: Mapping[str, Any]) -> Json:
        """A new version of the policy of that name."""
        key = {"Idempotency-Key": uuid4().hex}
        return self.post("/v1/policies", dict(document), key)

    def policies(self) -> Iterator[Json]:
        """Every version of every policy, newest first."""
        return self._pages("/v1/policies")

    def policy(self, name: str, version: int | None = None) -> Json:
        """One policy, in its newest version unless another one is asked for."""
        asked = {} if version is None else {"version": version}
        return self.get(f"/v1/policies/{quote(name, safe='')}", **asked)

    def evaluate(self, inspection_id: str, policy: str | Mapping[str, Any]) -> Json:
        """What a policy makes of a finished inspection, rule by rule.

        Args:
            policy: NAME or NAME@VERSION of one that the service keeps, or a document of your own.
        """
        body: Json = {"inspection_id": inspection_id}
        if isinstance(policy, str):
            name, _, version = policy.partition("@")
            body["policy"] = name
            if version:
                body["version"] = int(version)
        else:
            body["document"] = dict(policy)
        return self._http.patiently(lambda: self.post("/v1/evaluations", body))

    def check_policy(self, document: Mapping[str, Any]) -> None:
        """Raises ``Refused`` where the service would not take a policy; keeps nothing.

        An evaluation is asked for of an inspection that nobody has: the policy is read first.
        """
        try:
            self.evaluate("insp_none", document)
        except NotFound:
            return

    # Webhooks

    def add_webhook(
        self, url: str, *, secret: str | None = None, events: Sequence[str] = ()
    ) -> Json:
        """A receiver of all inspections' events; the secret is in this answer only."""
        body = {"url": url, "secret": secret, "events": list(events)}
        return self.post("/v1/webhook_endpoints", body, {"Idempotency-Key": uuid4().hex})

    def webhooks(self) -> Iterator[Json]:
        """Standing receivers, newest first."""
        return self._pages("/v1/webhook_endpoints")

    def delete_webhook(self, endpoint_id: str) -> None:
        """Send nothing there any more."""
        self._http.request("DELETE", f"/v1/webhook_endpoints/{endpoint_id}")

    def deliveries(self, **filters: str) -> Iterator[Json]:
        """The delivery log, newest first; filters are ``endpoint_id`` and ``inspection_id``."""
        return self._pages("/v1/deliveries", **filters)

    def redeliver(self, delivery_id: str) -> Json:
        """Send this event again, now."""
        return self.post(f"/v1/deliveries/{delivery_id}/redeliver")

    # Links

    def url_of(self, link: str) -> str:
        """A link of an answer as one can open it from here."""
        return self._http.url_of(link)

    def _pages(self, path: str, **query: Any) -> Iterator[Json]:
        while True:
            page = self._http.patiently(lambda: self.get(path, **query))
            yield from page["items"]
            if not page.get("has_more"):
                return
            query["page_token"] = page["next_page_token"]
