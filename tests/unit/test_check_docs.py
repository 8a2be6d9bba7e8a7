"""A link in the documentation that leads nowhere is found, and one that leads somewhere is not."""

from pathlib import Path

from scripts.check_docs import broken_links, pages


def _page(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_links_that_lead_somewhere_are_left_alone(tmp_path: Path) -> None:
    _page(tmp_path, "docs/wire.md", "# The wire\n\n## Frames & records\n")
    page = _page(
        tmp_path,
        "README.md",
        "[a](docs/wire.md) [b](docs/wire.md#frames--records) [c](https://example.org) [d](#here)\n\n# Here\n",
    )
    assert broken_links(page, tmp_path) == []


def test_a_missing_file_and_a_missing_heading_are_found(tmp_path: Path) -> None:
    _page(tmp_path, "docs/wire.md", "# The wire\n")
    page = _page(tmp_path, "README.md", "[a](docs/gone.md)\n[b](docs/wire.md#gone)\n[c](../outside.md)\n")
    assert broken_links(page, tmp_path) == [
        "README.md: docs/gone.md: no such file",
        "README.md: docs/wire.md#gone: no such heading",
        "README.md: ../outside.md: no such file",
    ]


def test_links_in_code_are_not_links(tmp_path: Path) -> None:
    page = _page(tmp_path, "README.md", "`[a](gone.md)`\n\n```\n[b](gone.md)\n```\n")
    assert broken_links(page, tmp_path) == []


def test_pages_below_docs_are_read_too(tmp_path: Path) -> None:
    deep = _page(tmp_path, "docs/decisions/one.md", "# One\n")
    assert pages(tmp_path) == [deep]
