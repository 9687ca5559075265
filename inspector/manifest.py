"""The manifest: what the vendor states beside the artifact, because the file cannot say it.

JSON with the names that the public research code uses (`method`, `classnames`, `config`,
`tokenised_template`, `n_ctx_replaced`, …), plus short top-level names for people who write one by
hand (`template`, `ctx_init`, `class_token_position`). Keys that only document where a file comes
from are ignored. Torch-free. Deliberately does not know what the file says; comparing the two is
the assembly's work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from inspector.checkpoint.families import NAMES
from inspector.errors import ManifestError
from inspector.files import listed_names

Position = Literal["end", "middle", "front"]
Triple = tuple[float, float, float]

AUTO = "auto"
_COCOOP_SECTION = ("CoCoOp", "BadCLIP")
_MAX_CLASSES = 50_000
_MAX_NAME = 300
_MAX_TEMPLATES = 1_000
_POSITIONS: tuple[Position, ...] = ("end", "middle", "front")


@dataclass(frozen=True, slots=True)
class Check:
    """Images with the vendor's own logits or with labels, to prove that the model is read right.

    `images`: N × 3 × H × W pixels in [0,1], `logits`: N × K; each a safetensors file or nested
    lists. With `accuracy` instead of `logits`, the file of images also holds int64 `labels`.
    """

    images: Path | tuple[object, ...]
    logits: Path | tuple[object, ...] | None
    accuracy: float | None

    def to_json(self) -> dict[str, Any]:
        """As it stands in a manifest."""
        values = {"images": self.images, "logits": self.logits}
        given: dict[str, Any] = {
            name: str(value) if isinstance(value, Path) else list(value)
            for name, value in values.items()
            if value is not None
        }
        return given if self.accuracy is None else given | {"accuracy": self.accuracy}


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is stated; None where nothing is.

    `template` is the tokenised string with "{}" for the class; `num_context` the number of learned
    vectors; `mean` and `std` normalise pixels in [0,1]; `logit_scale` is the factor itself (about
    100), not its logarithm; `precision` is free text; `adapter_ratio` is the adapter's share of the
    mix. Of TCP: the text block before which its vectors go in, and the words around the class from
    whose text feature they are made. Of Tip-Adapter: `alpha`, the weight of its cache, and `beta`,
    its sharpness; `alpha` is LoRA's where its file does not say it. `templates` are several whose
    text features are averaged, of methods without context. `tried_alpha` takes the place of what a
    LoRA file says; nothing is read into it, see `inspector.clip.proof`.
    """

    method: str = AUTO
    classnames: tuple[str, ...] | None = None
    template: str | None = None
    templates: tuple[str, ...] = ()
    class_token_position: Position = "end"
    num_context: int | None = None
    is_class_specific: bool | None = None
    image_size: int | None = None
    mean: Triple | None = None
    std: Triple | None = None
    logit_scale: float | None = None
    precision: str | None = None
    adapter_ratio: float | None = None
    text_block: int | None = None
    class_branch_template: str | None = None
    alpha: float | None = None
    beta: float | None = None
    tried_alpha: float | None = None
    dataset: str | None = None
    check: Check | None = None

    @classmethod
    def parse(
        cls,
        data: object,
        classnames: Sequence[str] | None = None,
        *,
        folder: Path | None = None,
    ) -> Manifest:
        """Check a JSON object, or None for an empty manifest.

        Args:
            classnames: take the place of the object's own.
            folder: where relative paths under `check` start. Without one, as in a service, paths
                are refused, so that a request cannot name files of the machine it runs on.

        Raises:
            ManifestError: a field is missing half, of a wrong type or out of range.
        """
        if data is None:
            data = {}
        if not isinstance(data, Mapping):
            raise ManifestError("manifest", "must be a JSON object")
        if classnames is not None:
            data = {**data, "classnames": list(classnames)}
        fields = _Fields(data)
        return cls(
            method=fields.method(),
            classnames=fields.classnames(),
            template=fields.template(),
            templates=fields.templates(),
            class_token_position=fields.position(),
            num_context=fields.num_context(),
            is_class_specific=fields.flag("class_specific"),
            image_size=fields.image_size(),
            mean=fields.triple("mean", positive=False),
            std=fields.triple("std", positive=True),
            logit_scale=fields.number("logit_scale_exp") or fields.number("logit_scale"),
            precision=fields.text("precision"),
            adapter_ratio=fields.share("adapter_ratio"),
            text_block=fields.tcp.count("insert_before_text_block"),
            class_branch_template=fields.tcp.template_named("class_branch_template"),
            alpha=fields.cache_factor("alpha"),
            beta=fields.cache_factor("beta"),
            dataset=fields.dataset(),
            check=fields.check(folder),
        )

    def to_json(self) -> dict[str, Any]:
        """An object that `parse` makes the same manifest from; what is not stated is left out."""
        stated: dict[str, Any] = {
            "method": self.method,
            "classnames": self.classnames and list(self.classnames),
            "template": self.template,
            "templates": list(self.templates) or None,
            "class_token_position": self.class_token_position,
            "n_ctx": self.num_context,
            "class_specific": self.is_class_specific,
            "image_size": self.image_size,
            "mean": self.mean and list(self.mean),
            "std": self.std and list(self.std),
            "logit_scale": self.logit_scale,
            "precision": self.precision,
            "adapter_ratio": self.adapter_ratio,
            "alpha": self.alpha,
            "beta": self.beta,
            "config": None if self.dataset is None else {"dataset_name": self.dataset},
            "check": self.check and self.check.to_json(),
        }
        tcp = {
            "insert_before_text_block": self.text_block,
            "class_branch_template": self.class_branch_template,
        }
        stated["tcp"] = {key: value for key, value in tcp.items() if value is not None} or None
        return {key: value for key, value in stated.items() if value is not None}

    @property
    def duplicates(self) -> tuple[str, ...]:
        """Names that stand twice. Legal (CLIP's own ImageNet list has two), but not separable."""
        count = Counter(spoken(name).lower() for name in self.classnames or ())
        return tuple(name for name, times in count.items() if times > 1)


