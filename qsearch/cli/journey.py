"""The order in which --help tells of the commands: as a person meets them."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

#: heading → commands, first things first
JOURNEY: dict[str, tuple[str, ...]] = {
    "Describe a job": ("init", "validate", "plan"),
    "Run it": ("run", "submit", "resume"),
    "Follow it": ("jobs", "status", "watch", "stop", "cancel"),
    "Look at the answer": ("best", "pareto", "trials", "show", "layers", "compare", "query"),
    "Take it away": ("export",),
    "Models by themselves": ("inspect", "bench", "eval"),
    "The installation": ("doctor", "config", "head", "schema", "version"),
}


class JourneyGroup(TyperGroup):
    """A group whose help is sorted by `JOURNEY`, one line for each command."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Commands in the order of the journey."""
        told = [name for names in JOURNEY.values() for name in names]
        return [*(name for name in told if name in self.commands), *(n for n in self.commands if n not in told)]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """One section per heading."""
        width = max(len(name) for name in self.commands)
        for heading, names in JOURNEY.items():
            with formatter.section(heading):
                formatter.write_dl(
                    [
                        (name.ljust(width), self.commands[name].get_short_help_str(formatter.width - width - 6))
                        for name in names
                    ]
                )
