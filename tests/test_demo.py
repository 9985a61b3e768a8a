# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
import asyncio
import json
import os
import re
import runpy
import socket
import struct
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Callable
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import gradio as gr
import httpx
import numpy as np
import PIL.Image
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from huggingface_hub import SpaceCard

from stylevar_hf import StyleVARPipeline
from stylevar_hf.cli import main
from stylevar_hf.demo import build_demo, launch_demo, request_limits
from stylevar_hf.demo import events as demo_events
from stylevar_hf.demo.controls import AS_TRAINED, NO_RANKING, ONE_WINDOW, read_brush
from stylevar_hf.demo.painting import paint
from stylevar_hf.demo.pictures import MAX_FILE_MEGABYTES, contact_sheet, fitted_size, read_picture, save_result


SPACE = Path(__file__).parents[1] / "examples" / "space"
AS_CONTENT, AS_PAINTED = demo_events.SHAPES


@contextmanager
def served(pipe: StyleVARPipeline, **launch_arguments):
    """The address of a running demo; the tests ask it more often than a visitor may."""
    demo = build_demo(pipe, "tiny")
    patch = pytest.MonkeyPatch()
    patch.setattr(request_limits, "REQUESTS", {"job": 1000, "upload": 1000})
    try:
        yield launch_demo(demo, "127.0.0.1", block=False, **launch_arguments)[1].rstrip("/")
    finally:
        demo.close()
        patch.undo()


@pytest.fixture(scope="module")
def pipe(tiny_model_dir) -> StyleVARPipeline:
    return StyleVARPipeline.from_pretrained(tiny_model_dir, device="cpu")


@pytest.fixture(scope="module")
def connections() -> list:
    """Every address that this process has connected to since the demo was started."""
    return []


@pytest.fixture(scope="module")
def server(pipe, connections, tmp_path_factory):
    connect = socket.socket.connect

    def recorded(self, address):
        connections.append(address)
        return connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        patch.setattr(socket.socket, "connect", recorded)
        with served(pipe) as address:
            yield address


@pytest.fixture(scope="module")
def client(server) -> Client:
    return Client(server, verbose=False)


# What the page sends along with the two pictures.
SETTINGS = {
    "style_strength": 0.5,
    "seed": 3,
    "new_seed": False,
    "num_images": 1,
    "shape": AS_PAINTED,
    "previews": True,
    "keep_colors": 0.0,
    "preset": AS_TRAINED,
    "weight": 1.0,
    "style_2": None,
    "weight_2": 0.5,
    "style_3": None,
    "weight_3": 0.5,
    "brush": None,
    "feather": 8,
    "painted": ONE_WINDOW,
    "candidates": 1,
    "ranking": NO_RANKING,
}


@pytest.fixture
def ask(client, image_files):
    """Submits a job with everything at its default but what is given."""

    def submit(**changes):
        arguments = {
            "content": handle_file(image_files["content"]),
            "style": handle_file(image_files["style"]),
            **SETTINGS,
        }
        return client.submit(*(arguments | changes).values(), api_name="/stylize")

    return submit


