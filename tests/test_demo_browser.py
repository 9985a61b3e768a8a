# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
The demo in a real browser. Runs where Chromium (`apt-get install chromium`) and `pip install playwright` are present.
With `STYLEVAR_SCREENSHOTS=DIR` the pictures of the page stay in DIR.
"""

import json
import os
import shutil
from pathlib import Path

import PIL.Image
import pytest
from test_demo import pipe, served  # noqa: F401

from stylevar_hf.demo.pictures import MAX_FILE_MEGABYTES


sync_api = pytest.importorskip("playwright.sync_api", reason="needs `pip install playwright`")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, for example `apt-get install chromium`"),
    pytest.mark.slow,
]

WIDTHS = {"desktop": 1280, "telephone": 390}
SECONDS = 60_000  # milliseconds that the page may take to react, on a busy machine
# Remembers each picture and each line that the page shows while it paints.
REMEMBER = """() => {
    window.pictures = new Set(); window.lines = new Set();
    new MutationObserver(() => {
        const picture = document.querySelector('#live img');
        if (picture) window.pictures.add(picture.src);
        window.lines.add(document.querySelector('#status .prose')?.innerText.trim());
    }).observe(document.body, {subtree: true, childList: true, attributes: true, characterData: true});
}"""


@pytest.fixture(scope="module")
def address(pipe, tmp_path_factory):  # noqa: F811
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        with served(pipe) as address:
            yield address


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=WIDTHS)
def page(request, browser, address):
    """The page at the width of a desk and of a telephone; every request it makes is in `page.addresses`."""
    width = WIDTHS[request.param]
    context = browser.new_context(viewport={"width": width, "height": 844}, has_touch=width < 600)
    page = context.new_page()
    page.set_default_timeout(SECONDS)
    page.name, page.addresses = request.param, []
    page.on("request", lambda sent: page.addresses.append(sent.url))
    page.goto(address)
    page.wait_for_selector("#paint")
    yield page
    context.close()


def upload(page, part: str, file: str) -> None:
    page.set_input_files(f"#{part} input[type=file]", file)


def screenshot(page, name: str) -> None:
    if folder := os.environ.get("STYLEVAR_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{page.name}_{name}.png", full_page=True)


class TestPage:
    def test_from_two_pictures_to_a_download(self, page, address, image_files, tmp_path):
        screenshot(page, "start")
        # 1. Two pictures, the strength, a seed, two variants
        upload(page, "content", image_files["content"])
        upload(page, "style", image_files["style"])
        page.wait_for_selector("#content img")
        page.wait_for_selector("#style img")
        page.locator("#strength input[type=range]").focus()
        for _ in range(4):
            page.keyboard.press("ArrowRight")
        page.click("#options button")
        page.locator("#new-seed input").uncheck()
        page.fill("#seed input", "7")
        page.fill("#variants input[type=number]", "2")
        page.keyboard.press("Tab")

        # 2. The picture grows
        page.evaluate(REMEMBER)
        page.click("#paint")
        page.wait_for_selector("#compare img")
        page.wait_for_selector("#gallery img")
        lines = page.evaluate("[...window.lines]")
        assert [line for line in lines if line and line.startswith("Scale")], lines
        assert len(page.evaluate("[...window.pictures]")) >= 2
        page.wait_for_timeout(300)
        screenshot(page, "painted")

        # 3. The second variant is downloaded, with its settings
        compared = "[...document.querySelectorAll('#compare img')].map((image) => image.src).join()"
        before = page.evaluate(compared)
        page.locator("#gallery img").nth(1).click()
        page.wait_for_function(f"before => {compared} !== before", arg=before)
        with page.expect_download() as download:
            page.click("#download")
        assert download.value.suggested_filename == "stylevar_seed8_strength+0.20.png"
        download.value.save_as(tmp_path / "result.png")
        image = PIL.Image.open(tmp_path / "result.png")
        assert image.size == (30, 20)
        assert json.loads(image.text["stylevar"])["seed"] == 8

        # 4. It fits the screen, and came from this machine alone
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
        assert [url for url in page.addresses if not url.startswith((address, "data:", "blob:"))] == []

    def test_folded_controls_paint_a_part_and_the_session_remembers(self, page, image_files, tmp_path):
        upload(page, "content", image_files["content"])
        upload(page, "style", image_files["style"])
        page.wait_for_selector("#content img")
        page.wait_for_selector("#style img")
        # 1. A second style, the content's colours, and a stroke of the brush
        for part in ("colors", "more-styles", "part", "size"):
            page.click(f"#{part} button")
        upload(page, "style-2", image_files["other"])
        page.wait_for_selector("#style-2 img")
        page.locator("#keep-colors input[type=range]").focus()
        page.keyboard.press("End")
        canvas = page.locator("#brush canvas").first
        canvas.scroll_into_view_if_needed()
        page.wait_for_timeout(500)
        box = canvas.bounding_box()
        middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.move(*middle)
        page.mouse.down()
        page.mouse.move(middle[0] + 8, middle[1] + 2, steps=4)
        page.mouse.up()
        screenshot(page, "controls")

        # 2. The result says so, and the session offers all of it
        page.click("#paint")
        page.wait_for_selector("#compare img")
        page.click("#history button")
        page.wait_for_selector("#earlier img")
        with page.expect_download() as download:
            page.click("#download")
        download.value.save_as(tmp_path / "result.png")
        settings = json.loads(PIL.Image.open(tmp_path / "result.png").text["stylevar"])
        assert settings["keep_colors"] == 1 and settings["weights"] == [1, 0.5] and settings["mask_feather"] == 8
        with page.expect_download() as download:
            page.click("#download-all")
        assert download.value.suggested_filename == "stylevar.zip"

        # 3. A tap brings the settings back
        page.locator("#keep-colors input[type=range]").focus()
        page.keyboard.press("Home")
        page.locator("#earlier img").first.click()
        page.wait_for_function("document.querySelector('#keep-colors input[type=range]').value === '1'")
        screenshot(page, "history")
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]

    def test_example_fills_in_both_pictures(self, page):
        page.locator("#examples tbody tr").first.click()
        page.wait_for_selector("#content img")
        page.wait_for_selector("#style img")
        screenshot(page, "example")

    def test_bad_pictures_get_a_message_and_the_page_goes_on(self, page, tmp_path):
        text, large = tmp_path / "text.png", tmp_path / "large.png"
        text.write_text("hello")
        upload(page, "content", str(text))
        message = page.get_by_text("The content file is not a picture that can be read")
        message.first.wait_for()
        screenshot(page, "refused")
        assert message.count() == 1
        large.write_bytes(bytes(MAX_FILE_MEGABYTES * 2**20 + 1))
        upload(page, "style", str(large))
        page.get_by_text("exceed the maximum allowed size").first.wait_for()
        page.click("#paint")
        page.get_by_text("Add a content picture first").first.wait_for()
        assert "Traceback" not in page.content()
