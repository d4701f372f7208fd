"""Pages as a real browser sees them."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
    *("--enable-logging=stderr", "--dump-dom", "--window-size=1400,1000"),
)


class Elements(HTMLParser):
    """Every element of a page with its attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for found, attributes in self.found if found == tag]


def opened(folder: Path, page: str) -> str:
    """What a page has become once it is loaded; nothing may be written to the console, such as a refusal."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    (folder / "page.html").write_text(page, "utf-8")
    words = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", f"file://{folder / 'page.html'}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert "CONSOLE" not in done.stderr
    return done.stdout


def answered(folder: Path, page: str, script: str, *, width: int = 1280) -> Any:
    """What an expression in the page comes to, in a frame of this width: a window of Chromium's own has a least one.

    The page's policy is left out, for it would forbid the question.
    """
    ask = f'<script>addEventListener("load", () => {{ parent.document.title = JSON.stringify({script}); }});</script>'
    probed = re.sub(r'<meta http-equiv="Content-Security-Policy".*?>', lambda _: ask, page)
    framed = probed.replace("&", "&amp;").replace('"', "&quot;")
    frame = f'<!doctype html><iframe style="border:0;width:{width}px;height:900px" srcdoc="{framed}"></iframe>'
    found = re.findall(r"<title>(.*?)</title>", opened(folder, frame))
    return json.loads(found[0].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
