# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
import base64
import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx2 as httpx
import openai
import PIL.Image
import pytest
import uvicorn

from stylevar_hf import StyleVARPipeline
from stylevar_hf.cli import main
from stylevar_hf.server import ServerSettings, build_app
from stylevar_hf.server.batching import BadArguments, Batcher, Job, QueueFull


KEY = "secret-key"


@pytest.fixture(scope="module")
def pipe(tiny_model_dir) -> StyleVARPipeline:
    return StyleVARPipeline.from_pretrained(tiny_model_dir, device="cpu")


@contextmanager
def served(pipe: StyleVARPipeline, **settings):
    """The address of a running server."""
    app = build_app(pipe, ServerSettings(model_name="tiny", **settings))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def address(pipe):
    with served(pipe, api_key=KEY, max_batch_size=4, max_images=4, max_body_megabytes=1, body_timeout=1) as address:
        yield address


@pytest.fixture
def client(address) -> openai.OpenAI:
    with openai.OpenAI(base_url=f"{address}/v1", api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture
def pair(image_files) -> list[Path]:
    return [Path(image_files["content"]), Path(image_files["style"])]


@pytest.fixture
def post(address, pair):
    """Posts a form as any program would; `files` and `fields` replace the two pictures and add to the fields."""

    def send(files=None, **fields) -> httpx.Response:
        if files is None:
            files = [("image[]", path.read_bytes()) for path in pair]
        headers = {"Authorization": f"Bearer {KEY}"}
        return httpx.post(f"{address}/v1/images/edits", headers=headers, files=files, data=fields, timeout=30)

    return send


def decoded(image) -> PIL.Image.Image:
    return PIL.Image.open(io.BytesIO(base64.b64decode(image.b64_json)))


def same(image: PIL.Image.Image, expected: PIL.Image.Image) -> bool:
    return image.size == expected.size and image.convert("RGB").tobytes() == expected.tobytes()


class TestOpenAIClient:
    def test_pictures_are_those_of_the_pipeline(self, client, pair, pipe):
        answer = client.images.edit(
            image=pair, prompt="", model="tiny", n=2, extra_body={"seed": 3, "style_strength": 0.5}
        )
        expected = pipe(*pair, seed=3, style_strength=0.5, num_images=2, output_size="content")
        assert [image.seed for image in answer.data] == [3, 4]
        assert all(same(decoded(image), one) for image, one in zip(answer.data, expected, strict=True))
        assert (answer.size, answer.usage.output_tokens) == ("30x20", 60)

    def test_stream_shows_partial_pictures_and_then_the_result(self, client, pair, pipe):
        events = list(
            client.images.edit(
                image=pair, prompt="", stream=True, partial_images=2, size="model", extra_body={"seed": 0}
            )
        )
        assert [event.type for event in events] == ["image_edit.partial_image"] * 2 + ["image_edit.completed"]
        expected = pipe(*pair, seed=0, previews=True)
        previews = [expected.previews[0], expected.previews[1]]  # of four scales, the last of which is the result
        assert all(same(decoded(event), one) for event, one in zip(events, [*previews, expected.images], strict=True))
        assert [event.partial_image_index for event in events[:2]] == [0, 1]

    def test_url_is_served_to_whoever_has_it(self, client, pair, pipe):
        answer = client.images.edit(
            image=pair, prompt="", response_format="url", output_format="webp", size="40x24", extra_body={"seed": 1}
        )
        response = httpx.get(answer.data[0].url)
        assert response.headers["content-type"] == "image/webp"
        assert PIL.Image.open(io.BytesIO(response.content)).size == (40, 24)
        assert httpx.get(answer.data[0].url[:-6] + "x.webp").status_code == 404

    def test_models(self, client):
        assert [model.id for model in client.models.list()] == ["tiny"]
        assert client.models.retrieve("tiny").owned_by == "stylevar-hf"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("other")

    def test_errors_are_those_of_the_client(self, client, address, pair):
        with pytest.raises(openai.BadRequestError, match="`style_strength` must be a number from -1 to 1") as error:
            client.images.edit(image=pair, prompt="", extra_body={"style_strength": 2})
        assert error.value.param == "style_strength"
        with pytest.raises(openai.NotFoundError, match="`model` must be 'tiny'"):
            client.images.edit(image=pair, prompt="", model="gpt-image-1")
        with pytest.raises(openai.AuthenticationError):
            openai.OpenAI(base_url=f"{address}/v1", api_key=KEY + "x", max_retries=0).models.list()


class TestForm:
    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"style_strenght": "1"}, "`style_strenght` is not a field"),
            ({"n": "5"}, "`n` must be a whole number from 1 to 4"),
            ({"n": "2", "stream": "true"}, "`n` must be 1 in a stream"),
            ({"partial_images": "2"}, "`partial_images` must be 0 without `stream`"),
            ({"size": "1024"}, "`size` must be auto, model or WIDTHxHEIGHT"),
            ({"size": "0x16"}, "`size` must be auto, model or WIDTHxHEIGHT"),
            ({"size": "9999x16"}, "`size` must be at most 2048"),
            ({"seed": "-1"}, "`seed` must be a whole number from 0"),
            ({"seed": "9" * 5000}, "`seed` must be a whole number from 0"),
            ({"seed": ["1", "2"]}, "`seed` must be given once"),
            ({"temperature": "nan"}, "`temperature` must be a number"),
            ({"temperature": "0"}, "`temperature` must be positive"),  # by the pipeline
            ({"top_p": "1.5"}, "`top_p` must be in"),
            ({"paint_size": "9999"}, "`paint_size` must be a whole number from 1 to 1024"),
            ({"paint_size": "8"}, "`paint_size` must be"),  # by the pipeline
            ({"rank_by": "os:system", "num_candidates": "2"}, "`rank_by` must be one of texture-statistics"),
            ({"rank_by": "texture-statistics"}, "`num_candidates` must be 2 or more"),
            ({"num_candidates": "2", "n": "2"}, "`n` must be 1 with `num_candidates`"),
            (
                {"stream": "true", "partial_images": "1", "paint_size": "20"},
                "`partial_images` must be 0 with `paint_size`",
            ),
            ({"strength_per_scale": "1,x"}, "`strength_per_scale` must be numbers with commas"),
            ({"blend": "1,2"}, r"`blend` must hold one weight per style \(1\), but got 2"),
            ({"response_format": "hex"}, "`response_format` must be one of b64_json, url"),
        ],
    )
    def test_field_that_does_not_fit_is_named(self, fields, message, post):
        response = post(**fields)
        assert response.status_code == 400
        assert re.search(message, response.json()["error"]["message"])

    def test_style_may_have_a_name_of_its_own(self, post, pair):
        files = {"image": pair[0].read_bytes(), "style": pair[1].read_bytes()}
        assert post(files, seed="1").json()["data"] == post(seed="1").json()["data"]

    @pytest.mark.parametrize(
        ("files", "message"),
        [
            ({"image": b""}, "must hold the content and a style"),
            ({"style": b"x"}, "must hold the content and a style"),
            ({"image": b"x", "style": b"x"}, "content file is not a picture"),
            ({"image": b"x", "evil": b"x"}, "`evil` is not a file"),
            ([("image[]", b"x"), ("style", b"x"), ("mask", b"x"), ("mask", b"x")], "`mask` must be one picture"),
            ([("image[]", b"x")] * 100, "Too many files"),
        ],
    )
    def test_wrong_files_are_refused(self, files, message, post):
        response = post(files)
        assert response.status_code == 400
        assert message in response.json()["error"]["message"]


