"""What may be asked of an inspection: the one definition that every way of asking reads.

The command line (`inspect`, `repair`, `calibrate`, `submit`), the service's REST interface, the
metaparameters of `trojai` and the request to a worker's child take name, type, bounds, default and
help of an option from here, so that adding one is adding one field. Knows no file, no network, no
tensor, and not what an option does. `definition` and the options themselves need the standard
library only, `command_line` Typer.
"""

from __future__ import annotations

from inspector.options.definition import Spec, Way, WrongOption, option, specs
from inspector.options.inspection import Options, Policy, Selection

__all__ = ["Options", "Policy", "Selection", "Spec", "Way", "WrongOption", "option", "specs"]
