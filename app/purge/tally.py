"""What a purge is asked to do, and what came of it."""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Self, get_args

from app.settings import Settings

Kind = Literal[
    "expired uploads",
    "retired uploads",
    "expired idempotency keys",
    "unfinished uploads in parts",
    "orphan objects",
    "canonical objects",
]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Order:
    """``grace``: what is younger is left alone. ``retain``: None keeps uploaded bytes for ever."""

    grace: timedelta
    key_ttl: timedelta
    retain: timedelta | None
    dry_run: bool = False
    stop: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def of(
        cls,
        settings: Settings,
        *,
        older_than_s: float | None = None,
        dry_run: bool = False,
        stop: threading.Event | None = None,
    ) -> Self:
        """As the settings say, but for a grace that is given."""
        grace_s = settings.purge_grace_s if older_than_s is None else older_than_s
        retain_s = settings.retain_uploads_s
        return cls(
            timedelta(seconds=grace_s),
            timedelta(seconds=settings.idempotency_ttl_s),
            None if retain_s is None else timedelta(seconds=retain_s),
            dry_run,
            stop or threading.Event(),
        )

    def is_old(self, moment: datetime, now: datetime) -> bool:
        """Whether something of the store's is beyond the grace.

        Clocks count only where there is one.
        """
        return not self.grace or moment <= now - self.grace


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that went, or would go. ``size`` in bytes; 0 where the store does not say."""

    kind: Kind
    name: str
    size: int = 0


class Tally:
    """Counts and bytes by kind; the items themselves only in a dry run, to show them."""

    def __init__(self, order: Order) -> None:
        self.dry_run = order.dry_run
        self.count: Counter[Kind] = Counter()
        self.size: Counter[Kind] = Counter()
        self.items: list[Item] = []
        self.faults: dict[str, str] = {}

    def add(self, item: Item) -> None:
        """Count an item; a dry run keeps it, too."""
        self.count[item.kind] += 1
        self.size[item.kind] += item.size
        if self.dry_run:
            self.items.append(item)

    def as_json(self) -> str:
        """One object: ``dry_run``, ``kinds`` with count and bytes, ``items``, ``faults``."""
        kinds = {kind: {"count": self.count[kind], "bytes": self.size[kind]} for kind in KINDS}
        items = [{"kind": i.kind, "name": i.name, "bytes": i.size} for i in self.items]
        shown = {"dry_run": self.dry_run, "kinds": kinds, "items": items, "faults": self.faults}
        return json.dumps(shown, indent=2)

    def as_table(self) -> str:
        """A line for each item of a dry run, then one for each kind."""
        lines = [f"{item.kind}\t{item.name}\t{item.size}" for item in self.items]
        lines.append(f"{'would go' if self.dry_run else 'went':<28}{'count':>10}{'bytes':>16}")
        lines += [f"{kind:<28}{self.count[kind]:>10}{self.size[kind]:>16}" for kind in KINDS]
        lines += [f"cut short: {step} ({why})" for step, why in self.faults.items()]
        return "\n".join(lines)
