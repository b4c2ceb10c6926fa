# SPDX-License-Identifier: Apache-2.0
"""Media as a client of the official SDK meets them: links that lead to labelled files, pictures inside texts."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import httpx
import openai

from labeling.inspection import inspect_file
from tests.conftest import CONFIG, dutybound, start_gateway
from tests.labeling.conftest import encoded, picture
from tests.upstreams.scripted import Script, scripted_in_thread

PNG = encoded(picture(300, 200), "PNG")


def test_links_and_pictures_in_texts_leave_labelled(tmp_path: Path) -> None:
    """The link is ours, the file behind it names the record; a stream's picture is labelled in the text; with a chain a
    text ends with a manifest."""
    inside = f"![a cat](data:image/png;base64,{base64.b64encode(PNG).decode()}) done"
    shown = Script(raw_base64=base64.b64encode(PNG).decode(), content_type="image/png")
    home = tmp_path / "home"
    dutybound("init", "--home", str(home))
    dutybound("keys", "new", "--c2pa", "--home", str(home))
    with scripted_in_thread(shown) as files, scripted_in_thread(Script(text=inside, split=50)) as model:
        link = f"{files.url}/a.png?signature=x"
        config = f'{CONFIG}[label]\nlink_hosts = ["{files.url}"]\nwatermark = "off"\ntext_manifest = true\n'
        gateway = start_gateway(tmp_path, model.url, config=config, home=home)
        try:
            client = openai.OpenAI(base_url=gateway.v1, api_key="k", max_retries=0)
            answer = json.dumps({"created": 1, "data": [{"url": link}]})
            made = client.images.generate(
                prompt="a cat", model="m", extra_headers={"X-Script": json.dumps({"raw": answer})}
            )
            assert made.data is not None and made.data[0].url is not None
            assert made.data[0].url.startswith(f"{gateway.url}/duty/media/")
            fetched = httpx.get(made.data[0].url)
            assert fetched.headers["content-type"] == "image/png"
            found = inspect_file(fetched.content)
            assert (found.verdict, found.manifest["state"]) == ("generated", "valid")
            record = gateway.record(found.labels[0].values["ProduceID"])
            assert record["record"]["wire"] == "openai_images"

            stream = client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "a cat"}], stream=True
            )
            text = "".join(part.choices[0].delta.content or "" for part in stream if part.choices)
            payload = text.partition(";base64,")[2].partition(")")[0]
            assert inspect_file(base64.b64decode(payload)).verdict == "generated"
            assert ") done" in text and text.endswith(tuple(chr(code) for code in (0xFE00, 0xE01EF)))
        finally:
            gateway.stop()
