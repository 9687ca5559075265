"""``clipvet-gate``: the gate where only the client is installed, as in a pipeline.

Exit codes: 0 pass, 1 fail, 2 error, 3 inconclusive, 4 usage, 5 timeout.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from ..transport import Json
from ..version import VERSION
from . import orders
from .exits import EXIT_ERROR, EXIT_USAGE
from .outcome import plain
from .submission import Submission, run


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"clipvet-gate: {message}\n")


def _parser() -> _Parser:
    parser = _Parser(
        prog="clipvet-gate",
        description="Send a checkpoint to a clipvet service, wait, and exit by its verdict.",
        epilog=(__doc__ or "").rpartition("\n\n")[2],
        allow_abbrev=False,
    )
    parser.add_argument("artifact", type=Path, help="checkpoint, archive or folder")
    parser.add_argument("--url", default=os.environ.get("CLIPVET_URL"), help="(CLIPVET_URL)")
    parser.add_argument("--backbone", required=True, help="a name such as ViT-B/16")
    parser.add_argument("--classes", type=Path, help="class names in label order, one a line")
    parser.add_argument("--manifest", type=Path, help="JSON manifest of the vendor")
    parser.add_argument("--profile", help="quick, standard, paper or thorough")
    parser.add_argument("--fail-on", help="suspicious (the default) or backdoored")
    parser.add_argument("--policy", metavar="NAME|FILE.json", help="judge by a policy instead")
    parser.add_argument("--probes", default=orders.BUILT_IN, metavar="DIR|ZIP|builtin")
    parser.add_argument("--in-distribution", action="store_true", default=None)
    parser.add_argument("--repair", action="store_true", default=None, help="also try to repair")
    parser.add_argument(
        "--labelled",
        metavar="DIR|ZIP",
        help="for --repair: pictures of the task, in a folder a class, which teach and measure it",
    )
    parser.add_argument(
        "--pairs",
        metavar="DIR|ZIP|TAR",
        help="for --repair of encoders: pictures with captions, x.png beside x.txt",
    )
    parser.add_argument("--label", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--webhook", metavar="URL", help="tell this address when it has ended")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=JSON", help="any other option of REST"
    )
    parser.add_argument("--timeout", type=float, help="seconds to wait at most")
    parser.add_argument("--format", choices=orders.FORMATS, default="table")
    parser.add_argument("--write", action="append", default=[], metavar="FORMAT=FILE")
    parser.add_argument("--out", type=Path, metavar="DIR", help="save report, files and signature")
    parser.add_argument("--version", action="version", version=f"clipvet-gate {VERSION}")
    return parser


def main() -> NoReturn:
    """Entry point of the console script; the token is ``CLIPVET_API_TOKEN``."""
    parser = _parser()
    given = parser.parse_args()
    if not given.url:
        parser.error("--url or CLIPVET_URL says where the service is")
    try:
        wanted = Submission(
            given.artifact,
            _asked(given),
            pictures=orders.pictures(**{name: getattr(given, name) for name in orders.PICTURES}),
            timeout_s=given.timeout,
            format=given.format,
            copies=orders.copies(given.write),
            policy=given.policy,
            out=given.out,
        )
    except (ValueError, OSError) as error:
        parser.error(str(error))
    token = os.environ.get("CLIPVET_API_TOKEN") or None
    try:
        code = run(given.url, token, wanted, _Lines(given.artifact))
    except Exception:
        # Python's own exit code for it is a verdict's.
        traceback.print_exc()
        code = EXIT_ERROR
    sys.exit(code)


def _asked(given: argparse.Namespace) -> Json:
    if not given.artifact.exists():
        raise ValueError(f"{given.artifact} does not exist")
    asked: Json = {
        "backbone": given.backbone,
        "manifest": orders.stated(given.classes, given.manifest),
        "labels": orders.pairs(given.label, "--label"),
        "profile": given.profile,
        "fail_on": given.fail_on,
        "in_distribution": given.in_distribution,
        "repair": given.repair,
        "webhook": given.webhook and orders.webhook(given.webhook),
    }
    asked = {name: value for name, value in asked.items() if value is not None}
    for name, text in orders.pairs(given.set, "--set").items():
        if name in orders.PICTURES:
            raise ValueError(f"--{name} says which pictures to send, not --set")
        asked[name] = _value(text)
    return asked


def _value(text: str) -> Any:
    """JSON; a word that is none is meant as one."""
    try:
        return json.loads(text)
    except ValueError:
        return text


class _Lines:
    """A line whenever the stage changes: logs of pipelines have no bars."""

    def __init__(self, artifact: Path) -> None:
        self._artifact = artifact
        self._told = ""

    def sent(self, done: int) -> None:
        """Said once, at the beginning."""
        self._say(f"sending {self._artifact}")

    def now(self, row: Json) -> None:
        """The stage, where it is another one."""
        self._say(f"{row['id']} {row['stage']}")

    def stop(self) -> None:
        """Nothing is left to be put away."""

    def _say(self, line: str) -> None:
        if line != self._told:
            print(f"clipvet: {plain(line)}", file=sys.stderr, flush=True)
            self._told = line


if __name__ == "__main__":
    main()
