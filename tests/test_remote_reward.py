# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Rewards behind HTTP, on this machine."""

import json
import math
import runpy
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2 as httpx
import pytest
import torch
import uvicorn
from test_grpo_trainer import logged, make_grpo_trainer

from stylevar_hf.rewards import ColorStatisticsReward, RemoteReward, get_reward, remote


SERVER = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "reward_server.py"))


def make_images(count: int, seed: int = 0) -> list[torch.Tensor]:
    """Random pictures of 8 bits, which PNG keeps."""
    generator = torch.Generator().manual_seed(seed)
    return list(torch.randint(256, (count, 3, 8, 10), generator=generator).float() / 255)


@contextmanager
def served(reward, key=None):
    """The address of the example's server."""
    server = uvicorn.Server(uvicorn.Config(SERVER["build_app"](reward, key), log_level="critical"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/color-statistics"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def answering(*answers):
    """A server that gives these answers in turn, `(status, headers, text)`, the last one for ever; and what it got."""
    bodies = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            status, headers, text = answers[min(len(bodies), len(answers)) - 1]
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(text))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/score", bodies
        server.shutdown()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(remote, "FIRST_PAUSE", 0.0)


class TestExampleServer:
    def test_answers_as_the_reward_itself(self):
        reward, images, style = ColorStatisticsReward(), make_images(7), make_images(1, seed=1)[0]
        with served(reward) as url:
            got = RemoteReward(url, batch_size=3)(images=images, style_images=[style] * 7, prompts=None)
        assert got == pytest.approx(reward(images=images, style_images=[style] * 7), rel=1e-6)

    def test_none_nan_and_columns_arrive(self):
        def mine(images, task, **columns):
            return [None if one == "silent" else math.nan if one == "broken" else 1.0 for one in task]

        with served(mine) as url:
            reward = RemoteReward(url, send="target", columns="task")
            got = reward(images=make_images(3), task=["silent", "broken", "good"])
        assert reward.requires == ("target", "task")
        assert got[0] is None and math.isnan(got[1]) and got[2] == 1.0

    def test_key(self, monkeypatch):
        monkeypatch.setenv("MY_KEY", "secret")
        images = make_images(2)
        with served(lambda images, **columns: [1.0] * len(images), key="secret") as url:
            assert RemoteReward(url, token_variable="MY_KEY")(images=images) == [1.0, 1.0]
            with pytest.raises(ValueError, match="answered status 401"):
                RemoteReward(url)(images=images)

    @pytest.mark.parametrize(
        "body", ["{", "[]", '{"images": [0]}', '{"pictures": ["x"], "images": [0]}', '{"pictures": [], "images": [9]}']
    )
    def test_hostile_body_is_refused(self, body):
        with served(lambda images, **columns: [0.0] * len(images)) as url:
            assert httpx.post(url, content=body).status_code == 422

    def test_trains_as_the_reward_itself(self, tmp_path):
        runs = [make_grpo_trainer(tmp_path / "own", rewards=ColorStatisticsReward(), max_steps=2)]
        with served(ColorStatisticsReward()) as url:
            runs.append(make_grpo_trainer(tmp_path / "http", rewards=url, max_steps=2))
            for trainer in runs:
                trainer.train()
        own, there = (logged(trainer, "rewards/color-statistics/mean") for trainer in runs)
        assert there == pytest.approx(own, abs=0.01)  # pictures travel in 8 bits


class TestRequests:
    def test_pictures_are_sent_once_and_batches_are_cut(self):
        style = make_images(1, seed=1)[0]
        text = json.dumps({"rewards": [1, 2]})
        with answering((200, {}, text)) as (url, bodies):
            got = RemoteReward(url, batch_size=2)(images=make_images(4), style_images=[style] * 4)
        assert got == [1.0, 2.0, 1.0, 2.0] and len(bodies) == 2
        assert all(len(body["pictures"]) == 3 for body in bodies)
        assert bodies[0]["style_images"] == [2, 2] and bodies[0]["content_images"] == [None, None]
        assert set(bodies[0]) == {"pictures", "images", "content_images", "style_images"}

    def test_failed_request_is_tried_again(self):
        answers = [(503, {"Retry-After": "0"}, ""), (429, {}, ""), (200, {}, '{"rewards": [0.5]}')]
        with answering(*answers) as (url, bodies):
            assert RemoteReward(url)(images=make_images(1)) == [0.5]
        assert len(bodies) == 3

    def test_missing_server_ends_the_training_or_leaves_rollouts_out(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(ConnectionError, match=r"did not answer in 2 tries \(ConnectError"):
            RemoteReward(url, retries=1)(images=make_images(1))
        assert all(map(math.isnan, RemoteReward(url, retries=0, on_failure="skip")(images=make_images(2))))

    def test_slow_server_is_a_failure(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts, and says nothing
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            with pytest.raises(ConnectionError, match="ReadTimeout"):
                RemoteReward(url, retries=0, timeout=0.05)(images=make_images(1))

    @pytest.mark.parametrize(
        ("status", "text", "message"),
        [
            (400, "no such reward", "answered status 400: no such reward"),
            (200, "<html>", "one number or null per image .1.*, but got <html>"),
            (200, '{"rewards": [1, 2]}', "but got 2 rewards"),
            (200, '{"rewards": ["x"]}', "one number or null per image"),
        ],
    )
    def test_wrong_answer_is_an_error_at_once(self, status, text, message):
        with answering((status, {}, text)) as (url, bodies):
            with pytest.raises(ValueError, match=message):
                RemoteReward(url)(images=make_images(1))
        assert len(bodies) == 1


class TestArguments:
    def test_address_and_options_as_on_the_command_line(self):
        reward = get_reward("https://example.org/v1/aesthetic")
        assert isinstance(reward, RemoteReward) and reward.__name__ == "aesthetic"
        reward = get_reward("remote:url=http://example.org/?model=1,send=content+target,timeout=5,name=mine")
        assert (reward.url, reward.timeout, reward.__name__) == ("http://example.org/?model=1", 5, "mine")
        assert reward.requires == ("content", "target")
        assert get_reward("http://example.org").__name__ == "example.org"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"url": "example.org"}, "`url` must begin with http"),
            ({"send": "contents"}, "`send` must be of content, style, target, but got 'contents'"),
            ({"batch_size": 0}, "`batch_size` must be an integer of 1 or more"),
            ({"timeout": math.inf}, "`timeout` must be a positive number"),
            ({"on_failure": "ignore"}, "`on_failure` must be raise or skip"),
            ({"token_variable": "NO_SUCH_KEY"}, "`token_variable` must be a variable that is set"),
        ],
    )
    def test_bad_argument_is_refused(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            RemoteReward(**{"url": "http://example.org", **arguments})
