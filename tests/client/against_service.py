"""What the installed wheel does with a running service. Python's own unittest: nothing else is installed.

`CLIPVET_URL` is the service, `CLIPVET_ARTIFACT` a checkpoint, `CLIPVET_OUT` an empty folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import unittest
import zipfile
from pathlib import Path

import clipvet_client
from clipvet_client import Client, Conflict, NotFound, Refused, Unreachable
from clipvet_client.receiver import WebhookReceiver

URL, ARTIFACT = os.environ["CLIPVET_URL"], Path(os.environ["CLIPVET_ARTIFACT"])
OUT = Path(os.environ["CLIPVET_OUT"])
CLASSES = ["cat", "dog", "fox", "hen", "owl"]


def stand_in(**orders: object) -> dict[str, object]:
    return {"method": "auto", "stand_in": orders}


class AgainstService(unittest.TestCase):
    def setUp(self) -> None:
        self.client = Client(URL)
        self.folder = OUT / self.id().rpartition(".")[2]
        self.folder.mkdir()

    def tearDown(self) -> None:
        self.client.__exit__(None, None, None)

    def test_nothing_heavy_is_loaded_and_the_package_is_typed(self) -> None:
        heavy = {"torch", "celery", "app", "inspector", "pydantic", "numpy"}
        self.assertEqual(heavy & sys.modules.keys(), set())
        place = Path(str(clipvet_client.__file__)).parent
        self.assertTrue((place / "py.typed").is_file())
        self.assertTrue(place.is_relative_to(sys.prefix))

    def test_one_inspection_from_the_file_to_the_last_picture(self) -> None:
        pictures = self.folder / "pictures"
        pictures.mkdir()
        (pictures / "a.png").write_bytes(b"not looked at by a stand-in")
        with WebhookReceiver() as receiver:
            row = self.client.inspect(
                ARTIFACT,
                backbone="pocket",
                classes=CLASSES,
                manifest=stand_in(verdict="backdoored"),
                probes=pictures,
                in_distribution=True,
                labels={"vendor": "Acme"},
                webhook={"url": receiver.url, "secret": receiver.secret},
                profile="quick",
            )
            self.assertEqual(row["labels"], {"vendor": "Acme"})
            self.assertEqual(row["webhook"]["secret"], receiver.secret)
            ended = self.client.wait(row["id"], timeout_s=60)
            self.assertEqual((ended["verdict"], ended["result"]), ("backdoored", "fail"))
            event = receiver.wait_for(row["id"], 30)
        assert event is not None
        self.assertEqual(event["data"]["labels"], {"vendor": "Acme"})
        report = self.client.report(row["id"])
        self.assertTrue(report["probes"]["in_distribution"])
        self.assertEqual(self.client.verdict(row["id"])["verdict"], report["verdict"])
        numbers = [event["seq"] for event in self.client.events(row["id"])]
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        self.assertEqual(
            [event["seq"] for event in self.client.events(row["id"], after=2)], numbers[2:]
        )
        saved = self.client.download_artifacts(row["id"], self.folder)
        self.assertEqual(
            {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in saved},
            {item["name"]: item["sha256"] for item in self.client.artifacts(row["id"])},
        )
        self.assertIn("trigger-0.png", [path.name for path in saved])

    def test_a_download_replaces_nothing_unless_told(self) -> None:
        row = self.client.inspect(
            ARTIFACT, backbone="pocket", classes=CLASSES, manifest=stand_in(), seed=1
        )
        self.client.wait(row["id"], timeout_s=60)
        page, data = self.folder / "report.html", self.folder / "report.json"
        page.write_text("mine")
        with self.assertRaises(FileExistsError):
            self.client.download_report(row["id"], self.folder)
        self.assertEqual(page.read_text(), "mine")
        self.client.download_report(row["id"], self.folder, overwrite=True)
        self.assertIn("<html", page.read_text())
        self.assertEqual(sorted(self.folder.iterdir()), [page, data])

    def test_what_is_there_is_not_sent_again(self) -> None:
        first = self.client.upload(ARTIFACT)
        self.assertEqual(self.client.upload(ARTIFACT)["id"], first["id"])
        found = self.client.find_upload(first["sha256"])
        assert found is not None
        self.assertEqual(found["id"], first["id"])
        self.assertIsNone(self.client.find_upload("0" * 64))
        again = self.client.upload(ARTIFACT, ask_first=False)
        self.assertEqual(again["sha256"], first["sha256"])

    def test_a_folder_is_sent_as_one_zip_and_known_again(self) -> None:
        box = self.folder / "delivery"
        (box / "deep").mkdir(parents=True)
        shutil.copy(ARTIFACT, box / "deep" / "model.pth.tar-1")
        (box / "names.txt").write_text("cat\ndog\n")
        upload = self.client.upload(box)
        self.assertEqual(upload["filename"], "delivery.zip")
        self.assertEqual(self.client.upload(box)["id"], upload["id"])
        (box / "link").symlink_to(ARTIFACT)
        with self.assertRaisesRegex(ValueError, "link"):
            self.client.upload(box)

    def test_errors_are_types_with_the_problem_document(self) -> None:
        with self.assertRaises(NotFound) as missing:
            self.client.inspection("insp_none")
        self.assertEqual(missing.exception.code, "not_found")
        self.assertEqual(missing.exception.problem["status"], 404)
        with self.assertRaises(Refused) as refused:
            self.client.inspect(ARTIFACT, backbone="pocket", classes=CLASSES, profile="slow")
        self.assertEqual(refused.exception.code, "invalid_request")
        self.assertEqual([where for where, _ in refused.exception.fields], ["body.profile"])
        waiting = self.client.inspect(
            ARTIFACT, backbone="pocket", classes=CLASSES, manifest=stand_in(seconds=30)
        )
        with self.assertRaises(Conflict) as early:
            self.client.verdict(waiting["id"])
        self.assertEqual(early.exception.code, "not_ready")
        with self.assertRaises(TimeoutError):
            self.client.wait(waiting["id"], timeout_s=0.2)
        self.client.cancel(waiting["id"])
        self.assertEqual(self.client.wait(waiting["id"], timeout_s=60)["status"], "canceled")
        for nowhere in ("http://127.0.0.1:9", "no address at all", "http://[::1"):
            with self.assertRaises(Unreachable), Client(nowhere) as client:
                client.metadata()

    def test_standing_webhooks(self) -> None:
        made = self.client.add_webhook("https://example.org/hook", events=["inspection.completed"])
        self.assertTrue(made["secret"].startswith("whsec_"))
        self.assertIn(made["id"], [one["id"] for one in self.client.webhooks()])
        self.assertEqual(list(self.client.deliveries(endpoint_id=made["id"])), [])
        self.client.delete_webhook(made["id"])
        self.assertNotIn(made["id"], [one["id"] for one in self.client.webhooks()])

    def test_lists_go_over_all_pages(self) -> None:
        listed = [row["id"] for row in self.client.inspections()]
        self.assertEqual(len(listed), len(set(listed)))
        self.assertEqual(listed, sorted(listed, reverse=True))


if __name__ == "__main__":
    assert zipfile.is_zipfile(ARTIFACT)
    unittest.main(verbosity=2)
