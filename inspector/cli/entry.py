"""The commands of `python -m inspector`, and how any end of them becomes an exit code.

0 pass, 1 fail, 2 our fault, 3 inconclusive or unsupported, 4 usage. Python's own exit code for an
unhandled exception is 1, which would read as a verdict; therefore everything is caught here.
"""

from __future__ import annotations

import sys
import traceback
from typing import Any, NoReturn

import typer

from inspector.checkpoint.reasons import report
from inspector.cli.calibrate import calibrate
from inspector.cli.exits import ERROR, INCONCLUSIVE, INTERRUPTED, USAGE
from inspector.cli.index import index
from inspector.cli.inspection import inspect, repair
from inspector.cli.logits import logits
from inspector.cli.page import page
from inspector.cli.scan import scan
from inspector.cli.screen import note
from inspector.cli.trojai import trojai
from inspector.errors import (
    ArtifactError,
    BackboneError,
    InspectorError,
    ReaderCrashed,
    RequestError,
)
from inspector.findings import NEXT_STEP

cli = typer.Typer(
    name="clipvet",
    help="Inspect prompt-tuned CLIP checkpoints for backdoors, here and now.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="Exit codes: 0 pass, 1 fail, 2 error, 3 inconclusive, 4 usage.",
)
for _command in (inspect, scan, index, logits, repair, calibrate, page, trojai):
    cli.command()(_command)

# Typer may or may not carry its own copy of click.
_UsageError: Any = typer.BadParameter.__mro__[1]


@cli.command(hidden=True)
def job() -> None:
    """Serve inspection requests, one JSON object a line; the worker's child."""
    from inspector.run.serve import main as serve

    serve()


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run one command and exit."""
    try:
        code = cli(arguments, prog_name="clipvet", standalone_mode=False)
    except _UsageError as problem:
        problem.show()
        code = USAGE
    except (RequestError, BackboneError) as problem:
        note(f"clipvet: {problem}")
        code = USAGE
    except ArtifactError as problem:
        note(f"clipvet: {problem}")
        finding = report(problem.finding_id, problem.detail, problem.remedy)
        note(f"  {NEXT_STEP}: {finding.remedy}")
        code = INCONCLUSIVE
    except InspectorError as problem:
        note(f"clipvet: {problem}")
        if isinstance(problem, ReaderCrashed):
            note(problem.log)
        code = ERROR
    except (KeyboardInterrupt, typer.Abort):
        note("clipvet: interrupted")
        code = INTERRUPTED
    except BrokenPipeError:
        code = ERROR
    except Exception:
        traceback.print_exc()
        code = ERROR
    sys.exit(code or 0)