def spoken(name: str) -> str:
    """A class name as all families here tokenise it: underscores are spaces, no other change."""
    return name.replace("_", " ")


def parse_class_list(text: str) -> list[str]:
    """Class names of a text file, one a line in label order; blank lines at the end are ignored.

    Raises:
        ManifestError: no name, or an empty line between names (a label would shift).
    """
    try:
        return listed_names(text)
    except ValueError as problem:
        raise ManifestError("classes", str(problem)) from problem


class _Fields:
    """Typed access to a manifest's fields; every method raises ManifestError."""

    def __init__(self, data: Mapping[object, object]) -> None:
        self._data = data

    def text(self, name: str) -> str | None:
        value = self._data.get(name)
        if value is None or isinstance(value, str):
            return value
        raise ManifestError(name, "must be a string")

    def number(self, name: str) -> float | None:
        value = self._data.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e6:
            raise ManifestError(name, "must be a positive number")
        return float(value)

    def share(self, name: str) -> float | None:
        value = self.number(name)
        if value is not None and value > 1:
            raise ManifestError(name, "must be a share, above 0 and at most 1")
        return value

    def method(self) -> str:
        name = self.text("method")
        if name is None or name.lower() == AUTO:
            return AUTO
        for known in NAMES:
            if _plain(known) == _plain(name):
                return known
        raise ManifestError("method", f"unknown method {name!r}; known: auto, {', '.join(NAMES)}")

    def classnames(self) -> tuple[str, ...] | None:
        names = self._data.get("classnames")
        if names is None:
            return None
        if not isinstance(names, list | tuple):
            raise ManifestError("classnames", "must be a list of strings in label order")
        if not 0 < len(names) <= _MAX_CLASSES:
            raise ManifestError("classnames", f"must hold 1 to {_MAX_CLASSES} names")
        for index, name in enumerate(names):
            if not isinstance(name, str):
                raise ManifestError("classnames", f"entry {index} is not a string")
            if not spoken(name).strip() or len(name) > _MAX_NAME:
                raise ManifestError("classnames", f"entry {index} is empty or too long")
        return tuple(names)

    @property
    def tcp(self) -> _Fields:
        below = self._data.get("tcp", {})
        if not isinstance(below, Mapping):
            raise ManifestError("tcp", "must be an object")
        return _Fields(below)

    def template(self) -> str | None:
        for name in ("template", "tokenised_template"):
            template = self.template_named(name)
            if template is not None:
                return template
        below = _below(self._data.get("config"), "template")
        if isinstance(below, str):
            return _Fields({"template": below}).template_named("template")
        return self._template_of_context()

    def templates(self) -> tuple[str, ...]:
        """A list under `templates`, here or in `config`; averaged, so that one is none."""
        listed = self._data.get("templates", _below(self._data.get("config"), "templates"))
        if listed is None:
            return ()
        if not isinstance(listed, list) or not 0 < len(listed) <= _MAX_TEMPLATES:
            raise ManifestError("templates", f"must be a list of 1 to {_MAX_TEMPLATES} templates")
        named = [_Fields({"templates": text}).template_named("templates") for text in listed]
        return tuple(text for text in named if text is not None)

    def dataset(self) -> str | None:
        """The data set's name as the research codes state it, on which some behave otherwise."""
        config = self._data.get("config")
        name = _below(config, "dataset_name") or _below(_below(config, "DATASET"), "NAME")
        return name if isinstance(name, str) else None

    def cache_factor(self, name: str) -> float | None:
        """Tip-Adapter's alpha or beta: of the fine-tuned cache where both are stated."""
        config = self._data.get("config")
        for section in ("tip_adapter_F", "tip_adapter"):
            found = _below(config, section)
            if isinstance(found, Mapping) and name not in self._data:
                return _Fields(found).number(name)
        return self.number(name)

    def template_named(self, name: str) -> str | None:
        template = self.text(name)
        if template is not None and template.count("{}") != 1:
            raise ManifestError(name, "must hold {} once, where the class name stands")
        return template

    def _template_of_context(self) -> str | None:
        """CoOp's rule: the words that initialise the context stand before the class name.

        A flag in their place (KgCoOp, ProGrad) says nothing of the words themselves.
        """
        words: object = self.text("ctx_init")
        if words is None:
            words = self._setting("CTX_INIT")
        if not isinstance(words, str) or not words or "{" in words:
            return None
        return f"{spoken(words)} {{}}."

    def position(self) -> Position:
        stated: object = self.text("class_token_position")
        if stated is None:
            stated = self._setting("CLASS_TOKEN_POSITION")
        if stated is None:
            return "end"
        for position in _POSITIONS:
            if stated == position:
                return position
        raise ManifestError("class_token_position", f"must be one of {', '.join(_POSITIONS)}")

    def num_context(self) -> int | None:
        """Not from `config`: the original code ignores its N_CTX where initial words are given."""
        return self.count("n_ctx_replaced" if "n_ctx_replaced" in self._data else "n_ctx")

    def count(self, name: str) -> int | None:
        value = self._data.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ManifestError(name, "must be a count")
        return value

    def flag(self, name: str) -> bool | None:
        value = self._data.get(name)
        if value is None or isinstance(value, bool):
            return value
        raise ManifestError(name, "must be true or false")

    def image_size(self) -> int | None:
        value = self._data.get("image_size")
        if isinstance(value, list) and len(value) == 2 and value[0] == value[1]:
            value = value[0]
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 8 <= value <= 4096:
            raise ManifestError("image_size", "must be the side of a square in pixels, 8 to 4096")
        return value

    def triple(self, name: str, *, positive: bool) -> Triple | None:
        value = self._data.get(name)
        if value is None:
            return None
        if (
            not isinstance(value, list | tuple)
            or len(value) != 3
            or any(isinstance(item, bool) or not isinstance(item, int | float) for item in value)
            or any(not abs(item) < 1e3 or (positive and item <= 0) for item in value)
        ):
            sign = "positive " if positive else ""
            raise ManifestError(name, f"must be three {sign}numbers, for pixels in [0,1]")
        red, green, blue = (float(item) for item in value)
        return red, green, blue

    def check(self, folder: Path | None) -> Check | None:
        value = self._data.get("check")
        if value is None:
            return None
        if not isinstance(value, Mapping) or "images" not in value:
            raise ManifestError("check", "must be an object with images and logits or accuracy")
        fields = _Fields(value)
        accuracy = fields.share("accuracy")
        if (accuracy is None) == ("logits" not in value):
            raise ManifestError("check", "needs exactly one of logits and accuracy")
        images = _values("images", value["images"], folder)
        if accuracy is not None:
            return Check(images, None, accuracy)
        return Check(images, _values("logits", value["logits"], folder), None)

    def _setting(self, name: str) -> object:
        """A Dassl setting below `config`, from the section that the method's code reads."""
        sections = ("COCOOP",) if self.method() in _COCOOP_SECTION else ("COOP", "COCOOP")
        config = self._data.get("config")
        for tree in (config, _below(config, "TRAINER")):
            for found in (_below(tree, name), *(_below(_below(tree, s), name) for s in sections)):
                if found is not None:
                    return found
        return None


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _below(tree: object, name: str) -> object:
    return tree.get(name) if isinstance(tree, Mapping) else None


def _values(name: str, value: object, folder: Path | None) -> Path | tuple[object, ...]:
    if isinstance(value, list) and value:
        return tuple(value)
    if not isinstance(value, str) or not value:
        raise ManifestError(f"check.{name}", "must be a safetensors file or nested lists")
    if folder is None:
        raise ManifestError(f"check.{name}", "files cannot be named here; give nested lists")
    return folder / value
