"""What else a loader could take for the model: named, compared, left for its own inspection.

The same tensors under another key or in another file are told as such; others forbid
``clean`` until they are inspected, too (:mod:`inspector.run.deliveries`). Knows neither
formats nor families' keys.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from inspector.checkpoint import states
from inspector.checkpoint.choice import Choice, is_candidate
from inspector.checkpoint.draft import Draft
from inspector.checkpoint.limits import ReaderOptions
from inspector.checkpoint.opening import Opened, content_of, open_rival
from inspector.checkpoint.pickles.evidence import would_run
from inspector.checkpoint.pickles.walker import Ledger
from inspector.checkpoint.reading import OtherModel
from inspector.checkpoint.source import Source
from inspector.checkpoint.states import TOP, Model
from inspector.checkpoint.wording import printable
from inspector.errors import ArtifactError, UnknownFamily, UnsupportedFormat
from inspector.findings import Severity

_COMPARED = 8
"""Other models of one file, and other files, that are compared; training tools keep two."""


def compare_states(
    choice: states.Choice, source: Source, draft: Draft, options: ReaderOptions
) -> None:
    """Name every other model of the file, and every loader that takes none of those named."""
    if options.state is not None:
        _note_chosen(draft, "key", options.state, [other.state for other, _ in choice.others])
        return
    for other, loaders in choice.others[:_COMPARED]:
        where = OtherModel(options.member, other.state, other.family, loaders)
        problem = _difference(choice.model, other, source, draft)
        _note(draft, where, problem, _shown(choice.model.state))
    if len(choice.others) > _COMPARED:
        draft.others.append(OtherModel(options.member, choice.others[_COMPARED][0].state, None))
        draft.add(
            "other-model", f"the file holds {len(choice.others) + 1} models; not all were read"
        )
    for loader, key in choice.strays:
        draft.add(
            "loader-differs",
            f"{loader} would take {_shown(key)}, which holds other tensors or other names than "
            f"{_shown(choice.model.state)}, which was read",
        )


def compare_members(
    opened: Opened, choice: states.Choice, scratch: Path, draft: Draft, options: ReaderOptions
) -> None:
    """Name every other file of the folder or archive that a loader could take instead."""
    if opened.choice is None:
        return
    if options.member is not None:
        left = [name for name in opened.choice.ignored if is_candidate(name)]
        _note_chosen(draft, "member", options.member, left)
        return
    _note_links(opened, draft)
    if isinstance(choice.model.outcome, ArtifactError) or not opened.choice.rivals:
        return
    own = states.digest(choice.model, opened.source, draft.limits)
    rivals = opened.choice.rivals
    for rival in rivals[:_COMPARED]:
        _compare_member(opened, rival, own, scratch, draft)
    if len(rivals) > _COMPARED:
        draft.others.append(OtherModel(rivals[_COMPARED].member, None, None))
        draft.add("other-model", f"{len(rivals)} other files; not all were read")


def _note_links(opened: Opened, draft: Draft) -> None:
    """Name the links that a loader would follow and that we do not."""
    links = [n for n in opened.box.others if is_candidate(n)] if opened.box else []
    if links:
        draft.others.append(OtherModel(links[0], None, None))
        shown = ", ".join(map(printable, links[:_COMPARED]))
        draft.add("other-model", f"links to files, which are not followed: {shown}")


def _compare_member(opened: Opened, rival: Choice, own: str, scratch: Path, draft: Draft) -> None:
    aside = Draft(draft.name, draft.limits, Ledger(draft.limits.globals))
    assert opened.choice is not None
    # State of a training run would run code, but only who takes it for a model loads it so.
    is_leftover = not rival.loader and not is_candidate(rival.member)
    family, is_model, problem = None, False, None
    with ExitStack() as stack:
        try:
            inside = open_rival(opened, rival, scratch, aside, stack)
            found = states.choose_state(content_of(inside, aside), None, draft.limits)
            family, is_model = found.model.family, found.model.is_like_a_model
            theirs = states.digest(found.model, inside.source, draft.limits)
            if theirs != own or found.others or found.strays or found.model.rest:
                problem = "other tensors"
        except ArtifactError as error:
            problem = f"what cannot be read ({error.detail})"
            # What breaks a rule here may be a model to a loader that asks less.
            is_model |= not isinstance(error, UnsupportedFormat | UnknownFamily)
    is_running = would_run(aside.ledger) and not is_leftover
    if is_running:
        problem = "what would run code"
    elif any(finding.severity >= Severity.HIGH for finding in aside.findings):
        problem = problem or "what we do not know"
    if is_running and rival.loader:
        draft.ledger.absorb(aside.ledger)
    if rival.loader or is_model or is_running:
        loaders = (rival.loader,) if rival.loader else ()
        where = OtherModel(rival.member, None, family, loaders)
        _note(draft, where, problem, printable(opened.choice.member))


def _difference(model: Model, other: Model, source: Source, draft: Draft) -> str | None:
    """What ``other`` holds instead of the tensors of ``model``; None where it holds the same."""
    try:
        states.check_names(other)
        if other.rest:
            return "other tensors"
        # The very same bytes of the file need no reading.
        if set(model.views) == set(other.views):
            return None
        if isinstance(other.outcome, ArtifactError):
            raise other.outcome
        if {view.name for view in model.views} != {view.name for view in other.views}:
            return "other tensors"
        own, theirs = (states.digest(m, source, draft.limits) for m in (model, other))
    except ArtifactError as error:
        return f"what cannot be read ({error.detail})"
    return "other tensors" if own != theirs else None


def _note(draft: Draft, where: OtherModel, problem: str | None, own: str) -> None:
    """Tell of a model that lies elsewhere than ``own``, which was read."""
    draft.others.append(where.with_sameness(problem is None))
    place = _shown(where.state) if where.state is not None else printable(where.member or "")
    if problem is None:
        draft.add("identical-copy", f"{place} holds the same tensors as {own}")
        return
    family = f" ({where.family})" if where.family else ""
    taken = f"; {', '.join(where.loaders)} would load it" if where.loaders else ""
    draft.add("other-model", f"{place} holds {problem}{family}, {own} was read{taken}")


def _note_chosen(draft: Draft, what: str, name: str, others: list[str]) -> None:
    if others:
        shown = ", ".join(map(_shown, others[:_COMPARED]))
        draft.add(
            "model-chosen", f"the {what} {printable(name)} was asked for; not looked at: {shown}"
        )


def _shown(state: str) -> str:
    return "the whole file" if state == TOP else printable(state)
