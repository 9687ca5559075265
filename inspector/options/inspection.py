"""The options themselves, in the order in which they are told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from inspector.options.definition import EVERYWHERE, option

_LONGEST_S = 30 * 86400


@dataclass(frozen=True)
class Options:
    """What decides how a model is inspected."""

    profile: str = field(
        default="standard",
        metadata=option(
            "How much work.",
            str,
            choices=("quick", "standard", "paper", "thorough"),
            ways=(*EVERYWHERE, "calibrate"),
        ),
    )
    probes: str = field(
        default="builtin",
        metadata=option(
            "Images to search and judge triggers on: builtin, or a folder or zip of them.",
            str,
            least=1,
            most=4096,
            metavar="DIR|ZIP|builtin",
            archives=("zip",),
            ways=(*EVERYWHERE, "calibrate"),
        ),
    )
    in_distribution: bool = field(
        default=False,
        metadata=option(
            "The probes are unlabelled pictures of what the model is for.",
            bool,
            ways=(*EVERYWHERE, "calibrate"),
        ),
    )
    targets: int | Literal["all"] = field(
        default="all",
        metadata=option(
            "all, or N (2 or more): only the N classes that untriggered probes are nearest to; "
            "the verdict is then never clean.",
            int,
            least=2,
            most=50_000,
            word="all",
            metavar="N|all",
            ways=("inspect", "repair", "submit", "rest"),
        ),
    )
    seed: int = field(
        default=0,
        metadata=option(
            "Seed of everything random.",
            int,
            least=0,
            most=2**32 - 1,
            ways=(*EVERYWHERE, "calibrate"),
        ),
    )
    repair: bool = field(
        default=False,
        metadata=option("Also try to repair.", bool, ways=("inspect", "submit", "rest")),
    )
    labelled: str | None = field(
        default=None,
        metadata=option(
            "For a repair: a folder or zip of pictures of the task, in a folder a class (its name "
            "or its index). Half of them teach, half of them measure.",
            str,
            least=1,
            most=4096,
            metavar="DIR|ZIP",
            archives=("zip",),
            needs="repair",
            ways=("inspect", "repair", "submit", "rest"),
        ),
    )
    pairs: str | None = field(
        default=None,
        metadata=option(
            "For a repair of encoders: a folder or zip, or a tar as webdataset has it, of pictures "
            "with captions (x.png beside x.txt).",
            str,
            least=1,
            most=4096,
            metavar="DIR|ZIP|TAR",
            archives=("zip", "tar"),
            needs="repair",
            ways=("inspect", "repair", "submit", "rest"),
        ),
    )
    budget_s: float | None = field(
        default=None,
        metadata=option(
            "Seconds, after which the report is inconclusive.",
            float,
            least=0,
            most=_LONGEST_S,
            flag="--budget",
        ),
    )


@dataclass(frozen=True)
class Selection:
    """What of a delivery is read, where it holds several models; None: all that loaders take."""

    member: str | None = field(
        default=None,
        metadata=option(
            "File of a folder or archive to read, instead of all that loaders take.",
            str,
            least=1,
            most=1024,
            metavar="NAME",
            ways=("inspect", "repair", "read", "submit", "rest"),
        ),
    )
    state: str | None = field(
        default=None,
        metadata=option(
            "Key of the file to read, as `scan` names them (state_dict_ema, …; . is the whole "
            "file).",
            str,
            least=1,
            most=1024,
            metavar="KEY",
            ways=("inspect", "repair", "read", "submit", "rest"),
        ),
    )


@dataclass(frozen=True)
class Policy:
    """What a verdict means to whoever asked; the inspection itself does not read it."""

    fail_on: Literal["suspicious", "backdoored"] = field(
        default="suspicious",
        metadata=option(
            "The mildest verdict that fails.",
            str,
            choices=("suspicious", "backdoored"),
            ways=("inspect", "submit", "rest"),
        ),
    )
