"""Checks that links inside the documentation lead somewhere.

Reads every Markdown file at the root and under `docs/`, takes the links that point into this
checkout, and reports each whose file, or whose heading in that file, does not exist. It looks at
nothing outside the checkout: links with a scheme are left alone.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\[[^\]\n]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_DEFINITION = re.compile(r"^\[[^\]\n]+\]:\s*(\S+)", re.MULTILINE)
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def anchors(text: str) -> set[str]:
    """The fragment names that GitHub gives to the headings of a Markdown text."""
    names: set[str] = set()
    seen: dict[str, int] = {}
    for match in _HEADING.finditer(_FENCE.sub("", text)):
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", match.group(1))
        name = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        count = seen.get(name, 0)
        seen[name] = count + 1
        names.add(f"{name}-{count}" if count else name)
    return names


def broken_links(page: Path, root: Path) -> list[str]:
    """One line per link of `page` that leads nowhere inside `root`."""
    text = page.read_text(encoding="utf-8")
    prose = _CODE.sub("", _FENCE.sub("", text))
    found: list[str] = []
    for link in [*_LINK.findall(prose), *_DEFINITION.findall(prose)]:
        if _SCHEME.match(link):
            continue
        path, _, fragment = link.partition("#")
        goal = (page.parent / path).resolve() if path else page
        where = page.relative_to(root)
        if not goal.is_relative_to(root) or not goal.exists():
            found.append(f"{where}: {link}: no such file")
        elif fragment and goal.suffix == ".md" and fragment not in anchors(goal.read_text(encoding="utf-8")):
            found.append(f"{where}: {link}: no such heading")
    return found


def pages(root: Path) -> list[Path]:
    """All Markdown files that users read: those at the root, and everything under `docs/`."""
    return sorted([*root.glob("*.md"), *(root / "docs").rglob("*.md")])


def main() -> int:
    found = [line for page in pages(ROOT) for line in broken_links(page, ROOT)]
    for line in found:
        print(line, file=sys.stderr)
    print(f"docs: {len(pages(ROOT))} pages, {len(found)} broken links")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