class TestControls:
    def test_are_those_of_the_pipeline(self, post, pair, pipe, image_files):
        content, style = (path.read_bytes() for path in pair)
        mask = io.BytesIO()
        half = PIL.Image.new("L", (30, 20))
        half.paste(255, (0, 0, 15, 20))
        half.save(mask, format="PNG")
        fields = {
            "seed": "1",
            "keep_colors": "0.5",
            "fit": "pad",
            "strength_per_scale": "0,0,0.5,1",
            "mask_feather": "2",
        }
        files = [("image", content), ("style", style), ("mask", mask.getvalue()), ("strength_map", style)]
        got = post(files, **fields).json()["data"][0]
        expected = pipe(
            *pair,
            seed=1,
            keep_colors=0.5,
            fit="pad",
            strength_per_scale=[0, 0, 0.5, 1],
            mask=half,
            mask_feather=2,
            strength_map=PIL.Image.open(pair[1]).convert("L"),
            output_size="content",
        )
        assert same(PIL.Image.open(io.BytesIO(base64.b64decode(got["b64_json"]))), expected)

    def test_mask_of_openai_is_transparent_where_it_counts(self, client, pair, pipe):
        mask = PIL.Image.new("RGBA", (30, 20), "white")
        mask.paste((0, 0, 0, 0), (0, 0, 15, 20))
        buffer = io.BytesIO()
        mask.save(buffer, format="PNG")
        answer = client.images.edit(image=pair, mask=buffer.getvalue(), prompt="", extra_body={"seed": 1})
        content = PIL.Image.open(pair[0]).convert("RGB")
        result = decoded(answer.data[0]).convert("RGB")
        right = (16, 0, 30, 20)
        assert result.crop(right).tobytes() == content.crop(right).tobytes()
        assert result.crop((0, 0, 14, 20)).tobytes() != content.crop((0, 0, 14, 20)).tobytes()

    def test_several_styles_are_blended(self, post, pair, pipe, image_files):
        other = Path(image_files["other"])
        files = [("image[]", path.read_bytes()) for path in (*pair, other)]
        got = post(files, seed="1", blend="0.7,0.3").json()["data"][0]
        both = pipe.blend_styles([pair[1], other], weights=[0.7, 0.3])
        expected = pipe(pair[0], both, seed=1, output_size="content")
        assert same(PIL.Image.open(io.BytesIO(base64.b64decode(got["b64_json"]))), expected)

    def test_best_of_several_and_canvas(self, post, pair, pipe):
        fields = {"seed": 1, "num_candidates": 3, "rank_by": "color-statistics", "paint_size": 24}
        got = post(None, **{name: str(value) for name, value in fields.items()}).json()["data"][0]
        expected = pipe(*pair, **fields, output_size="content")
        assert same(PIL.Image.open(io.BytesIO(base64.b64decode(got["b64_json"]))), expected)
        assert got["seed"] == 1 + expected.info["candidate"]


