"""A page as a parser and as a real browser see it: what the tests of reports share."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import pytest

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;{{ 7 * 7 }}"
VOID = {"meta", "img", "path", "br", "link", "input", "wbr"}

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *(
        "--disable-background-networking",
        "--disable-component-update",
        "--enable-logging=stderr",
        "--hide-scrollbars",
        "--dump-dom",
    ),
]
PROBE = """
<script>
addEventListener("load", () => {
  const high = what => [...document.querySelectorAll(what)].filter(each => each.getBoundingClientRect().height > 40);
  const letters = [...document.querySelectorAll("svg text")];
  const wide = letters.filter(each => {
    const own = each.getBoundingClientRect(), box = each.closest("svg").getBoundingClientRect();
    return own.left < box.left - 1 || own.right > box.right + 1;
  });
  const small = letters.map(each => parseFloat(getComputedStyle(each).fontSize) *
    each.closest("svg").getBoundingClientRect().width / each.closest("svg").viewBox.baseVal.width).filter(size => size);
  parent.document.title = JSON.stringify([innerWidth, document.documentElement.scrollWidth, high("section").length,
    wide.length, Math.floor(Math.min(...small)), high(".photo").length]);
});
</script>
"""


class Seen(NamedTuple):
    """Width of the window and of the page, sections seen, letters outside their plot, size of the smallest in pixels,
    and photos seen.
    """

    window: int
    page: int
    sections: int
    outside: int
    letters: int
    photos: int


class Page(HTMLParser):
    """Every element with its attributes; refuses one that is not closed in its place."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for found, attributes in self.elements if found == tag]


def seen(tmp_path: Path, text: str, width: int) -> Seen:
    """What a browser makes of a page; skips where there is none.

    The page is framed: a window of Chromium's own has a least width. Its policy would forbid the probe.
    """
    probed = re.sub(r'<meta http-equiv="Content-Security-Policy".*?>', PROBE, text)
    framed = probed.replace("&", "&amp;").replace('"', "&quot;")
    frame = f'<!doctype html><iframe style="border:0;width:{width}px;height:900px" srcdoc="{framed}"></iframe>'
    found = re.findall(r"<title>\[(.*?)\]", in_browser(tmp_path, frame))[0]
    return Seen(*map(int, found.split(",")))


def in_browser(tmp_path: Path, text: str) -> str:
    """The page as a browser holds it that has nothing to complain of, such as what its policy refuses."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    (tmp_path / "page.html").write_text(text, "utf-8")
    words = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,1000"]
    done = subprocess.run([*words, f"file://{tmp_path / 'page.html'}"], capture_output=True, text=True, timeout=60)
    assert "CONSOLE" not in done.stderr
    return done.stdout


def check_self_contained(text: str) -> None:
    """Nothing is fetched from elsewhere and nothing runs."""
    found = Page(text)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in found.elements}
    for tag, attributes in found.elements:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "href", "xlink:href", "srcset", "data", "action"):
            assert attributes.get(name, "#").startswith(("#", "data:image/jpeg;base64,")), tag
    assert not re.search(r"url\(|@import|https?://", text)
    (policy,) = [meta["content"] for meta in found.all("meta") if "Policy" in meta.get("http-equiv", "")]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
