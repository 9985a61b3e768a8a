# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The page of the demo, and its server with limits."""

import os


os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read by Gradio on import and at every start

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from ..conversion.loading import load_pipeline
from ..pipeline_stylevar import StyleVARPipeline
from .controls import build_controls
from .events import MAX_SEED, MAX_VARIANTS, SHAPES, check_upload, pick, remember, return_to, stylize, to_brush
from .pictures import MAX_FILE_MEGABYTES
from .request_limits import RequestLimits


IMAGES = Path(__file__).parent / "images"
EXAMPLES = (
    ("chelsea", "church_at_auvers"),
    ("astronaut", "by_the_seashore"),
    ("coffee", "night_cafe"),
    ("moose", "six_jewel_rivers"),
)
# Jobs that may wait; the next visitor is told to come back later. One job is painted at a time.
MAX_WAITING = 16
MAX_SESSIONS = 500
# Uploads and results are deleted after half an hour.
CACHE_SECONDS = 1800

CSS = """
.gradio-container {max-width: 1120px !important; margin: 0 auto !important}
#heading h1 {margin: 0 0 .2em; font-size: 1.6rem}
#heading p {margin: 0}
#status {min-height: 1.6em}
#status p {margin: 0; font-variant-numeric: tabular-nums}
#live img {width: 100%; height: 100%; object-fit: contain}
footer {display: none !important}
#gallery, #gallery .grid-wrap, #gallery .grid-container {min-height: 0 !important; height: auto !important}
#gallery .grid-container {padding-top: 26px}
#examples thead {display: none}
#examples tbody {display: grid; grid-template-columns: repeat(auto-fill, minmax(160px, 1fr)); gap: 8px 4px}
#examples tr {display: flex; background: none !important; border: none !important}
#examples td {padding: 1px !important; border: none !important}
@media (max-width: 640px) {
  .gradio-container {padding: 10px !important}
  #inputs {gap: 8px}
  #inputs .wrap {font-size: .9rem}
}
"""
# On a telephone the result is below the button.
SCROLL_TO_RESULT = "() => document.querySelector('#result').scrollIntoView({behavior: 'smooth', block: 'nearest'})"


def load_demo(model: str | None = None, dtype: str = "auto", device: str = "auto") -> gr.Blocks:
    """
    The page for a checkpoint.

    Args:
        model (`str`, *optional*): Folder or Hub id. Defaults to the checkpoint that comes with the package.
        dtype (`str`, *optional*, defaults to `"auto"`): `"auto"` or the name of a torch dtype.
        device (`str`, *optional*, defaults to `"auto"`): `"auto"`, `"cpu"`, `"cuda"` or `"mps"`.

    Returns:
        `gradio.Blocks`: For [`launch_demo`].

    Raises:
        OSError: If there is no such model.
        ValueError: If the device is missing, or the weights are not exactly those of the model.
    """
    pipe = load_pipeline(model, dtype, device)
    name = "stylevar-mini" if model is None else Path(model).name if Path(model).exists() else model
    return build_demo(pipe, name)


