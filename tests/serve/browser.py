"""Drive headless Chromium through its DevTools protocol."""

import asyncio
import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import aiohttp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-port=0"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--lang=en-US"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


class Page:
    """A page of the browser.

    Args:
        socket: websocket of the page

    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.numbers = itertools.count(1)
        self.urls: list[str] = []  # requested by the page
        self.errors: list[str] = []

    async def call(self, method: str, **values: object) -> dict:
        """Call a method of the protocol and return its result."""
        number = next(self.numbers)
        await self.socket.send_json({"id": number, "method": method, "params": values})
        while True:
            message = json.loads((await self.socket.receive()).data)
            if message.get("method") == "Network.requestWillBeSent":
                self.urls.append(message["params"]["request"]["url"])
            if message.get("method") == "Runtime.exceptionThrown":
                self.errors.append(message["params"]["exceptionDetails"]["text"])
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    async def run(self, script: str) -> object:
        """Run JavaScript and return its value."""
        result = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def wait(self, condition: str, seconds: float = 120) -> None:
        """Wait until a JavaScript expression is true."""
        async with asyncio.timeout(seconds):
            while not await self.run(condition):
                await asyncio.sleep(0.2)

    async def choose(self, path: Path) -> None:
        """Choose a file in the page."""
        document = await self.call("DOM.getDocument")
        node = await self.call("DOM.querySelector", nodeId=document["root"]["nodeId"], selector="#file")
        await self.call("DOM.setFileInputFiles", files=[str(path)], nodeId=node["nodeId"])

    async def picture(self, *, width: int, height: int, dark: bool) -> bytes:
        """Return a screenshot as PNG."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])
        await asyncio.sleep(0.5)
        return base64.b64decode((await self.call("Page.captureScreenshot"))["data"])


@contextlib.asynccontextmanager
async def open_page(url: str):
    """Open a page in a new browser."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        words = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as browser:
            try:
                line = next(line for line in browser.stderr if "DevTools listening on" in line)
                address = line.split()[-1].split("/")[2]
                async with aiohttp.ClientSession() as session:
                    async with session.get(f"http://{address}/json") as response:
                        pages = await response.json()
                    target = next(page for page in pages if page["type"] == "page")["webSocketDebuggerUrl"]
                    async with session.ws_connect(target, max_msg_size=0) as socket:
                        page = Page(socket)
                        for domain in ("Network", "Runtime", "Page", "DOM"):
                            await page.call(f"{domain}.enable")
                        await page.call("Page.navigate", url=url)
                        await page.wait("typeof emotions !== 'undefined' && emotions.length > 1")
                        yield page
            finally:
                browser.terminate()
