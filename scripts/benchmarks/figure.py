"""A chart of horizontal bars in panels side by side, as SVG."""

from xml.sax.saxutils import escape

LABELS, PANEL, GAP = 190, 150, 30     # widths
LINE, BAR = 24, 14                    # heights
TOP = 64


def bar_chart(panels, title, highlighted):
    """panels: {heading: {label: value or None}}; bars are to scale within their panel."""
    rows = list(next(iter(panels.values())))
    width = LABELS + len(panels) * (PANEL + GAP)
    height = TOP + len(rows) * LINE + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="{escape(title)}">',
        f'<title>{escape(title)}</title>',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="24" font-size="15" font-weight="600" fill="#1f2328">{escape(title)}</text>',
    ]
    for row, label in enumerate(rows):
        y = TOP + row * LINE + BAR - 2
        weight = ' font-weight="600"' if label == highlighted else ""
        parts.append(f'<text x="12" y="{y}"{weight} fill="#1f2328">{escape(label)}</text>')
    for panel, (heading, values) in enumerate(panels.items()):
        left = LABELS + panel * (PANEL + GAP)
        # The longest bar leaves room for its figure.
        scale = (PANEL - 40) / max((value for value in values.values() if value is not None), default=1)
        parts.append(f'<text x="{left}" y="{TOP - 12}" font-weight="600" fill="#57606a">{escape(heading)}</text>')
        for row, label in enumerate(rows):
            value, y = values[label], TOP + row * LINE
            colour = "#d1602f" if label == highlighted else "#8ba3bd"
            length = 0 if value is None else max(1, value * scale)
            figure = "–" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"
            parts.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2" fill="{colour}"/>')
            parts.append(f'<text x="{left + length + 5:.1f}" y="{y + BAR - 2}" fill="#1f2328">{figure}</text>')
    return "\n".join(parts + ["</svg>", ""])