def build_demo(pipe: StyleVARPipeline, model_name: str) -> gr.Blocks:
    """
    The page, with its queue. Serve it with [`launch_demo`], which adds the limits that belong to the server.

    Args:
        pipe ([`StyleVARPipeline`]): The model.
        model_name (`str`): What the page and the results call it.

    Returns:
        `gradio.Blocks`
    """
    with gr.Blocks(
        title="StyleVAR", analytics_enabled=False, delete_cache=(CACHE_SECONDS // 3, CACHE_SECONDS)
    ) as demo:
        gr.Markdown(
            "# StyleVAR\nOne picture painted in the style of another, coarse to fine "
            f"([paper](https://arxiv.org/abs/2604.21052)). Model: {model_name}",
            elem_id="heading",
        )
        with gr.Row():
            with gr.Column(scale=5, min_width=320):
                inputs = _build_inputs(pipe)
            with gr.Column(scale=6, min_width=320, elem_id="result"):
                outputs = _build_outputs()
        gr.Examples(
            [
                [str(IMAGES / f"content_{content}.jpg"), str(IMAGES / f"style_{style}.jpg")]
                for content, style in EXAMPLES
            ],
            [inputs["content"], inputs["style"]],
            label="Examples",
            elem_id="examples",
            api_visibility="private",
        )
        session = _build_history()
        _connect(pipe, model_name, inputs, outputs, session)
    return demo.queue(max_size=MAX_WAITING, default_concurrency_limit=1)


def _picture_input(label: str) -> gr.Image:
    """An upload that reaches us as a file: Gradio would decode it first, whatever its size."""
    picture = gr.Image(
        label=label,
        type="filepath",
        sources=["upload", "clipboard"],
        height=220,
        min_width=140,
        buttons=[],
        elem_id=label.lower().replace(" ", "-"),
        placeholder=f"Drop the {label.lower()} here, or tap to choose",
    )
    picture.preprocess = lambda payload: None if payload is None else payload.path
    return _without_downloads(picture)


def _without_downloads(component: gr.Image | gr.Gallery) -> gr.Image | gr.Gallery:
    """A client of the API may name an address instead of a file; the server must not fetch it."""
    to_cache = component.async_move_resource_to_block_cache

    async def local_only(source: str | Path | None) -> str | None:
        if "://" in str(source):
            raise gr.Error("Upload the picture: addresses are not fetched.", print_exception=False)
        return await to_cache(source)

    component.async_move_resource_to_block_cache = local_only
    return component


def _build_inputs(pipe: StyleVARPipeline) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    with gr.Row(elem_id="inputs"):
        parts["content"] = _picture_input("Content")
        parts["style"] = _picture_input("Style")
    parts["style_strength"] = gr.Slider(
        -1, 1, value=0, step=0.05, label="Style strength", info="-1: all content. 1: all style.", elem_id="strength"
    )
    with gr.Row():
        parts["run"] = gr.Button("Paint", variant="primary", scale=3, min_width=160, elem_id="paint")
        parts["stop"] = gr.Button("Stop", scale=1, min_width=90, elem_id="stop")
    with gr.Accordion("Options", open=False, elem_id="options"):
        with gr.Row():
            parts["num_images"] = gr.Slider(
                1, MAX_VARIANTS, value=1, step=1, label="Variants", min_width=140, elem_id="variants"
            )
            parts["seed"] = gr.Number(
                0, label="Seed", minimum=0, maximum=MAX_SEED, precision=0, min_width=140, elem_id="seed"
            )
        parts["new_seed"] = gr.Checkbox(True, label="Another seed each time", elem_id="new-seed")
        parts["shape"] = gr.Radio(SHAPES, value=SHAPES[0], label="Shape of the result", elem_id="shape")
        parts["previews"] = gr.Checkbox(True, label="Show every scale (slower)", elem_id="previews")
    parts |= build_controls(pipe, _picture_input)
    _without_downloads(parts["brush"])
    return parts


def _build_outputs() -> dict[str, Any]:
    return {
        "live": gr.Image(
            label="Result",
            interactive=False,
            height=420,
            buttons=[],
            elem_id="live",
        ),
        "compare": gr.ImageSlider(
            label="Content | result", visible=False, max_height=640, buttons=["fullscreen"], elem_id="compare"
        ),
        "status": gr.Markdown("Choose two pictures, or an example, and press Paint.", elem_id="status"),
        "variants": _gallery("Variants: tap one to compare and download", MAX_VARIANTS, "gallery"),
        "download": gr.DownloadButton("Download PNG", interactive=False, elem_id="download"),
    }


def _gallery(label: str, columns: int, elem_id: str) -> gr.Gallery:
    """Pictures to tap, hidden until there are any."""
    return _without_downloads(
        gr.Gallery(
            label=label,
            columns=columns,
            height="auto",
            format="png",
            allow_preview=False,
            interactive=False,
            visible=False,
            buttons=[],
            elem_id=elem_id,
        )
    )


def _build_history() -> dict[str, Any]:
    """What was painted in this session; a tap brings its settings back."""
    with gr.Accordion("Earlier pictures of this session", open=False, elem_id="history"):
        earlier = _gallery("Tap one to return to its settings", 6, "earlier")
        archive = gr.DownloadButton("Download all (zip)", interactive=False, elem_id="download-all")
    return {"history": gr.State([]), "earlier": earlier, "archive": archive}


def _connect(
    pipe: StyleVARPipeline, model_name: str, inputs: dict[str, Any], outputs: dict[str, Any], session: dict[str, Any]
) -> None:
    """What happens when."""
    names = ["content", "style", "style_strength", "seed", "new_seed", "num_images", "shape", "previews"]
    names += [name for name in inputs if name not in ("run", "stop", *names)]

    def updates(*values: Any) -> Iterator[dict[Any, Any]]:
        for update in stylize(pipe, model_name, **dict(zip(names, values, strict=True))):
            yield {(inputs | outputs)[name]: value for name, value in update.items()}

    event = inputs["run"].click(
        updates,
        [inputs[name] for name in names],
        [*outputs.values(), inputs["seed"]],
        show_progress="hidden",
        concurrency_limit=1,
        api_name="stylize",
        api_description="Paint `content` in the style of `style`. Yields the picture after each scale.",
    )
    kept = [name for name in names if name != "brush"]

    def remembered(variants: Any, history: Any, *values: Any) -> Iterator[Any]:
        yield from remember(variants, history, dict(zip(kept, values, strict=True)))

    event.success(
        remembered,
        [outputs["variants"], session["history"], *(inputs[name] for name in kept)],
        [session["history"], session["earlier"], session["archive"]],
        show_progress="hidden",
        api_visibility="private",
    )

    def returned(history: Any, event: gr.SelectData) -> dict[Any, Any]:
        return {inputs[name]: value for name, value in return_to(history, event).items()} | {inputs["new_seed"]: False}

    session["earlier"].select(
        returned,
        session["history"],
        [inputs[name] for name in kept],
        show_progress="hidden",
        api_visibility="private",
    )
    inputs["content"].change(
        to_brush, inputs["content"], inputs["brush"], show_progress="hidden", api_visibility="private"
    )
    inputs["run"].click(None, js=SCROLL_TO_RESULT, api_visibility="private")
    inputs["stop"].click(lambda: "Stopped.", None, outputs["status"], cancels=event, api_visibility="private")
    for name in ("content", "style", "style_2", "style_3"):
        inputs[name].upload(
            partial(check_upload, name=name.partition("_")[0]),
            inputs[name],
            inputs[name],
            show_progress="hidden",
            concurrency_limit=2,
            api_visibility="private",
        )
    outputs["variants"].select(
        pick,
        [outputs["variants"], inputs["content"]],
        [outputs["compare"], outputs["download"]],
        show_progress="hidden",
        concurrency_limit=2,
        api_visibility="private",
    )


def launch_demo(
    demo: gr.Blocks,
    host: str | None = None,
    port: int | None = None,
    share: bool = False,
    block: bool = True,
) -> tuple[Any, str, str | None]:
    """
    Serves the page until it is interrupted.

    Args:
        demo (`gradio.Blocks`): What [`build_demo`] or [`load_demo`] made.
        host (`str`, *optional*): The address to listen on, `"0.0.0.0"` for all. Defaults to `$GRADIO_SERVER_NAME`,
            which Spaces set, or 127.0.0.1.
        port (`int`, *optional*): The first free one from 7860 by default.
        share (`bool`, *optional*, defaults to `False`): Whether to ask Gradio for a public address.
        block (`bool`, *optional*, defaults to `True`): Whether to wait for the end of the server.

    Returns:
        `tuple`: The web application, and its local and its public address.

    Raises:
        OSError: If the port is taken.
    """
    try:
        return demo.launch(
            server_name=host,
            server_port=port,
            share=share,
            prevent_thread_lock=not block,
            max_file_size=f"{MAX_FILE_MEGABYTES}mb",
            state_session_capacity=MAX_SESSIONS,
            max_threads=16,
            app_kwargs={"middleware": [Middleware(RequestLimits)]},
            ssr_mode=False,
            mcp_server=False,
            enable_monitoring=False,
            footer_links=[],
            theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
            css=CSS,
            quiet=True,
        )
    except OSError as error:
        raise OSError(f"`port` must be free, but got {port}. Choose another one, or none.") from error


__all__ = ["build_demo", "launch_demo"]