class TestHostileRequests:
    def ask(self, address: str, text: bytes) -> bytes:
        """Status and body of the answer to raw bytes: the whole body, which may come later than the head."""
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(text)
            response = http.client.HTTPResponse(connection)
            response.begin()
            return f"HTTP/1.1 {response.status}\r\n".encode() + response.read()

    def head(self, *lines: str) -> bytes:
        start = ["POST /v1/images/edits HTTP/1.1", "Host: x", f"Authorization: Bearer {KEY}"]
        return "\r\n".join([*start, *lines, "", ""]).encode()

    def test_large_body_is_refused_by_its_length(self, address):
        answer = self.ask(address, self.head("Content-Length: 99999999"))
        assert answer.startswith(b"HTTP/1.1 413") and b"at most 1 MB" in answer

    def test_large_body_without_a_length_is_counted(self, address):
        def chunks():
            yield b'--b\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\n'
            for _ in range(40):
                yield bytes(64 * 1024)

        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "multipart/form-data; boundary=b"}
        response = httpx.post(f"{address}/v1/images/edits", headers=headers, content=chunks())
        assert response.status_code == 413

    def test_slow_body_is_given_up(self, address):
        answer = self.ask(address, self.head("Content-Length: 100", "Content-Type: multipart/form-data; boundary=b"))
        assert answer.startswith(b"HTTP/1.1 408")

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            ("application/json", b"{}"),
            ("multipart/form-data", b"no boundary"),
            ("multipart/form-data; boundary=b", b"--b\r\n\r\n\r\n--b--\r\n"),
            ("multipart/form-data; boundary=b", b"\x00" * 1000),
            ("multipart/form-data; boundary=b", b""),
        ],
    )
    def test_body_that_is_no_form_is_refused(self, content_type, body, address):
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": content_type}
        response = httpx.post(f"{address}/v1/images/edits", headers=headers, content=body)
        assert response.status_code == 400
        assert response.json()["error"]["type"] == "invalid_request_error"

    def test_stranger_is_refused_whatever_the_body(self, address):
        response = httpx.post(f"{address}/v1/images/edits", content=bytes(500_000))
        assert response.status_code == 401
        assert httpx.get(f"{address}/metrics").status_code == 401
        assert httpx.get(f"{address}/health").json() == {"status": "ok", "waiting": 0}

    def test_bomb_is_refused(self, post, pair):
        buffer = io.BytesIO()
        PIL.Image.new("1", (9000, 9000)).save(buffer, format="PNG")
        response = post({"image": buffer.getvalue(), "style": pair[1].read_bytes()})
        assert response.status_code == 400
        assert "too large (9,000 x 9,000 pixels)" in response.json()["error"]["message"]


