"""One artifact, read in this process: what the reading child runs.

Opens the container, recognises the family, writes the canonical tensors. Whatever the customer's
bytes do ends in a finding; only a trouble of our own machine is raised. Knows no process limits
(:mod:`inspector.checkpoint.sandbox`) and no torch.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from inspector.checkpoint import families
from inspector.checkpoint.canonical import write_canonical
from inspector.checkpoint.draft import Draft
from inspector.checkpoint.limits import ReaderOptions
from inspector.checkpoint.opening import TEMPORARY_NAMES, open_checkpoint, read_views
from inspector.checkpoint.pickles.walker import Ledger
from inspector.checkpoint.reading import CANONICAL_NAME, Reading
from inspector.checkpoint.tensors import View
from inspector.checkpoint.wording import printable
from inspector.errors import UnsupportedFormat

_SHOWN = 20
_UNUSUAL_DTYPES = ("BF16", "F64")
_WEIGHT_DTYPES = ("F16", "F32", *_UNUSUAL_DTYPES)


def new_draft(path: Path, options: ReaderOptions) -> Draft:
    """An empty draft for the artifact at ``path``."""
    limits = options.limits
    name = printable(options.name or path.name)
    return Draft(name, limits, Ledger(limits.globals), options.role)


def read_here(path: Path, out: Path, options: ReaderOptions) -> Reading:
    """Read the artifact at ``path`` and write ``out/canonical.safetensors`` when it is sound.

    Raises:
        StorageFull: our own disk is full.
        OSError: ``path`` cannot be opened.
    """
    draft = new_draft(path, options)
    try:
        draft.guard(lambda: _read(path, out, draft))
    finally:
        for name in TEMPORARY_NAMES:
            (out / name).unlink(missing_ok=True)
    return draft.finish()


def _read(path: Path, out: Path, draft: Draft) -> None:
    with ExitStack() as stack:
        opened = open_checkpoint(path, out, draft, stack)
        views = read_views(opened, draft)
        if draft.role == "artifact":
            draft.guard(lambda: _recognise(views, draft))
        target = None if draft.is_stopped else out / CANONICAL_NAME
        draft.tensors, digest = write_canonical(opened.source, views, target, draft.limits)
        draft.canonical_sha256 = digest if target else None
    family = None if draft.family is None else families.named(draft.family)
    for tensor in draft.tensors:
        # A mask holds infinities, and is none of the weights.
        if tensor.nonfinite and not (family and family.is_beside(tensor.name)):
            draft.add(
                "non-finite-tensor",
                f"{tensor.name} holds {tensor.nonfinite} NaN or infinite values",
            )


def _recognise(views: tuple[View, ...], draft: Draft) -> None:
    found = families.recognise({view.name: view.shape for view in views})
    if found.unknown:
        shown = ", ".join(printable(name) for name in found.unknown[:_SHOWN])
        draft.add("unknown-key", f"{len(found.unknown)} tensors of no family, not read: {shown}")
    family = families.named(found.family)
    for view in views:
        if view.dtype not in _WEIGHT_DTYPES and not family.is_beside(view.name):
            raise UnsupportedFormat("unsupported-tensor", f"{view.name} has dtype {view.dtype}")
    unusual = [view for view in views if view.dtype in _UNUSUAL_DTYPES]
    if unusual:
        shown = ", ".join(f"{view.name} {view.dtype}" for view in unusual[:_SHOWN])
        draft.add("unusual-dtype", f"{len(unusual)} of {len(views)} tensors: {shown}")
    draft.family, draft.aliases, draft.options = found.family, found.aliases, found.options
