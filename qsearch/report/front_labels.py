"""Where the labels of a front stand, so that none covers another or a mark. Pure; in shares of the frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qsearch.report.front_scene import Scene, Spot
from qsearch.report.front_words import label_in

#: (across, up) of a label from its mark, in the order they are preferred
SIDES = ((1, 1), (1, -1), (-1, 1), (-1, -1), (0, 1), (0, -1), (1, 0), (-1, 0))
#: what it costs to cover a label, to stand on a mark or on a bar, and to leave the frame
_LABEL, _MARK, _BAR, _OUT = 12.0, 6.0, 1.0, 90.0


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in shares of the frame, y upwards."""

    left: float
    bottom: float
    right: float
    top: float

    def covered(self, other: Box) -> float:
        """The share of this box that the other covers; a box without area is covered or not."""
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.top, other.top) - max(self.bottom, other.bottom)
        if wide < 0 or high < 0:
            return 0.0
        area = (self.right - self.left) * (self.top - self.bottom)
        return wide * high / area if area > 0 else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How large text is, in shares of the frame it stands in."""

    #: width of a character
    letter: float
    #: height of a line
    line: float
    #: from the centre of a mark to its label, across
    gap: float


def placed_labels(scene: Scene, room: Room) -> tuple[tuple[Spot, tuple[int, int]], ...]:
    """Each spot that has a label, and on which of `SIDES` it stands; greedy, the weightiest first."""
    spots = sorted((spot for spot in scene.spots if spot.placed), key=lambda spot: -spot.weight)
    marks = [_mark(scene, spot, room) for spot in spots]
    bars = [bar for spot in spots if spot.bars for bar in _bars(scene, spot)]
    taken: list[Box] = []
    chosen = []
    for spot in spots:
        text = label_in(scene, spot)
        if not text:
            continue
        boxes = {side: _box(_at(scene, spot), len(text), side, room) for side in SIDES}
        best = min(SIDES, key=lambda side: (_cost(boxes[side], taken, marks, bars), SIDES.index(side)))
        taken.append(boxes[best])
        chosen.append((spot, best))
    return tuple(chosen)


def _at(scene: Scene, spot: Spot) -> tuple[float, float]:
    x, y = scene.position(spot)
    return scene.across.share(x), 1.0 - scene.down.share(y)


def _mark(scene: Scene, spot: Spot, room: Room) -> Box:
    x, y = _at(scene, spot)
    return Box(x - room.gap / 2, y - room.line * 0.6, x + room.gap / 2, y + room.line * 0.6)


def _bars(scene: Scene, spot: Spot) -> tuple[Box, Box]:
    x, y = _at(scene, spot)
    left, right = (scene.across.share(scene.across.clamped(end)) for end in (spot.x.low, spot.x.high))
    high, low = (1.0 - scene.down.share(scene.down.clamped(end)) for end in (spot.y.low, spot.y.high))
    return Box(left, y, right, y), Box(x, low, x, high)


def _box(at: tuple[float, float], letters: int, side: tuple[int, int], room: Room) -> Box:
    wide, high = letters * room.letter, room.line
    middle = at[0] + side[0] * (room.gap + wide / 2)
    centre = at[1] + side[1] * high
    return Box(middle - wide / 2, centre - high / 2, middle + wide / 2, centre + high / 2)


def _cost(box: Box, taken: Sequence[Box], marks: Sequence[Box], bars: Sequence[Box]) -> float:
    return (
        _LABEL * sum(box.covered(other) for other in taken)
        + _MARK * sum(other.covered(box) > 0 for other in marks)
        + _BAR * sum(other.covered(box) > 0 for other in bars)
        + _OUT * (1.0 - box.covered(Box(0.0, 0.0, 1.0, 1.0)))
    )