class TestMetrics:
    def test_counts_what_happened(self, pipe, pair):
        with served(pipe) as address:
            files = [("image[]", path.read_bytes()) for path in pair]
            httpx.post(f"{address}/v1/images/edits", files=files, data={"n": "3"})
            httpx.post(f"{address}/v1/images/edits", files=files, data={"n": "x"})
            lines = httpx.get(f"{address}/metrics").text.splitlines()
        expected = {
            'stylevar_answers_total{status="200"} 1.0',
            'stylevar_answers_total{status="400"} 1.0',
            "stylevar_images_total 3.0",
            "stylevar_batch_size_sum 3.0",
            "stylevar_request_seconds_count 1.0",
            "stylevar_waiting_images 0.0",
        }
        assert expected <= set(lines)


class _Blocked:
    """A pipeline that waits for a sign before each batch, and keeps what it was asked."""

    def __init__(self, pipe: StyleVARPipeline):
        self.pipe = pipe
        self.calls: list[dict] = []
        self.go = threading.Semaphore(0)
        self.entered = threading.Semaphore(0)

    def __getattr__(self, name: str):
        return getattr(self.pipe, name)

    def __call__(self, contents, styles, **arguments):
        self.calls.append(arguments)
        self.entered.release()
        self.go.acquire(timeout=10)
        return self.pipe(contents, styles, **arguments)


@pytest.fixture
def blocked(pipe) -> _Blocked:
    return _Blocked(pipe)


@pytest.fixture
def batcher(blocked):
    batcher = Batcher(blocked, max_batch_size=4, max_delay=0.0, max_waiting=6, max_waiting_pixels=10**6)
    yield batcher
    blocked.go.release(100)
    batcher.close()


@pytest.fixture
def make_job(image_files):
    content, style = (PIL.Image.open(image_files[name]) for name in ("content", "style"))

    def make(*seeds: int, **changes) -> Job:
        return Job(content, (style,), seeds, **changes)

    return make


class TestBatcher:
    def test_waiting_jobs_are_painted_together_and_as_if_alone(self, batcher, blocked, make_job, pipe):
        jobs = [make_job(0), make_job(1), make_job(2, style_strength=0.5), make_job(3, 4)]
        futures = [batcher.submit(jobs[0])]
        blocked.entered.acquire(timeout=10)
        futures += [batcher.submit(job) for job in jobs[1:]]
        blocked.go.release(2)
        images = [image for future in futures for image in future.result(timeout=10)]
        assert [call["seed"] for call in blocked.calls] == [[0], [1, 2, 3, 4]]
        strengths = [0, 0, 0.5, 0, 0]
        alone = [
            pipe(jobs[0].content, jobs[0].styles[0], seed=seed, style_strength=strengths[seed], output_size="content")
            for seed in range(5)
        ]
        assert all(same(image, one) for image, one in zip(images, alone, strict=True))

    def test_other_options_wait_for_the_next_batch(self, batcher, blocked, make_job):
        batcher.submit(make_job(0))
        blocked.entered.acquire(timeout=10)
        jobs = [make_job(1), make_job(2, options={"top_k": 1}), make_job(3)]
        futures = [batcher.submit(job) for job in jobs]
        blocked.go.release(3)
        assert all(future.result(timeout=10) for future in futures)
        assert [call["seed"] for call in blocked.calls] == [[0], [1, 3], [2]]
        assert blocked.calls[2]["top_k"] == 1

    def test_full_queue_refuses_and_says_when_to_come_back(self, batcher, blocked, make_job):
        batcher.submit(make_job(0))
        blocked.entered.acquire(timeout=10)
        batcher.submit(make_job(1, 2, 3))
        with pytest.raises(QueueFull) as error:
            batcher.submit(make_job(4, 5, 6, 7))
        assert error.value.retry_after >= 1
        batcher.submit(make_job(4, 5, 6))
        assert batcher.waiting == 6

    def test_abandoned_job_frees_its_place_and_stops(self, batcher, blocked, make_job):
        running, waiting = make_job(0), make_job(1, 2)
        future = batcher.submit(running)
        blocked.entered.acquire(timeout=10)
        batcher.submit(waiting)
        batcher.abandon(waiting)
        assert batcher.waiting == 0 and waiting.future.cancelled()
        batcher.abandon(running)
        blocked.go.release(1)
        assert type(future.exception(timeout=10)).__name__ == "_Abandoned"

    def test_costly_job_takes_more_places_and_is_painted_alone(self, batcher, blocked, make_job):
        batcher.submit(make_job(0))
        blocked.entered.acquire(timeout=10)
        batcher.submit(make_job(1))
        costly = batcher.submit(make_job(2, cost=5))
        assert batcher.waiting == 6
        with pytest.raises(QueueFull):
            batcher.submit(make_job(3))
        blocked.go.release(3)
        assert len(costly.result(timeout=10)) == 1
        assert [call["seed"] for call in blocked.calls] == [[0], [1], [2]]

    def test_error_of_one_is_not_that_of_all(self, batcher, blocked, make_job):
        batcher.submit(make_job(0))
        blocked.entered.acquire(timeout=10)
        good, bad = batcher.submit(make_job(1)), batcher.submit(make_job(2, style_strength=7.0))
        blocked.go.release(10)
        assert len(good.result(timeout=10)) == 1
        with pytest.raises(BadArguments, match="`style_strength` must be in"):
            bad.result(timeout=10)

    def test_close_paints_what_waits_and_takes_no_more(self, blocked, make_job):
        batcher = Batcher(blocked, max_batch_size=1, max_delay=0.0, max_waiting=6, max_waiting_pixels=10**6)
        futures = [batcher.submit(make_job(seed)) for seed in range(3)]
        blocked.go.release(3)
        batcher.close()
        assert all(len(future.result(timeout=0)) == 1 for future in futures)
        with pytest.raises(QueueFull):
            batcher.submit(make_job(3))


