"""Headless Chromium, where there is one: what a page looks like to it."""

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome-headless-shell",
)
_OPTIONS = (
    "--headless",
    "--no-sandbox",  # pages of our own, in containers that forbid another
    "--disable-gpu",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--allow-file-access-from-files",
)
WHY_NOT = (
    "no Chromium: none of "
    f"{', '.join(NAMES)} on the path, none in $CHROMIUM, none of playwright's; "
    ".ci/run installs one where it may"
)


def find_chromium() -> str | None:
    """The program: $CHROMIUM, one on the path, or playwright's."""
    given = os.environ.get("CHROMIUM")
    if given:
        return given
    for name in NAMES:
        found = shutil.which(name)
        if found is not None:
            return found
    place = os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or "~/.cache/ms-playwright"
    found_there = sorted(Path(place).expanduser().glob("chromium*/*/*headless*shell"))
    return str(found_there[-1]) if found_there else None


def run_chromium(program: str, folder: Path, *arguments: str) -> str:
    """What it writes to stdout, with a profile of its own in `folder`."""
    command = [program, *_OPTIONS, f"--user-data-dir={folder / 'profile'}", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def measure(program: str, folder: Path, page: str, width: int, script: str) -> object:
    """What a script returns that is run in the page, which is so many pixels wide.

    The page lies in a frame of that width, since a window has a least width.

    Args:
        program: Chromium.
        folder: To work in.
        page: HTML.
        width: In CSS pixels.
        script: Body of a function of the frame's `window` and `document`.
    """
    frame = (
        "<!DOCTYPE html><body style='margin:0'>"
        f"<iframe style='width:{width}px;height:900px;border:0'"
        f' srcdoc="{html.escape(page, quote=True)}"></iframe>'
        "<pre id='found'></pre><script>"
        "document.querySelector('iframe').addEventListener('load', event => {"
        "const window = event.target.contentWindow, document = window.document;"
        f"const found = (() => {{ {script} }})();"
        "parent.document.getElementById('found').textContent = JSON.stringify(found);"
        "});</script></body>"
    )
    file = folder / "frame.html"
    file.write_text(frame, encoding="utf-8")
    shown = run_chromium(
        program,
        folder,
        f"--window-size={max(width, 500) + 100},1000",
        "--virtual-time-budget=5000",
        "--dump-dom",
        file.as_uri(),
    )
    found = re.search(r'<pre id="found">(.*?)</pre>', shown, re.DOTALL)
    assert found is not None, shown[-2000:]
    assert found[1], "the script of the test failed, or the page never loaded"
    return json.loads(html.unescape(found[1]))


def print_page(program: str, folder: Path, page: str, size: str) -> Path:
    """The page as PDF, on paper of this CSS size."""
    sized = page.replace("@page { ", f"@page {{ size: {size}; ")
    assert sized != page
    (folder / "paper.html").write_text(sized, encoding="utf-8")
    place = folder / "paper.pdf"
    run_chromium(
        program,
        folder,
        "--no-pdf-header-footer",
        f"--print-to-pdf={place}",
        (folder / "paper.html").as_uri(),
    )
    return place
