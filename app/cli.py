"""The console script ``clipvet``. Never imports torch: what needs it is another process.

``serve api worker migrate purge submit verify bom keys`` live here; ``inspect scan index logits
repair calibrate page trojai`` become ``python -m inspector`` with the same arguments. Exit codes: 0
pass, 1 fail, 2 error, 3 inconclusive, 4 usage, 5 timeout. Each command imports what it needs by
itself: the service's stack takes longer to load than a static scan takes in all.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from app.attestation import commands
from app.client.gate.exits import EXIT_ERROR, EXIT_USAGE
from inspector.options import Options, Policy, Selection, specs
from inspector.options.command_line import taking

if TYPE_CHECKING:
    from pydantic import ValidationError

INSPECTOR_COMMANDS = {
    "inspect": "inspect a checkpoint here and now, without a service",
    "scan": "static look at a checkpoint: container, globals, tensors, findings",
    "index": "token index of a backbone, with which scan names classes",
    "logits": "what the assembled classifier answers to given pixels",
    "repair": "make a repaired checkpoint",
    "calibrate": "make a calibration for a backbone and a family",
    "page": "draw the page of a stored report again",
    "trojai": "the TrojAI container's command line",
}

# Usage errors are 4 in our table; Typer's own default, 2, means that something broke.
typer.BadParameter.__mro__[1].exit_code = EXIT_USAGE  # type: ignore[attr-defined]

cli = typer.Typer(
    name="clipvet",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 pass, 1 fail, 2 error, 3 inconclusive, 4 usage, 5 timeout.",
)

Format = Literal["table", "json", "sarif", "junit", "github"]
Seconds = Annotated[
    float | None, typer.Option(min=0, help="Seconds to wait at most; exit 5 after.")
]
OutFolder = Annotated[
    Path | None,
    typer.Option(metavar="DIR", file_okay=False, help="Save report, files and signature."),
]
Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)]


def _tell_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"clipvet {version('clipvet')}")
        raise typer.Exit


@cli.callback()
def about(
    version: Annotated[
        bool,
        typer.Option("--version", help="Tell it and exit.", is_eager=True, callback=_tell_version),
    ] = False,
) -> None:
    """Is this prompt-tuned CLIP checkpoint backdoored, and can it be repaired?"""


@cli.command()
def serve(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    data_dir: Annotated[
        Path | None, typer.Option(help="Database and uploads; made if missing.")
    ] = None,
) -> None:
    """Run the whole service here: API, worker, SQLite, a folder. Ctrl-C stops it."""
    from app.serving import DataFolderInUse, run_embedded
    from app.settings import Settings

    settings = Settings() if data_dir is None else Settings(data_dir=data_dir)
    if not settings.is_embedded:
        raise typer.BadParameter("serve has no broker; unset CLIPVET_BROKER_URL or use api/worker")
    try:
        run_embedded(settings, host, port)
    except DataFolderInUse as error:
        raise typer.Exit(_fail(str(error), EXIT_ERROR)) from error


@cli.command()
def api(host: Host = "127.0.0.1", port: Port = 8000) -> None:
    """Run the API alone; workers run elsewhere on the same database and store."""
    from app.serving import run_api
    from app.settings import Settings

    run_api(Settings(), host, port)


@cli.command()
def worker() -> None:
    """Run a worker: on the broker if CLIPVET_BROKER_URL is set, else on the data folder."""
    os.execv(sys.executable, [sys.executable, "-m", "worker"])


@cli.command()
def migrate() -> None:
    """Bring the database to the newest schema (serve does it by itself)."""
    from app import serving
    from app.settings import Settings

    serving.migrate(Settings())


@cli.command("purge")
def purge_command(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Delete nothing; list it.")] = False,
    older_than: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="Leave alone what is younger."),
    ] = None,
    format_: Annotated[Literal["table", "json"], typer.Option("--format")] = "table",
) -> None:
    """Delete what nobody can ask for any more (workers do it, too); exit 2 if cut short."""
    from app.db.session import Database
    from app.purge import Order, purge
    from app.settings import Settings
    from app.storage import open_store

    settings = Settings()
    order = Order.of(settings, older_than_s=older_than, dry_run=dry_run)
    database = Database(settings.resolved_database_url)
    try:
        tally = purge(database, open_store(settings), order)
    finally:
        database.close()
    print(tally.as_json() if format_ == "json" else tally.as_table())
    if tally.faults:
        raise typer.Exit(EXIT_ERROR)


@cli.command("submit")
@taking("submit", options=Options, selection=Selection, policy=Policy)
def submit_command(
    artifact: Annotated[
        Path, typer.Argument(exists=True, help="Checkpoint file, archive or Dassl folder.")
    ],
    url: Annotated[str, typer.Option(help="Where the service is.", envvar="CLIPVET_URL")],
    backbone: Annotated[
        str, typer.Option(help="An id that is registered there, or a name such as ViT-B/16.")
    ],
    options: Options,
    selection: Selection,
    policy: Policy,
    classes: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Names, one a line.")
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="JSON manifest.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Shown with the inspection.")
    ] = None,
    webhook: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Tell it the end; secret: CLIPVET_WEBHOOK_SECRET."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the verdict.")] = False,
    timeout: Seconds = None,
    judge: Annotated[
        str | None,
        typer.Option("--policy", metavar="NAME|FILE.json", help="Judge by it, not by --fail-on."),
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="On stdout.")] = "table",
    write: Annotated[
        list[str] | None, typer.Option(metavar="FORMAT=FILE", help="Write this form, too.")
    ] = None,
    out: OutFolder = None,
    token: Annotated[str | None, typer.Option(envvar="CLIPVET_API_TOKEN")] = None,
) -> None:
    """Send a checkpoint to a running service and, with --wait, exit by its verdict."""
    from app.client.gate import orders
    from app.client.gate.submission import Submission
    from app.submit import submit

    try:
        asked = _asked((options, selection, policy))
        images = orders.pictures(**_named_pictures(asked))
        asked |= {
            "backbone": backbone,
            "manifest": orders.stated(classes, manifest),
            "labels": orders.pairs(label or (), "--label"),
            "webhook": webhook and orders.webhook(webhook),
        }
        wanted = Submission(
            artifact, asked, images, wait, timeout, format_, orders.copies(write or ()), judge, out
        )
        if not wait and (judge or out or wanted.copies or format_ not in ("table", "json")):
            raise ValueError("--policy, --write, --out and this --format need --wait")
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    raise typer.Exit(submit(url, token, wanted))


def _asked(bundles: tuple[Any, ...]) -> dict[str, Any]:
    """What the options of a command say, without those that say nothing."""
    told = (
        (spec.name, getattr(bundle, spec.name))
        for bundle in bundles
        for spec in specs(type(bundle), "submit")
    )
    return {name: value for name, value in told if value is not None}


def _named_pictures(asked: dict[str, Any]) -> dict[str, str | None]:
    """Taken out of what is asked, as they are sent before it: by option their paths."""
    names = [spec.name for spec in specs(Options, "submit") if spec.is_pictures]
    return {name: asked.pop(name, None) for name in names}


def _fail(message: str, code: int) -> int:
    print(f"clipvet: {message}", file=sys.stderr)
    return code


cli.command("verify")(commands.verify)
cli.command("bom")(commands.bom)
cli.add_typer(commands.keys)


def _delegate(name: str, help_text: str) -> None:
    # Listed for the sake of --help; main() hands these over before Typer sees them.
    @cli.command(name, help=help_text, add_help_option=False)
    def command() -> None:
        run_inspector(sys.argv[1:])


for _name, _help in INSPECTOR_COMMANDS.items():
    _delegate(_name, _help)


def run_inspector(arguments: list[str]) -> None:
    """Become ``python -m inspector`` with these very arguments."""
    os.execv(sys.executable, [sys.executable, "-m", "inspector", *arguments])


def main() -> NoReturn:
    """Entry point of the console script.

    An unhandled exception would exit with 1, a verdict's code.
    """
    if len(sys.argv) > 1 and sys.argv[1] in INSPECTOR_COMMANDS:
        run_inspector(sys.argv[1:])
    from pydantic import ValidationError

    try:
        cli()
    except ValidationError as problem:
        sys.exit(_fail(_wrong_settings(problem), EXIT_USAGE))
    except Exception:
        traceback.print_exc()
        sys.exit(EXIT_ERROR)
    sys.exit(0)


def _wrong_settings(problem: ValidationError) -> str:
    """By the names of those that are wrong, as the environment has them; values may be secret."""
    wrong = (
        f"CLIPVET_{'.'.join(map(str, one['loc'])).upper()}: "
        f"{one['msg'].removeprefix('Value error, ')}"
        for one in problem.errors()
    )
    return "wrong settings: " + "; ".join(wrong)
