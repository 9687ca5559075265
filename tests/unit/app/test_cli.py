"""The command line: exit codes, and handing over to the inspector."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from app import cli
from app.client import Client, Unreachable
from app.client.gate.orders import read_classes, read_manifest
from inspector.errors import ManifestError
from inspector.manifest import parse_class_list


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["clipvet", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    code = caught.value.code
    assert isinstance(code, int)
    return code


@pytest.mark.parametrize(
    "arguments",
    [
        ["bogus"],
        ["submit"],
        ["serve", "--port", "many"],
        ["submit", "/no/such/file", "--url", "http://x", "--backbone", "b"],
    ],
)
def test_usage_errors_exit_4(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    assert run(monkeypatch, *arguments) == 4


def test_help_exits_0(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--help") == 0
    shown = capsys.readouterr().out
    for command in ("serve", "api", "worker", "purge", "submit", *cli.INSPECTOR_COMMANDS):
        assert command in shown


@pytest.mark.parametrize("command", list(cli.INSPECTOR_COMMANDS))
def test_inspector_commands_are_passed_through_untouched(
    monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    became: list[list[str]] = []

    def execv(_path: str, arguments: list[str]) -> None:
        became.append(arguments)
        raise SystemExit(0)

    monkeypatch.setattr(os, "execv", execv)
    run(monkeypatch, command, "file", "--json", "--help", "--", "-x")
    wanted = [sys.executable, "-m", "inspector", command, "file", "--json", "--help", "--", "-x"]
    assert became == [wanted]


def test_handing_over_loads_nothing_of_the_service() -> None:
    """Loading it would take longer than a scan takes in all."""
    code = "import sys, app.cli; print({'fastapi', 'sqlalchemy', 'alembic'} & sys.modules.keys())"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ended.stdout.strip() == "set()"


def submit_arguments(tmp_path: Path, *more: str) -> list[str]:
    artifact, classes = tmp_path / "m.pth", tmp_path / "classes.txt"
    artifact.write_bytes(b"x")
    classes.write_text("a\nb\n")
    chosen = ["--classes", str(classes)]
    return ["submit", str(artifact), "--backbone", "pocket", *chosen, *more]


def test_a_service_that_does_not_answer_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    arguments = submit_arguments(tmp_path, "--url", "http://127.0.0.1:9")
    assert run(monkeypatch, *arguments) == 2


def test_a_class_list_that_is_none_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--url", "http://x"]
    arguments = submit_arguments(tmp_path, *more)
    (tmp_path / "classes.txt").write_text("a\n\nb\n")
    assert run(monkeypatch, *arguments) == 4
    assert "line 2 is empty" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    "text",
    ["red fox\n owl \n\n", "\ufeffred fox\r\nowl", '["a"]\n', "a\n\nb\n", "\n a\n", "", " \n"],
)
def test_both_command_lines_read_a_class_list_alike(tmp_path: Path, text: str) -> None:
    path = tmp_path / "classes"
    path.write_bytes(text.encode())
    try:
        wanted = parse_class_list(text)
    except ManifestError as refused:
        why = "names no class" if refused.detail == "the list is empty" else refused.detail
        with pytest.raises(ValueError, match=re.escape(why)):
            read_classes(path)
    else:
        assert read_classes(path) == wanted


def test_what_answers_may_be_no_service(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")

        do_GET = do_POST

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        assert run(monkeypatch, *submit_arguments(tmp_path, "--url", url)) == 2
        assert "answers, but is no clipvet service" in capsys.readouterr().err
        server.shutdown()


def test_a_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLIPVET_LEASE_S", "soon")
    assert run(monkeypatch, "migrate") == 4
    assert "CLIPVET_LEASE_S: " in capsys.readouterr().err


@pytest.mark.parametrize("command", ["serve", "api", "migrate"])
def test_an_empty_token_does_not_start(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLIPVET_API_TOKEN", "")
    assert run(monkeypatch, command) == 4
    assert "CLIPVET_API_TOKEN: is set but empty" in capsys.readouterr().err


def test_what_nobody_foresaw_is_no_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(cli, "cli", broken)
    assert run(monkeypatch, "migrate") == 2
    assert "unforeseen" in capsys.readouterr().err


def test_a_manifest_is_an_object(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text("[]")
    with pytest.raises(ValueError, match="no JSON object"):
        read_manifest(path)


@pytest.mark.parametrize(
    ("base", "link", "opened", "path"),
    [
        ("http://here:1/", "/v1/a", "http://here:1/v1/a", "/v1/a"),
        ("http://me:secret@here", "/v1/a", "http://here/v1/a", "/v1/a"),
        ("http://here/x", "/v1/a", "http://here/x/v1/a", "/v1/a"),
        ("http://here/x/", "https://there/x/v1/a", "https://there/x/v1/a", "/v1/a"),
        ("http://here", "https://there/v1/a?b", "https://there/v1/a?b", "/v1/a?b"),
    ],
)
def test_links_are_followed_below_the_url_that_was_given(
    base: str, link: str, opened: str, path: str
) -> None:
    with Client(base) as client:
        assert client.url_of(link) == opened
        assert client._http.path_of(link) == path


def test_a_proxys_password_is_told_to_nobody() -> None:
    with (
        Client("http://me:s3cr3t@127.0.0.1:1", patience_s=0) as client,
        pytest.raises(Unreachable) as refused,
    ):
        client.report("insp_1")
    assert "s3cr3t" not in str(refused.value)
