"""The class list of a classifier: what the file says, what the manifest says, and the difference.

Everything is compared as token ids, because that is what the text tower sees: "Stop_Sign" and
"stop sign" are one name. The file wins wherever it can speak. Does not know tensors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from inspector.clip.suffix import FULL_STOP, tokens_to_text
from inspector.errors import AssemblyError, ClassListMismatch
from inspector.findings import Finding, Severity
from inspector.manifest import spoken

Tokens = tuple[int, ...]
Encode = Callable[[str], Tokens]
_LEFT_OVER = ("photo of a", "of a", "a", "an", "the")
"""Words of "a photo of a" behind fewer context vectors than words, longest first; articles."""


@dataclass(frozen=True)
class ClassList:
    """Class names in label order, and how sure we are of them.

    `source`: "manifest", or "decoded" from the file's `token_suffix`. `match`: whether the two are
    equal, None where only one of them speaks.
    """

    names: tuple[str, ...]
    source: Literal["manifest", "decoded"]
    match: bool | None
    findings: tuple[Finding, ...] = ()

    @property
    def count(self) -> int:
        """K, the number of classes."""
        return len(self.names)

    def to_json(self) -> dict[str, object]:
        """The report's `classes`."""
        return {"count": self.count, "source": self.source, "match": self.match}


@dataclass(frozen=True)
class FixedWords:
    """Tokens that stand before and after the class name in every prompt of a file."""

    before: Tokens = ()
    after: Tokens = (FULL_STOP,)

    def strip(self, prompt: Tokens) -> Tokens | None:
        """The class name in `prompt`, or None where the fixed words are not there."""
        start, stop = len(self.before), len(prompt) - len(self.after)
        if stop < start or prompt[:start] != self.before or prompt[stop:] != self.after:
            return None
        return prompt[start:stop]

    def wrap(self, name: Tokens) -> Tokens:
        """Token ids of the whole prompt behind the context: words, class name, words."""
        return self.before + name + self.after


def compare(
    prompts: Sequence[Tokens],
    names: Sequence[str],
    expected: Sequence[Tokens],
    encode: Encode,
    *,
    template_is_stated: bool,
) -> ClassList:
    """The file's prompts against the manifest's names.

    Args:
        prompts: tokens behind the context, up to the end of text, for each class of the file.
        expected: the same as the template predicts it from `names`.
        encode: tokens of a text.
        template_is_stated: whether other fixed words than expected are a difference to report.

    Raises:
        ClassListMismatch: not as many names as prompts.
    """
    if len(names) != len(prompts):
        raise ClassListMismatch(len(names), len(prompts))
    if list(prompts) == list(expected):
        return ClassList(tuple(names), "manifest", True)
    tokens = [encode(spoken(name)) for name in names]
    words = explain(prompts, tokens)
    if words is not None:
        findings = [_template_mismatch(words, expected[0], tokens[0])] if template_is_stated else []
        return ClassList(tuple(names), "manifest", True, tuple(findings))
    return _mismatch(prompts, names, expected)


def explain(prompts: Sequence[Tokens], names: Sequence[Tokens]) -> FixedWords | None:
    """The fixed words that make every prompt of its name, if there are such."""
    prompt, name = prompts[0], names[0]
    for start in range(len(prompt) - len(name) + 1):
        words = FixedWords(prompt[:start], prompt[start + len(name) :])
        pairs = zip(prompts, names, strict=True)
        if all(words.wrap(name) == prompt for prompt, name in pairs):
            return words
    return None


def decode_names(prompts: Sequence[Tokens]) -> tuple[str, ...]:
    """Class names of a file without a manifest.

    The final full stop of every family here is dropped, and what all prompts share: an explanation
    behind a comma, and words that initialise most contexts.
    """
    names = []
    for index, prompt in enumerate(prompts):
        name = tokens_to_text(FixedWords().strip(prompt) or prompt)
        if not name:
            raise AssemblyError(
                f"the name of class {index} in the file is empty", "class-list-missing"
            )
        names.append(name)
    tails = {name.partition(" , ")[2] for name in names}
    if len(names) > 1 and len(tails) == 1:
        names = [name.partition(" , ")[0] for name in names]
    for words in _LEFT_OVER:
        if len(names) > 1 and all(name.startswith(f"{words} ") for name in names):
            return tuple(name.removeprefix(f"{words} ") for name in names)
    return tuple(names)


def _mismatch(
    prompts: Sequence[Tokens], names: Sequence[str], expected: Sequence[Tokens]
) -> ClassList:
    in_file = decode_names(prompts)
    first = next(i for i, (a, b) in enumerate(zip(prompts, expected, strict=True)) if a != b)
    same = Counter(prompts) == Counter(expected)
    kind = "the same classes in another order" if same else "other classes"
    message = (
        f"the manifest lists {kind} than the file: class {first} is {names[first]!r} in the "
        f"manifest and {in_file[first]!r} in the file"
    )
    finding = Finding("class-list-mismatch", Severity.HIGH, message)
    return ClassList(in_file, "decoded", False, (finding,))


def _template_mismatch(words: FixedWords, expected: Tokens, name: Tokens) -> Finding:
    stated = explain([expected], [name]) or FixedWords((), ())

    def show(fixed: FixedWords) -> str:
        return f"{tokens_to_text(fixed.before)} {{}} {tokens_to_text(fixed.after)}".strip()

    return Finding(
        "template-mismatch",
        Severity.MEDIUM,
        f"behind the context the file has {show(words)!r}, the manifest's template "
        f"{show(stated)!r}",
    )
