"""What a drawn figure holds: the texts of an SVG with the boxes they stand in, and whether a PNG shows anything."""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np

_NAMESPACE = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True)
class Text:
    """One text, in the figure's points from its upper left corner; turned texts in the box around them."""

    text: str
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Text) -> bool:
        """Whether two texts cover each other."""
        return (
            min(self.right, other.right) - max(self.left, other.left) > 0.5
            and min(self.bottom, other.bottom) - max(self.top, other.top) > 0.5
        )


def texts(svg: bytes) -> list[Text]:
    """Return the texts of an SVG, measured in the font they are drawn in."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    found = []
    for node in ET.fromstring(svg).iter(f"{_NAMESPACE}text"):  # noqa: S314 - it was just drawn
        said = "".join(node.itertext())
        style, turn = node.get("style", ""), node.get("transform", "")
        size = float(re.search(r"font-size: ([\d.]+)px|font: .*?([\d.]+)px", style)[1])
        bold = FontProperties(size=size, weight="bold" if "700" in style else "normal")
        width, height, below = TextToPath().get_text_width_height_descent(said, bold, ismath=False)
        placed = re.search(r"translate\(([-\d.]+) ([-\d.]+)\)", turn)
        x, y = (
            (float(placed[1]), float(placed[2])) if placed else (float(node.get("x")), float(node.get("y")))
        )
        start = {"middle": -width / 2, "end": -width}.get(
            (re.search(r"text-anchor: (\w+)", style) or " x")[1], 0
        )
        angle = math.radians(float((re.search(r"rotate\((-?[\d.]+)", turn) or (0, "0"))[1]))
        corners = [(a, b) for a in (start, start + width) for b in (-(height - below), below)]
        xs = [x + a * math.cos(angle) - b * math.sin(angle) for a, b in corners]
        ys = [y + a * math.sin(angle) + b * math.cos(angle) for a, b in corners]
        found.append(Text(said, min(xs), min(ys), max(xs), max(ys)))
    return found


def cut(svg: bytes) -> list[str]:
    """Return the texts that leave the figure."""
    root = ET.fromstring(svg)  # noqa: S314 - it was just drawn
    _, _, width, height = map(float, root.get("viewBox").split())
    return [
        one.text
        for one in texts(svg)
        if one.left < -0.5 or one.top < -0.5 or one.right > width + 0.5 or one.bottom > height + 0.5
    ]


def is_blank(png: bytes) -> bool:
    """Whether a picture has one colour."""
    from matplotlib.image import imread

    pixels = imread(io.BytesIO(png), format="png")
    return bool(np.ptp(pixels[..., :3]) == 0)


def whole(drawn: Any, *said: str) -> list[Text]:
    """Check that a figure is no blank, cuts no text, and holds some; return its texts."""
    assert not is_blank(drawn.png)
    assert cut(drawn.svg) == []
    found = texts(drawn.svg)
    assert set(said) <= {one.text for one in found}
    return found
