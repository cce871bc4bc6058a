#!/usr/bin/env python3
"""Draws Docs/work.svg, the picture of README.md, from the table "Real work" of Docs/Benchmarks.md.

    Docs/picture.py            # writes Docs/work.svg
    Docs/picture.py --check    # the exit status is 1 where the file is not what the table gives
"""

import html
import math
import os
import re
import sys

DOCS = os.path.dirname(os.path.abspath(__file__))
HEADING = "### Real work, and its bound"
# By the heads of the table's columns.
SERVERS = {"Mayfly": "#2f7d5b", "passthrough_hp": "#9db4c0", "memfs_ll": "#c9ada7"}
NAMES = {"Mayfly": "Mayfly", "passthrough_hp": "libfuse passthrough_hp", "memfs_ll": "libfuse memfs_ll"}
LEFT, RIGHT, TOP, BAR, GAP = 250, 60, 62, 11, 12
WIDTH, MOST = 820, 50


def rows():
    """What each workload does, with a ratio to tmpfs for each server; None where it fails."""
    with open(os.path.join(DOCS, "Benchmarks.md"), encoding="utf-8") as file:
        lines = file.read().split(HEADING + "\n", 1)[1].split("\n")
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    head, found = table[0], []
    for cells in table[2:]:
        if len(cells) != len(head): break
        row = dict(zip(head, cells))
        ratios = {name: re.search(r"\(([\d.]+)\)", row[name]) for name in SERVERS}
        found.append((row["does"], {name: float(match[1]) if match else None for name, match in ratios.items()}))
    # Fast ones first.
    return sorted(found, key=lambda row: row[1]["Mayfly"])


def place(ratio):
    """Where a ratio stands: the axis is logarithmic, from 1 to MOST."""
    return LEFT + (WIDTH - LEFT - RIGHT) * math.log(max(ratio, 1)) / math.log(MOST)


def text(x, y, words, anchor="start", size=12, weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}">'
            f"{html.escape(words)}</text>")


def picture():
    work = rows()
    height = TOP + len(work) * (len(SERVERS) * BAR + GAP) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="sans-serif" fill="#222">',
        "<title>Time of real work, as a ratio to tmpfs</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        text(12, 22, "Time of real work, as a ratio to tmpfs (less is faster)", size=14, weight="bold"),
    ]
    x = 12
    for name, colour in SERVERS.items():
        parts.append(f'<rect x="{x}" y="34" width="11" height="11" fill="{colour}"/>')
        parts.append(text(x + 16, 44, NAMES[name]))
        x += 40 + 7 * len(NAMES[name])
    bottom = height - 24
    for tick in (1, 2, 5, 10, 20, 50):
        at = place(tick)
        parts.append(f'<line x1="{at:.1f}" y1="{TOP - 6}" x2="{at:.1f}" y2="{bottom}" stroke="#ddd"/>')
        parts.append(text(at, bottom + 15, "tmpfs" if tick == 1 else f"{tick}", "middle", 11))
    y = TOP
    for does, ratios in work:
        middle = y + len(SERVERS) * BAR / 2 + 4
        # Up to a comma, where it is long.
        parts.append(text(LEFT - 8, middle, does if len(does) < 39 else does.split(",")[0], "end"))
        for name, colour in SERVERS.items():
            ratio = ratios[name]
            if ratio is None:
                parts.append(text(LEFT + 4, y + 9, "fails", size=10))
            else:
                end = place(ratio)
                parts.append(
                    f'<rect x="{LEFT}" y="{y}" width="{max(end - LEFT, 1):.1f}" height="{BAR - 1}" '
                    f'fill="{colour}"/>')
                parts.append(text(end + 4, y + 9, f"{ratio:g}", size=10))
            y += BAR
        y += GAP
    return "\n".join(parts + ["</svg>"]) + "\n"


target = os.path.join(DOCS, "work.svg")
if sys.argv[1:] == ["--check"]:
    with open(target, encoding="utf-8") as old:
        if old.read() != picture():
            sys.exit("picture: Docs/work.svg is not what Docs/Benchmarks.md says: run Docs/picture.py")
elif sys.argv[1:]:
    sys.exit(__doc__)
else:
    with open(target, "w", encoding="utf-8") as new:
        new.write(picture())