class TestOverload:
    def test_every_request_is_answered(self, pipe, pair):
        """More clients at once than there are places: all get a picture or 429, and with retries all get a picture."""
        files = [("image[]", path.read_bytes()) for path in pair]
        with served(pipe, max_waiting=4, max_images=1, max_batch_size=2) as address, httpx.Client() as client:

            def ask(seed: int) -> httpx.Response:
                return client.post(f"{address}/v1/images/edits", files=files, data={"seed": str(seed)}, timeout=30)

            with ThreadPoolExecutor(40) as pool:
                responses = list(pool.map(ask, range(40)))
        statuses = {response.status_code for response in responses}
        assert statuses == {200, 429}
        refused = [response for response in responses if response.status_code == 429]
        assert all(1 <= int(response.headers["retry-after"]) <= 60 for response in refused)


class TestServeCommand:
    def test_painted_and_answered_before_it_ends(self, tiny_model_dir, pair, tmp_path):
        """On SIGTERM, what was accepted is answered, and nothing new is taken."""
        command = [sys.executable, "-m", "stylevar_hf.cli", "serve", "--model", tiny_model_dir, "--port", "0"]
        environment = {**os.environ, "STYLEVAR_API_KEY": KEY}
        options = ["--device", "cpu", "--max-batch-size", "1"]
        with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, env=environment, text=True) as process:
            address = process.stdout.readline().strip()
            files = [("image[]", path.read_bytes()) for path in pair]

            def ask(seed: int) -> int:
                headers = {"Authorization": f"Bearer {KEY}"}
                fields = {"seed": str(seed), "n": "10"}
                url = f"{address}/v1/images/edits"
                return httpx.post(url, headers=headers, files=files, data=fields, timeout=60).status_code

            with ThreadPoolExecutor(4) as pool:
                answers = [pool.submit(ask, seed) for seed in range(4)]
                while httpx.get(f"{address}/health").json()["waiting"] < 20:
                    pass
                process.send_signal(signal.SIGTERM)
                assert [answer.result() for answer in answers] == [200] * 4
            assert process.wait(timeout=30) == -signal.SIGTERM  # as whoever sent it expects

    def test_taken_port(self, tiny_model_dir, capsys):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            assert main(["serve", "--model", tiny_model_dir, "--device", "cpu", "--port", str(port)]) == 2
        assert f"--port must be free, but got {port}" in capsys.readouterr().err

    def test_empty_key_file(self, tiny_model_dir, tmp_path, capsys):
        (tmp_path / "key").write_text("\n")
        assert main(["serve", "--model", tiny_model_dir, "--api-key-file", str(tmp_path / "key")]) == 2
        assert "--api-key-file must be a word" in capsys.readouterr().err


class TestSettings:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"max_batch_size": 0}, "`max_batch_size` must be positive"),
            ({"max_delay": -1}, "`max_delay` must be 0 or more"),
            ({"max_waiting": 5}, "`max_images` must be at most `max_waiting`"),
        ],
    )
    def test_bad_value_is_refused(self, changes, message):
        with pytest.raises(ValueError, match=message):
            ServerSettings(**changes)

    def test_key_is_not_shown(self):
        assert KEY not in repr(ServerSettings(api_key=KEY))


def test_openapi_lists_the_form(address):
    schema = httpx.get(f"{address}/openapi.json", headers={"Authorization": f"Bearer {KEY}"}).json()
    body = schema["paths"]["/v1/images/edits"]["post"]["requestBody"]
    assert "style_strength" in json.dumps(body)
