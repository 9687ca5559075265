"""One artifact, read in this process: what the reading child runs.

Opens the container, chooses the model in it, writes the canonical tensors, and names whatever else
could be taken for the model. Whatever the customer's bytes do ends in a finding; only a
trouble of our own machine is raised. Knows no process limits
(:mod:`inspector.checkpoint.sandbox`) and no torch.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from inspector.checkpoint import families, rivals, states
from inspector.checkpoint.canonical import write_canonical
from inspector.checkpoint.draft import Draft
from inspector.checkpoint.limits import ReaderOptions
from inspector.checkpoint.opening import TEMPORARY_NAMES, Opened, content_of, open_checkpoint
from inspector.checkpoint.pickles.walker import Ledger
from inspector.checkpoint.reading import CANONICAL_NAME, Reading
from inspector.checkpoint.states import Model
from inspector.checkpoint.vendor_signature import report_signatures
from inspector.checkpoint.wording import printable
from inspector.errors import ArtifactError, UnsupportedFormat

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
        draft.guard(lambda: _read(path, out, draft, options))
    finally:
        for name in TEMPORARY_NAMES:
            (out / name).unlink(missing_ok=True)
    return draft.finish()


def choose_model(opened: Opened, draft: Draft, state: str | None) -> states.Choice:
    """The model in an opened checkpoint; what is remarkable about its keys goes to ``draft``.

    Raises:
        ArtifactError: there is none that can be read.
    """
    content = content_of(opened, draft)
    draft.metadata = dict(content.metadata)
    choice = states.choose_state(content, state, draft.limits)
    model = choice.model
    draft.state = model.state
    if not model.views and isinstance(model.outcome, ArtifactError):
        raise model.outcome
    if opened.kind not in ("several", "json"):
        _check_names(model)
    if model.prefix:
        draft.add("prefix-stripped", f"{printable(model.prefix)} was taken off all keys")
    if model.extras:
        shown = ", ".join(printable(key) for key in model.extras[:_SHOWN])
        draft.add("state-dict-extra", f"not tensors, ignored: {shown}")
    return choice


def _check_names(model: Model) -> None:
    """That no tensor is called as a file is whose bytes would be taken for settings.

    Raises:
        UnsupportedFormat: one is.
    """
    for view in model.views:
        if view.name in families.FILES:
            raise UnsupportedFormat("unsupported-tensor", f"a tensor is called {view.name}")


def _read(path: Path, out: Path, draft: Draft, options: ReaderOptions) -> None:
    with ExitStack() as stack:
        opened = open_checkpoint(path, out, draft, stack, options.member)
        if opened.box is not None and opened.choice is not None and options.role == "artifact":
            taken = opened.choice.parts or (opened.choice.member,)
            report_signatures(opened.box, taken, draft)
        choice = choose_model(opened, draft, options.state)
        views = states.checked_views(choice.model, opened.source)
        if options.role == "artifact":
            draft.guard(lambda: _recognise(choice.model, draft))
            rivals.compare_states(choice, opened.source, draft, options)
            rivals.compare_members(opened, choice, out, draft, options)
        target = None if draft.is_stopped else out / CANONICAL_NAME
        draft.tensors, digest = write_canonical(opened.source, views, target, draft.limits)
        draft.canonical_sha256 = digest if target else None
    _check_finite(draft)


def _recognise(model: Model, draft: Draft) -> None:
    if model.rest:
        shown = ", ".join(printable(name) for name in model.rest[:_SHOWN])
        draft.add("unknown-key", f"{len(model.rest)} tensors of no family, not read: {shown}")
    if isinstance(model.outcome, ArtifactError):
        raise model.outcome
    family = families.named(model.outcome.family)
    for view in model.views:
        if view.dtype not in _WEIGHT_DTYPES and not family.is_beside(view.name):
            raise UnsupportedFormat("unsupported-tensor", f"{view.name} has dtype {view.dtype}")
    unusual = [view for view in model.views if view.dtype in _UNUSUAL_DTYPES]
    if unusual:
        shown = ", ".join(f"{view.name} {view.dtype}" for view in unusual[:_SHOWN])
        draft.add("unusual-dtype", f"{len(unusual)} of {len(model.views)} tensors: {shown}")
    found = model.outcome
    draft.family, draft.aliases, draft.options = found.family, found.aliases, found.options


def _check_finite(draft: Draft) -> None:
    family = None if draft.family is None else families.named(draft.family)
    for tensor in draft.tensors:
        # A mask holds infinities, and is none of the weights.
        if tensor.nonfinite and not (family and family.is_beside(tensor.name)):
            draft.add(
                "non-finite-tensor",
                f"{tensor.name} holds {tensor.nonfinite} NaN or infinite values",
            )
