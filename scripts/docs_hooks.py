"""Hooks of mkdocs.yml: the examples are part of the site, and the pages' links to them lead there."""

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

EXAMPLES = Path(__file__).parent.parent / "examples"


def on_files(files: Any, config: Any) -> None:
    for path in sorted(EXAMPLES.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            name = f"examples/{path.relative_to(EXAMPLES).as_posix()}"
            files.append(File.generated(config, name, abs_src_path=str(path)))


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """In the repository the examples are beside docs/, in the site inside of it."""
    up = "../" * page.file.src_uri.count("/")
    return markdown.replace(f"](../{up}examples/", f"]({up}examples/")
