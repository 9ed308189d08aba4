"""How the marks of a front look in print and on a page: shape by role, colour by cluster, grey by standing.

Shapes and labels alone tell everything; colours repeat it. Source of the palette: Okabe and Ito,
"Color Universal Design", 2008, without its yellow, which paper swallows.
"""

from __future__ import annotations

from dataclasses import dataclass

from qsearch.report.front_scene import Role, Scene, Spot, Standing

INK, QUIET, GREY, PALE, PAPER = "#1b1f24", "#5b6470", "#9aa3ad", "#e6e9ed", "#ffffff"
#: what a key calls the tips at the edge
BEYOND = "beyond the frame"
_CLUSTERS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


@dataclass(frozen=True, slots=True)
class Look:
    """One mark."""

    #: star, diamond, triangle, circle, cross, asterisk; up, down, left, right: a tip that points beyond the frame
    shape: str
    #: of its bars, its outline and its label
    colour: str
    #: inside
    fill: str
    #: diameter in points
    size: float

    @property
    def outline(self) -> str:
        """Paper around what is filled, so that marks over each other stay apart."""
        strokes = self.shape in ("cross", "asterisk")
        return PAPER if self.fill == self.colour and not strokes else self.colour


def drawn(scene: Scene, spot: Spot) -> Look:
    """The look of a placed spot in its scene: a hollow tip at the edge when it lies beyond, which is no mark."""
    tip = scene.tip(spot)
    if not tip:
        return look(spot)
    return Look(tip, GREY if spot.standing is not Standing.FEASIBLE else look(spot).colour, PAPER, 6.0)


def name_in(scene: Scene, spot: Spot) -> str:
    """What a key calls what is drawn of a placed spot."""
    return BEYOND if scene.tip(spot) else key_name(spot)


def look(spot: Spot) -> Look:
    """The look of a spot; equal roles, standings and clusters look alike."""
    shape, points = _SHAPES[spot.role]
    if spot.standing is Standing.POLLUTED:
        return Look("asterisk", GREY, GREY, 7.0)
    if spot.standing is Standing.INFEASIBLE:
        plain = spot.role in (Role.FRONT, Role.TIE, Role.DOMINATED)
        return Look("cross", GREY, GREY, 5.5) if plain else Look(shape, GREY, PAPER, points)
    colour = cluster_colour(spot.cluster)
    if spot.role is Role.DOMINATED:
        return Look(shape, GREY, GREY, points)
    if spot.role is Role.FP32:
        return Look(shape, INK, INK, points)
    return Look(shape, colour, PAPER if spot.cluster is None else colour, points)


def cluster_colour(cluster: int | None) -> str:
    """Clusters far apart share a colour where there are more of them than colours; marks and labels still differ."""
    return INK if cluster is None else _CLUSTERS[cluster % len(_CLUSTERS)]


def key_name(spot: Spot) -> str:
    """What a key calls the mark of a spot."""
    if spot.standing is Standing.POLLUTED:
        return "polluted"
    baseline = spot.role in (Role.PICK, Role.FP32, Role.UNIFORM)
    if spot.standing is Standing.INFEASIBLE:
        return f"{spot.role.value}, breaks a limit" if baseline else "breaks a limit"
    if spot.role is Role.UNIFORM and spot.cluster is None:
        return "uniform, dominated"
    return "tied with it" if spot.role is Role.TIE else spot.role.value


def key(scene: Scene) -> tuple[tuple[str, Look], ...]:
    """Name and look of each kind of mark in the scene, the most important first, each as one of them is drawn."""
    found: dict[str, Look] = {}
    for name in KEY_NAMES:
        alike = next((spot for spot in scene.spots if spot.placed and name_in(scene, spot) == name), None)
        if alike:
            found[name] = drawn(scene, alike)
    return tuple(found.items())


#: in the order of importance
KEY_NAMES = (
    "pick",
    "pick, breaks a limit",
    "front",
    "tied with it",
    "fp32",
    "fp32, breaks a limit",
    "uniform",
    "uniform, dominated",
    "uniform, breaks a limit",
    "dominated",
    "breaks a limit",
    "polluted",
    BEYOND,
)
#: what a key calls the dotted lines
TIED = "not told apart"
_SHAPES = {
    Role.PICK: ("star", 15.0),
    Role.FP32: ("diamond", 8.5),
    Role.UNIFORM: ("triangle", 8.5),
    Role.FRONT: ("circle", 8.0),
    Role.TIE: ("circle", 5.0),
    Role.DOMINATED: ("circle", 3.5),
}
