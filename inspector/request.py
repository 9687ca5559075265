"""What is asked for in one inspection, however it was asked. Torch-free.

The command line, `trojai` and the worker's child all end here; what an option is, and what it may
be, is `inspector.options`'.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inspector.errors import RequestError
from inspector.manifest import Manifest
from inspector.options import Options, Spec, Way, WrongOption, specs


@dataclass(frozen=True, kw_only=True)
class Request(Options):
    """The options, and what they are asked of.

    Attributes:
        backbone: as `inspector.clip.registry` understands it.
        manifest: what the vendor states.
        device: auto, cpu or cuda.
        calibration: a file that must apply.
        calibrations: a folder of which the best one is used.
    """

    backbone: str
    manifest: Manifest
    device: str = "auto"
    calibration: Path | None = None
    calibrations: Path | None = None

    def check(self) -> None:
        """Raises RequestError, which names the option, for a value that it cannot have."""
        for spec in specs(Options):
            _checked(spec, getattr(self, spec.name))
            if (
                spec.needs
                and getattr(self, spec.name) is not None
                and not getattr(self, spec.needs)
            ):
                raise RequestError(spec.name, spec.is_unread)

    @classmethod
    def from_json(cls, data: Mapping[str, Any], folder: Path | None = None) -> Request:
        """The request of a JSON object; an option that is missing has its default.

        Args:
            folder: where relative paths in the manifest start; without one they are refused.

        Raises:
            KeyError: there is no backbone or no device.
            RequestError: an option has a value that it cannot have, or the manifest cannot be.
        """
        calibrations = data.get("calibrations")
        return cls(
            backbone=str(data["backbone"]),
            manifest=Manifest.parse(data.get("manifest"), folder=folder),
            device=str(data["device"]),
            calibrations=Path(calibrations) if calibrations else None,
            **options_in(data),
        )

    def to_json(self) -> dict[str, Any]:
        """The inverse of `from_json`.

        A single calibration is asked for on the command line alone.
        """
        return {spec.name: getattr(self, spec.name) for spec in specs(Options)} | {
            "backbone": self.backbone,
            "manifest": self.manifest.to_json(),
            "device": self.device,
            "calibrations": None if self.calibrations is None else str(self.calibrations),
        }


def options_in(data: Mapping[str, Any], way: Way | None = None) -> dict[str, Any]:
    """By name, the options of a JSON object, as `way` may give them; defaults for the rest.

    Raises:
        RequestError: one has a value that it cannot have.
    """
    return {
        spec.name: _checked(spec, data.get(spec.name, spec.default)) for spec in specs(Options, way)
    }


def _checked(spec: Spec, value: object) -> Any:
    try:
        return spec.checked(value)
    except WrongOption as problem:
        raise RequestError(problem.name, problem.detail) from problem
