"""Pictures as PNG files, or as SVG that takes a page's colors."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from mmvkd.files import replacing

GRAY = '#8d8d8d'
# of middle lightness, for white and for black; the color-blind can tell them apart
COLORS = (
    '#0f8ac9',
    '#e0792b',
    '#2a9d68',
    '#c85fa5',
    '#b59a0b',
    '#7d74d6',
    '#d1495b',
    '#4aa7a7',
    GRAY,
    '#a86f3c',
)
_INK = '#010203'  # becomes the page's text color
_FAINT = '#010204'  # becomes a faint line
WIDTH = 4.3  # inches: as wide as a phone, with type of 9 points
_STYLE: Any = {
    'font.family': 'sans-serif',
    'font.size': 9,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.grid': True,
    'grid.linewidth': 0.6,
    'svg.fonttype': 'none',
    'legend.frameon': False,
    **{
        key: _INK
        for key in ('text.color', 'axes.labelcolor', 'xtick.color', 'ytick.color')
    },
    'axes.edgecolor': _FAINT,
    'grid.color': _FAINT,
}
Draw = Callable[[Figure], None]


def png(draw: Draw) -> bytes:
    """A PNG image, dark on white, for a README."""
    buffer = io.BytesIO()
    style: Any = {
        **_STYLE,
        **{key: '#222222' for key, value in _STYLE.items() if value == _INK},
        **{key: '#d0d0d0' for key, value in _STYLE.items() if value == _FAINT},
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(WIDTH, 3), layout='constrained')
        FigureCanvasAgg(figure)
        draw(figure)
        figure.savefig(
            buffer,
            format='png',
            dpi=160,
            facecolor='white',
            metadata={'Software': None},
        )
    return buffer.getvalue()


def write_png(path: Path, draw: Draw) -> None:
    """Write what :func:`png` gives, all of it or nothing."""
    image = png(draw)
    with replacing(path) as temporary:
        temporary.write_bytes(image)


def svg(draw: Draw, label: str, salt: str) -> str:
    """An SVG image for inside a page, whose text color it takes.

    Args:
        draw: Draws it.
        label: Description for those who do not see it.
        salt: Unique on the page, for the ids inside.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({**_STYLE, 'svg.hashsalt': salt}):
        figure = Figure(figsize=(WIDTH, 3), layout='constrained')
        FigureCanvasSVG(figure)
        draw(figure)
        figure.savefig(
            buffer,
            format='svg',
            transparent=True,
            metadata={'Date': None, 'Creator': None},
        )
    text = buffer.getvalue()
    text = text[text.index('<svg') :]
    text = re.sub(r'<metadata>.*?</metadata>', '', text, flags=re.S)
    # the size comes from the page; the ids must be the page's only ones
    text = re.sub(r' (width|height)="[\d.]+pt"', '', text, count=2)
    prefix = re.sub(r'\W', '-', salt)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r'(url\(#|href="#)', rf'\g<1>{prefix}-', text)
    text = text.replace(_INK, 'currentColor').replace(_FAINT, 'var(--line)')
    text = re.sub(r'font: ([\d.]+px) [^;\"]*', r'font: \1 system-ui, sans-serif', text)
    return text.replace('<svg', f'<svg role="img" aria-label="{label}"', 1)