def png_of_size(width: int, height: int) -> bytes:
    """The start of a PNG that claims a size; its pixels are missing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def write_animation(path: Path) -> None:
    frames = [PIL.Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    frames[0].save(path, format="GIF", save_all=True, append_images=frames[1:])


def write_wide(path: Path) -> None:
    PIL.Image.new("RGB", (20_000, 8)).save(path, format="PNG")


def write_truncated(path: Path) -> None:
    PIL.Image.effect_noise((64, 64), 50).save(path, format="PNG")
    path.write_bytes(path.read_bytes()[:500])


def write_eps(path: Path) -> None:
    PIL.Image.new("RGB", (8, 8)).save(path, format="EPS")


# Each bad file, and a part of the sentence that answers it.
HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "file is empty"),
    "no_picture": (lambda path: path.write_text("hello"), "not a picture that can be read"),
    "svg": (
        lambda path: path.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>"),
        "not a picture that can be read",
    ),
    "eps": (write_eps, "not a picture that can be read"),
    "truncated": (write_truncated, "is damaged"),
    "animated": (write_animation, "is animated"),
    "wide": (write_wide, r"too large \(20,000 x 8 pixels\)"),
    "many_pixels": (lambda path: path.write_bytes(png_of_size(9_000, 9_000)), r"too large \(9,000 x 9,000 pixels\)"),
    "bomb": (lambda path: path.write_bytes(png_of_size(100_000, 100_000)), "too large"),
    "large_file": (
        lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(MAX_FILE_MEGABYTES * 2**20)),
        f"larger than {MAX_FILE_MEGABYTES} MB",
    ),
}


class TestReadPicture:
    @pytest.mark.parametrize("kind", HOSTILE)
    def test_hostile_file_is_refused_in_one_sentence(self, kind, tmp_path):
        write, message = HOSTILE[kind]
        path = tmp_path / "secret-name.png"
        write(path)
        with pytest.raises(ValueError, match=f"^The content .*{message}") as error:
            read_picture(str(path), "content")
        assert "secret" not in str(error.value) and "\n" not in str(error.value)

    def test_missing_picture_is_asked_for(self):
        with pytest.raises(ValueError, match="Add a style picture first"):
            read_picture(None, "style")

    def test_nothing_is_decoded_before_the_size_is_known(self, tmp_path, monkeypatch):
        write_wide(tmp_path / "wide.png")
        monkeypatch.setattr(PIL.Image.Image, "load", lambda self: pytest.fail("decoded"))
        with pytest.raises(ValueError, match="too large"):
            read_picture(str(tmp_path / "wide.png"), "content")

    def test_photograph_of_a_telephone_is_upright_rgb(self, tmp_path):
        image = PIL.Image.new("RGB", (40, 20), "green")
        exif = image.getexif()
        exif[274] = 6  # turned by a quarter
        image.save(tmp_path / "photo.jpg", exif=exif)
        read = read_picture(str(tmp_path / "photo.jpg"), "content")
        assert (read.mode, read.size) == ("RGB", (20, 40))


class TestResults:
    @pytest.mark.parametrize(("size", "expected"), [((30, 20), (60, 40)), ((1, 1000), (1, 60)), ((60, 60), (60, 60))])
    def test_fitted_size_keeps_the_proportions(self, size, expected):
        assert fitted_size(size, 60) == expected

    def test_contact_sheet_is_two_abreast(self):
        images = [PIL.Image.new("RGB", (4, 3), color) for color in ("red", "lime", "blue")]
        sheet = contact_sheet(images)
        assert sheet.size == (8, 6)
        colors = [sheet.getpixel(at) for at in ((0, 0), (4, 0), (0, 3), (4, 3))]
        assert colors == [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]

    def test_file_carries_its_settings(self, tmp_path):
        settings = {"model": "tiny", "seed": 7, "style_strength": -0.25}
        file = save_result(PIL.Image.new("RGB", (4, 4), "red"), tmp_path, settings)
        assert Path(file).name == "stylevar_seed7_strength-0.25.png"
        assert json.loads(PIL.Image.open(file).text["stylevar"]) == settings


class TestPaint:
    @pytest.fixture
    def pictures(self, image_files):
        return tuple(PIL.Image.open(image_files[name]) for name in ("content", "style"))

    def test_frames_grow_and_end_with_what_the_pipeline_makes(self, pipe, pictures):
        frames = list(paint(pipe, *pictures, output_size=(20, 30), seed=5, num_images=2))
        assert [(frame.scale, frame.side, frame.done) for frame in frames] == [
            (1, 1, False), (2, 2, False), (3, 3, False), (4, 4, True),
        ]  # fmt: skip
        expected = pipe(*pictures, seed=5, num_images=2, output_size=(20, 30), previews=True)
        for variant in range(2):
            assert np.array_equal(frames[-1].images[variant], expected.images[variant])
            for frame, preview in zip(frames[:-1], expected.previews[variant], strict=False):
                assert np.array_equal(frame.images[variant], preview)

    def test_without_previews_nothing_is_decoded_on_the_way(self, pipe, pictures):
        frames = list(paint(pipe, *pictures, previews=False, seed=0))
        assert [len(frame.images) for frame in frames] == [0, 0, 0, 1]

    def test_closing_stops_the_model(self, pipe, pictures, monkeypatch):
        codes = []
        head = type(pipe.model).generate

        def counted(self, *args, callback_on_scale_end, **kwargs):
            def callback(state):
                codes.append(state.scale_index)
                time.sleep(0.2)  # time for the reader to leave
                callback_on_scale_end(state)

            return head(self, *args, callback_on_scale_end=callback, **kwargs)

        monkeypatch.setattr(type(pipe.model), "generate", counted)
        frames = paint(pipe, *pictures, seed=0)
        next(frames)
        frames.close()
        wait_until(lambda: not [one for one in threading.enumerate() if one.name.startswith("stylevar-paint")])
        assert codes in ([0], [0, 1])

    def test_error_of_the_model_reaches_the_reader(self, pipe, pictures):
        with pytest.raises(ValueError, match="`style_strength` must be in"):
            list(paint(pipe, *pictures, style_strength=2.0))


class TestServer:
    """Over HTTP, as a browser or a client of the API would."""

    def test_job_yields_every_scale_and_the_picture_of_the_pipeline(self, ask, pipe, image_files):
        job = ask(num_images=2)
        live, compare, status, variants, download, seed = job.result(timeout=60)
        steps = [update[2] for update in job.outputs()]
        assert [step for step in steps if str(step).startswith("Scale")] == [
            "Scale 1 of 4: 1 x 1", "Scale 2 of 4: 2 x 2", "Scale 3 of 4: 3 x 3",
        ]  # fmt: skip
        options = {"seed": 3, "style_strength": 0.5, "fit": "crop"}
        expected = pipe(image_files["content"], image_files["style"], num_images=2, **options)
        files = [entry["image"] for entry in variants["value"]]
        assert [Path(file).name for file in files] == [f"stylevar_seed{k}_strength+0.50.png" for k in (3, 4)]
        for file, image in zip(files, expected, strict=True):
            assert np.array_equal(PIL.Image.open(file), image)
        settings = json.loads(PIL.Image.open(download["value"]).text["stylevar"])
        assert (settings["model"], settings["seed"], settings["style_strength"]) == ("tiny", 3, 0.5)

    def test_result_has_the_proportions_of_the_content(self, ask):
        result = ask(shape=AS_CONTENT).result(timeout=60)
        assert PIL.Image.open(result[4]["value"]).size == (30, 20)

    def test_another_seed_is_drawn_and_told(self, ask):
        seeds = []
        for _ in range(2):
            job = ask(new_seed=True)
            job.result(timeout=60)
            seeds.append(job.outputs()[0][5])
        assert len({3, *seeds}) == 3

    @pytest.mark.parametrize("kind", [kind for kind in HOSTILE if kind != "large_file"])
    def test_hostile_upload_gets_one_message_and_no_traceback(self, kind, ask, image_files, tmp_path, capfd):
        write, message = HOSTILE[kind]
        path = tmp_path / "upload.png"
        write(path)
        with pytest.raises(AppError, match=f"The style .*{message}"):
            ask(style=handle_file(str(path))).result(timeout=60)
        captured = capfd.readouterr()
        assert "Traceback" not in captured.out + captured.err

    def test_large_upload_is_cut_off(self, server):
        data = bytes(MAX_FILE_MEGABYTES * 2**20 + 1)
        response = httpx.post(f"{server}/gradio_api/upload", files={"files": ("a.png", data)}, timeout=60)
        assert response.status_code == 413

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"num_images": 5}, "1 to 4 variants|maximum|greater"),
            ({"num_images": 1.5}, "1 to 4 variants"),
            ({"style_strength": 3.0}, "between -1 and 1|maximum|greater"),
            ({"seed": -1}, "between 0 and|minimum|less"),
            ({"shape": "round"}, "must be one of|not in the list"),
            ({"content": None}, "Add a content picture first"),
        ],
    )
    def test_settings_out_of_range_are_refused(self, changes, message, ask):
        with pytest.raises((AppError, ValueError), match=message):
            ask(**changes).result(timeout=60)

    def test_files_of_the_server_are_out_of_reach(self, ask, tmp_path):
        secret = {"path": "/etc/hostname", "meta": {"_type": "gradio.FileData"}}
        with pytest.raises(AppError) as error:
            ask(content=secret).result(timeout=60)
        assert Path("/etc/hostname").read_text().strip() not in str(error.value)

    def test_addresses_are_not_fetched(self, ask):
        asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                self.send_error(404)

            def log_message(self, *args):
                pass

        other = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=other.serve_forever, daemon=True).start()
        try:
            address = {"path": f"http://127.0.0.1:{other.server_port}/a.png", "meta": {"_type": "gradio.FileData"}}
            with pytest.raises(AppError):
                ask(content=address).result(timeout=60)
        finally:
            other.shutdown()
            other.server_close()
        assert asked == []

    def test_nothing_but_this_machine_is_asked(self, client, connections):
        hosts = {address[0] for address in connections if isinstance(address, tuple)}
        assert hosts and hosts <= {"127.0.0.1", "localhost", "::1"}

    def test_page_loads_nothing_from_elsewhere(self, server):
        page = httpx.get(server).text
        assert not re.findall(r"<(?:script|link)[^>]*(?:src|href)=\"https?://(?!127\.0\.0\.1)[^\"]*\"", page)
        assert "https://fonts." not in httpx.get(f"{server}/theme.css").text


class TestControls:
    """What is folded reaches the pipeline."""

    def result(self, ask, **changes) -> PIL.Image.Image:
        return PIL.Image.open(ask(**changes).result(timeout=60)[4]["value"])

    def test_colors_and_preset(self, ask, pipe, image_files):
        found = self.result(ask, keep_colors=0.5, preset="Strokes", shape=AS_CONTENT)
        options = {"seed": 3, "style_strength": 0.5, "keep_colors": 0.5, "strength_per_scale": "strokes"}
        expected = pipe(image_files["content"], image_files["style"], fit="pad", output_size="content", **options)
        assert np.array_equal(found, expected)
        settings = json.loads(found.text["stylevar"])
        assert settings["keep_colors"] == 0.5 and settings["preset"] == "Strokes"

    def test_more_styles_are_blended(self, ask, pipe, image_files):
        found = self.result(ask, style_2=handle_file(image_files["other"]), weight=0.6, weight_2=0.2)
        blend = pipe.blend_styles([image_files["style"], image_files["other"]], [0.6, 0.2], fit="crop")
        expected = pipe(image_files["content"], blend, seed=3, style_strength=0.5, fit="crop")
        assert np.array_equal(found, expected)
        assert json.loads(found.text["stylevar"])["weights"] == [0.6, 0.2]

    def test_brush_leaves_the_rest_as_it_is(self, ask, image_files, tmp_path):
        layer = np.zeros((20, 30, 4), dtype=np.uint8)
        layer[:, :10] = 255
        PIL.Image.fromarray(layer).save(tmp_path / "layer.png")
        brush = {"background": None, "layers": [handle_file(str(tmp_path / "layer.png"))], "composite": None}
        found = np.asarray(self.result(ask, brush=brush, shape=AS_CONTENT, feather=0))
        content = np.asarray(PIL.Image.open(image_files["content"]))
        assert np.array_equal(found[:, 10:], content[:, 10:]) and not np.array_equal(found[:, :10], content[:, :10])

    def test_best_of_the_candidates_is_named_by_its_seed(self, ask):
        found = self.result(ask, candidates=3, ranking="Colours of the style")
        settings = json.loads(found.text["stylevar"])
        assert settings["seed"] in (3, 4, 5) and settings["candidates"] == 3

    @pytest.mark.parametrize(
        "changes, message",
        [
            ({"keep_colors": 2.0}, "between 0 and 1|maximum|greater"),
            ({"preset": "Swirls"}, "must be one of|not in the list"),
            ({"candidates": 2}, "Say what tells the best"),
            ({"weight": -1.0}, "must not be negative|minimum|less"),
        ],
    )
    def test_settings_out_of_range_are_refused(self, ask, changes, message):
        with pytest.raises((AppError, ValueError), match=message):
            self.result(ask, **changes)

    def test_painted_sizes_are_those_above_the_models(self, pipe):
        from stylevar_hf.demo.controls import sizes_for

        assert list(sizes_for(pipe).values()) == [None, 256, 384, 512, 768, 1024]

    @pytest.mark.parametrize("data", [b"", b"no picture", png_of_size(9_000, 9_000)])
    def test_hostile_brush(self, data):
        with pytest.raises(ValueError, match="cannot be read|too large"):
            read_brush(data)

    def test_session_is_remembered_with_its_settings_and_packed(self, image_files):
        settings = {"seed": 3, "keep_colors": 0.5}
        history, gallery, archive = next(demo_events.remember([(image_files["style"], "1")], [], settings))
        steps = demo_events.remember([(image_files["other"], "1")], history, {"seed": 4})
        history, gallery, archive = next(steps)
        with zipfile.ZipFile(archive["value"]) as pack:
            assert pack.namelist() == ["01_style.png", "02_other.png"]
        assert [label for _, label in gallery["value"]] == ["1", "2"]

        class Event:
            index = 0

        assert demo_events.return_to(history, Event()) == settings


class TestLimits:
    def test_full_queue_turns_the_next_one_away(self, pipe, image_files, monkeypatch, tmp_path):
        monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
        release = threading.Event()

        def waits(*args, **kwargs):
            release.wait(60)
            return iter(())

        monkeypatch.setattr("stylevar_hf.demo.page.stylize", waits)
        monkeypatch.setattr("stylevar_hf.demo.page.MAX_WAITING", 2)
        with served(pipe) as address:
            client = Client(address, verbose=False)
            arguments = [None, None, *SETTINGS.values()]
            jobs = [client.submit(*arguments, api_name="/stylize")]
            wait_until(lambda: jobs[0].status().code.name == "PROCESSING")
            jobs += [client.submit(*arguments, api_name="/stylize") for _ in range(2)]
            wait_until(lambda: all(job.status().code.name == "IN_QUEUE" for job in jobs[1:]))
            try:
                with pytest.raises(Exception, match="(?i)queue is full"):
                    client.submit(*arguments, api_name="/stylize").result(timeout=30)
            finally:
                release.set()

    def test_one_job_at_a_time_and_old_files_are_deleted(self, pipe):
        demo = build_demo(pipe, "tiny")
        job = next(function for function in demo.fns.values() if function.api_name == "stylize")
        assert job.concurrency_limit == 1
        assert demo.delete_cache == (600, 1800)


class TestRequestLimits:
    @staticmethod
    def ask(limits, path: str, visitor: str = "1.2.3.4", headers=(), method: str = "POST") -> list[dict]:
        """What is sent in answer; nothing if the request went through."""
        sent = []

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": method, "path": path, "client": (visitor, 1), "headers": list(headers)}
        asyncio.run(limits(scope, None, send))
        return sent

    @pytest.fixture
    def limits(self, monkeypatch):
        async def app(scope, receive, send):
            pass

        monkeypatch.setattr(request_limits, "REQUESTS", {"job": 2, "upload": 1})
        self.now = 0.0
        return request_limits.RequestLimits(app, clock=lambda: self.now)

    @pytest.mark.parametrize("path", ["/gradio_api/queue/join", "/gradio_api/call/stylize", "/run/stylize/"])
    def test_one_visitor_may_not_ask_too_often_and_others_still_may(self, path, limits):
        assert [self.ask(limits, path) for _ in range(2)] == [[], []]
        refusal = self.ask(limits, path)
        assert refusal[0]["status"] == 429 and b"Too many requests" in refusal[1]["body"]
        assert self.ask(limits, path, visitor="5.6.7.8") == []
        assert self.ask(limits, "/gradio_api/upload") == []
        assert self.ask(limits, "/gradio_api/upload") != []
        self.now = 61.0
        assert self.ask(limits, path) == []
        assert len(limits._asked) == 1, "visitors who left are remembered"

    @pytest.mark.parametrize(
        ("path", "headers", "status"),
        [
            ("/gradio_api/upload", {"content-length": "11534336"}, None),
            ("/gradio_api/upload", {"content-length": "11534337"}, 413),
            ("/gradio_api/queue/join", {"content-length": "1048577"}, 413),
            ("/gradio_api/component_server", {"content-length": "1048577"}, 413),
            ("/gradio_api/upload", {"transfer-encoding": "chunked"}, 411),
            ("/gradio_api/upload", {"content-length": "much"}, 411),
        ],
    )
    def test_nobody_may_send_more_than_a_picture(self, path, headers, status, limits):
        headers = [(name.encode(), value.encode()) for name, value in headers.items()]
        sent = self.ask(limits, path, headers=headers)
        assert [message["status"] for message in sent[:1]] == ([] if status is None else [status])

    def test_reading_is_free(self, limits):
        assert [self.ask(limits, "/gradio_api/queue/join", method="GET") for _ in range(5)] == [[]] * 5

    def test_visitors_of_a_space_are_told_apart_behind_its_proxy(self, limits, monkeypatch):
        monkeypatch.setenv("SPACE_ID", "someone/stylevar")
        one, two = ([(b"x-forwarded-for", f"{address}, 10.0.0.1".encode())] for address in ("7.7.7.7", "8.8.8.8"))
        assert [self.ask(limits, "/queue/join", headers=one) for _ in range(2)] == [[], []]
        assert self.ask(limits, "/queue/join", headers=one) != []
        assert self.ask(limits, "/queue/join", headers=two) == []

    def test_forged_addresses_do_not_make_another_visitor(self, limits, monkeypatch):
        """Each proxy adds an address at the end; what stands before was sent by the visitor."""
        monkeypatch.setenv("SPACE_ID", "someone/stylevar")
        forged = [
            [(b"x-forwarded-for", f"{address}, 7.7.7.7, 10.0.0.1".encode())] for address in ("1.1.1.1", "2.2.2.2", "x")
        ]
        forged.append([(b"x-forwarded-for", b"3.3.3.3"), (b"x-forwarded-for", b"7.7.7.7, 10.0.0.2")])
        answers = [self.ask(limits, "/queue/join", headers=headers) for headers in forged]
        assert [bool(answer) for answer in answers] == [False, False, True, True]
        monkeypatch.delenv("SPACE_ID")  # elsewhere the server itself knows which proxies to believe
        answers = [self.ask(limits, "/queue/join", headers=headers) for headers in forged]
        assert [bool(answer) for answer in answers] == [False, False, True, True]

    def test_space_without_the_header_counts_connections(self, limits, monkeypatch):
        monkeypatch.setenv("SPACE_ID", "someone/stylevar")
        private = [(b"x-forwarded-for", b"10.0.0.9")]
        assert [bool(self.ask(limits, "/queue/join", headers=headers)) for headers in ([], private, [])] == [0, 0, 1]

    def test_served_demo_has_them(self, server, monkeypatch):
        monkeypatch.setattr(request_limits, "REQUESTS", {"job": 1000, "upload": 0})
        assert httpx.post(f"{server}/gradio_api/upload", files={"files": ("a.png", b"a")}).status_code == 429


def wait_until(holds: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


class TestEvents:
    def test_good_upload_stays_and_a_bad_one_goes(self, image_files, tmp_path, monkeypatch):
        warnings = []
        monkeypatch.setattr(gr, "Warning", lambda message, **_: warnings.append(message))
        (tmp_path / "bad.png").write_text("hello")
        assert demo_events.check_upload(image_files["style"], "style") == gr.skip()
        assert not warnings
        assert demo_events.check_upload(str(tmp_path / "bad.png"), "style") is None
        assert len(warnings) == 1 and "not a picture" in warnings[0]

    def test_chosen_variant_is_compared_and_offered(self, image_files):
        class Event:
            index = 1

        variants = [(image_files["other"], "1"), (image_files["style"], "2")]
        (content, result), button = demo_events.pick(variants, image_files["content"], Event())
        assert content.size == result.size == (640, 640)
        assert button["value"] == image_files["style"]

    def test_chosen_variant_is_read_like_an_upload(self, image_files, monkeypatch):
        class Event:
            index = 0

        monkeypatch.setattr("stylevar_hf.demo.pictures.MAX_PIXELS", 24 * 24)  # the style's; the content has more
        with pytest.raises(gr.Error, match="The chosen picture is too large"):
            demo_events.pick([(image_files["content"], "1")], image_files["style"], Event())


class TestCommand:
    @pytest.fixture
    def fails(self, capsys):
        def run(*arguments: str) -> str:
            assert main(["demo", *arguments]) == 2
            error = capsys.readouterr().err
            assert error.startswith("stylevar: error: ") and error.count("\n") == 1
            return error

        return run

    def test_missing_model(self, fails, tmp_path):
        assert str(tmp_path / "nothing") in fails("--model", str(tmp_path / "nothing"))

    def test_port_in_use(self, fails, tiny_model_dir):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            assert port in fails("--model", tiny_model_dir, "--device", "cpu", "--port", port)

    def test_missing_gradio_says_what_to_install(self):
        code = "import sys\nsys.modules['gradio'] = None\nfrom stylevar_hf.cli import main\nsys.exit(main(['demo']))"
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert result.returncode == 2
        assert "pip install stylevar-hf[demo]" in result.stderr and result.stderr.count("\n") == 1

    def test_serves_and_says_where(self, tiny_model_dir, monkeypatch, capsys):
        monkeypatch.setattr(gr.Blocks, "block_thread", lambda self: self.close())
        assert main(["demo", "--model", tiny_model_dir, "--device", "cpu"]) == 0
        assert re.search(r"http://127\.0\.0\.1:\d+", capsys.readouterr().out)


class TestSpace:
    def test_front_matter_is_complete(self):
        card = SpaceCard.load(SPACE / "README.md").data.to_dict()
        assert (card["sdk"], card["app_file"], card["license"]) == ("gradio", "app.py", "apache-2.0")
        assert card["sdk_version"].split(".")[0] == gr.__version__.split(".")[0]
        assert (SPACE / card["app_file"]).is_file()
        assert len(card["short_description"]) <= 60  # the Hub refuses longer ones

    def test_requirements_are_the_extra_of_the_demo(self):
        assert (SPACE / "requirements.txt").read_text().split() == ["stylevar-hf[demo]"]

    def test_app_makes_the_page_of_the_model_that_is_named(self, tiny_model_dir, monkeypatch):
        monkeypatch.setenv("STYLEVAR_MODEL", tiny_model_dir)
        demo = runpy.run_path(str(SPACE / "app.py"))["demo"]
        headings = [block.value for block in demo.blocks.values() if block.elem_id == "heading"]
        assert os.path.basename(tiny_model_dir) in headings[0]
