"""Draws what a command prints in a terminal as SVG, light or dark as the reader has it.

    picture.py TITLE COMMAND <PRINTED >PICTURE

Every run of characters is put where its column is, so that it stands there in any font.
"""

import re
import sys
from html import escape

SIZE, WIDE, HIGH, LEFT, TOP = 14, 8.4, 20, 20, 18
FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
COLOURS = {"31": "red", "32": "green", "33": "yellow", "2": "dim"}
STYLE = """
.screen { fill: #f6f8fa; stroke: #d1d9e0 }
text { fill: #1f2328; white-space: pre }
.red { fill: #cf222e } .green { fill: #1a7f37 } .yellow { fill: #9a6700 } .dim { fill: #6e7781 }
.bar { fill: #d1d9e0 }
@media (prefers-color-scheme: dark) {
.screen { fill: #0d1117; stroke: #3d444d }
text { fill: #e6edf3 }
.red { fill: #ff7b72 } .green { fill: #3fb950 } .yellow { fill: #d29922 } .dim { fill: #8b949e }
.bar { fill: #3d444d }
}
"""


def runs(line):
    """Column, text and colour of each run: letters, or one sign, or equal cells of a bar."""
    column, colour = 0, ""
    for code, text in re.findall(r"\x1b\[([0-9;]*)m|([^\x1b]+)", line):
        if not text:
            colour = COLOURS.get(code, "")
            continue
        # Words apart: where a font has no sign of this width, what follows stays in its column.
        for run in re.findall(r"█+|░+|[ -~–…]+|.", text):
            if run.strip():
                start = column + len(run) - len(run.lstrip())
                yield start, run.strip(), colour
            column += len(run)


def draw(column, row, run, colour):
    x, y = LEFT + column * WIDE, TOP + row * HIGH
    kind = f' class="{colour}"' if colour else ""
    if run[0] in "█░":
        kind = ' class="bar"' if run[0] == "░" else kind
        return f'<rect x="{x:g}" y="{y + 3:g}" width="{len(run) * WIDE:g}" height="{HIGH - 6}"{kind}/>'
    if len(run) == 1:
        return f'<text x="{x + WIDE / 2:g}" y="{y + 15:g}" text-anchor="middle"{kind}>{escape(run)}</text>'
    return f'<text x="{x:g}" y="{y + 15:g}" textLength="{len(run) * WIDE:g}"{kind}>{escape(run)}</text>'


def main(title, command):
    lines = [line.rstrip("\r") for line in sys.stdin.read().rstrip().split("\n")]
    lines.insert(0, f"\x1b[2m$\x1b[0m {command}")
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
    width = round(2 * LEFT + max(80, *map(len, plain)) * WIDE)
    height = 2 * TOP + len(lines) * HIGH
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"',
          f'font-family="{FONTS}" font-size="{SIZE}" role="img" aria-labelledby="title" aria-describedby="words">')
    print(f'<title id="title">{escape(title)}</title>')
    print('<desc id="words">' + escape("\n".join(plain)) + "</desc>")
    print(f"<style>{STYLE}</style>")
    print(f'<rect class="screen" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>')
    for row, line in enumerate(lines):
        for column, run, colour in runs(line):
            print(draw(column, row, run, colour))
    print("</svg>")


main(*sys.argv[1:])
