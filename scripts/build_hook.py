"""What a wheel carries beside its modules: manual pages and completions, made while it is built.

They come from the command line's definitions of the very tree that is being packed, so none can be out of
date and none is kept in the repository. An editable installation has no use for them and gets none.
"""

import datetime as dt
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class AssetsHook(BuildHookInterface[Any]):
    """Adds `share/man/man1` and the places where shells look."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """`version` is the kind of wheel."""
        if version == "editable":
            return
        self._room = tempfile.TemporaryDirectory()
        shared = build_data["shared_data"]
        for where, text in _assets(Path(self.root)).items():
            file = Path(self._room.name, where)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            shared[str(file)] = f"share/{where}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """The wheel holds them now."""
        if version != "editable":
            self._room.cleanup()


def _assets(root: Path) -> dict[str, str]:
    """Each file's text by its place below `share`."""
    sys.path.insert(0, str(root))
    try:
        from farshore.cli import completion, manual
        from farshore.cli.root import root as command
    finally:
        sys.path.remove(str(root))
    seconds = os.environ.get("SOURCE_DATE_EPOCH")
    now = dt.datetime.now(dt.UTC) if seconds is None else dt.datetime.fromtimestamp(int(seconds), dt.UTC)
    found = {f"man/man1/{name}": text for name, text in manual.pages(now.date()).items()}
    for shell, place in (
        ("bash", "bash-completion/completions/farshore"),
        ("zsh", "zsh/site-functions/_farshore"),
        ("fish", "fish/vendor_completions.d/farshore.fish"),
    ):
        found[place] = completion.script(shell, command) + "\n"
    return found
