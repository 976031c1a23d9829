"""A page as a browser has it: headless Chromium opens the file, and tells its DOM, its console and its requests."""

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Names lead nowhere: neither the page nor the browser itself reaches another machine.
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-extensions",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip
TIME_LIMIT_S = 120
SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True)
class Opened:
    """A page in the browser."""

    body: ET.Element
    # What the console says: errors, and what the page's policy has blocked.
    console: list[str]
    # Addresses that the page asked for, beside its own file.
    requests: list[str]

    def numbers(self) -> dict[str, str]:
        """Return the numbers at the top, by name."""
        return {one.attrib["data-number"]: text(one) for one in self.body.iter() if "data-number" in one.attrib}

    def section(self, name: str) -> ET.Element:
        """Return a section."""
        (found,) = [one for one in self.body.iter("section") if one.attrib["id"] == name]
        return found

    def table(self, name: str) -> list[list[str]]:
        """Return the cells of a section's table, without its head."""
        return [[text(cell) for cell in row] for row in self.section(name).findall(".//tbody/tr")]

    def marks(self, name: str) -> list[str]:
        """Return what the marks of a section's chart say when the mouse is over them; each is drawn."""
        paths = [one for one in self.section(name).iter(f"{SVG}path") if one.find(f"{SVG}title") is not None]
        assert all(one.attrib["d"] for one in paths)
        return [text(one) for one in paths]

    def labels(self, name: str) -> list[str]:
        """Return the texts in a section's chart."""
        return [text(one) for one in self.section(name).iter(f"{SVG}text")]


def text(element: ET.Element) -> str:
    """Return the text of an element and of those in it."""
    return "".join(element.itertext())


def open_in_browser(file: Path, folder: Path) -> None:
    """Open a file and leave in a folder what the browser tells of it; skips the test where there is no browser."""
    browser = next((path for name in NAMES if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"There is no browser to open the report in: none of {', '.join(NAMES)} is installed.")
    told = [f"--user-data-dir={folder / 'profile'}", f"--log-net-log={folder / 'requests.json'}", "--dump-dom"]
    with (folder / "dom.html").open("wb") as dom, (folder / "console").open("wb") as console:
        command = [browser, *QUIET, *told, "--enable-logging=stderr", file.resolve().as_uri()]
        subprocess.run(command, stdout=dom, stderr=console, check=True, timeout=TIME_LIMIT_S)


def read_opened(folder: Path) -> Opened:
    """Return the page that the browser has left in a folder."""
    dom = (folder / "dom.html").read_text()
    body = dom[dom.index("<body>") : dom.index("</body>")].replace("&nbsp;", " ") + "</body>"
    events = [event.get("params", {}) for event in json.loads((folder / "requests.json").read_text())["events"]]
    return Opened(
        ET.fromstring(body),  # noqa: S314  written by the browser
        re.findall(r":CONSOLE:\d+\] (.*)", (folder / "console").read_text()),
        # What the browser does for itself has no origin.
        [one["url"] for one in events if one.get("initiator", "not an origin") != "not an origin"],
    )
