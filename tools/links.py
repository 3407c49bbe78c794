#!/usr/bin/env python3
"""Checks the documents: relative links name files and headings that are there, and lines have at most 120 characters.

    python3 tools/links.py

Lines of tables, of code and of one long link may be longer. Needs Python 3.9 and git.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\]\(([^)\s]+)\)")
LONGEST = 120


def anchors(path: Path) -> set:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", without_code(path.read_text()), re.MULTILINE)
    kept = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    return {f"{name}-{kept[:i].count(name)}" if name in kept[:i] else name for i, name in enumerate(kept)}


def without_code(text: str) -> str:
    """The text with blocks of code left empty, so that lines keep their numbers."""
    return re.sub(r"^```.*?^```", lambda block: "\n" * block.group().count("\n"), text, flags=re.MULTILINE | re.DOTALL)


def problems(path: Path) -> list:
    found = []
    for number, line in enumerate(without_code(path.read_text()).splitlines(), 1):
        place = f"{path.relative_to(ROOT)}: line {number}"
        if len(line) > LONGEST and not line.startswith("|") and " " in line.strip():
            found.append(f"{place}: {len(line)} characters, expected at most {LONGEST}")
        for target in LINK.findall(line):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            file = (path.parent / name).resolve() if name else path
            if not file.exists():
                found.append(f"{place}: found a link to {name}, expected a file that is there")
            elif anchor and file.suffix == ".md" and anchor not in anchors(file):
                found.append(f"{place}: found a link to {target}, expected one of the headings of that file")
    return found


if __name__ == "__main__":
    command = ["git", "ls-files", "-co", "--exclude-standard", "*.md"]
    listed = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    documents = [ROOT / name for name in listed if (ROOT / name).exists()]
    lines = [problem for path in documents for problem in problems(path)]
    print("\n".join(lines))
    sys.exit(1 if lines else 0)
