"""The HTTP service: a page, ``POST /predict``, ``GET /health`` and OpenAPI."""

import asyncio
import re
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath
from typing import Annotated, Any

from fastapi import FastAPI, File, HTTPException, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from markdown_it import MarkdownIt
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ser_lightning.errors import InputError
from ser_lightning.predict.formats import plain_row
from ser_lightning.serve.engine import Engine, TimeoutReachedError, TooLongError

PAGE = Path(__file__).parent / "page"
FILES = {
    "/": ("index.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}
MULTIPART = 64 * 1024  # bytes that the parts of a form add to the file
# The page loads nothing from another host, and executes nothing that is not in page.js.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " media-src blob:; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class BodyLimit:
    """Refuse requests whose body is larger than a limit, also if they do not state its length.

    Args:
        app: the application
        size: greatest size of a body, bytes

    """

    def __init__(self, app: ASGIApp, *, size: int) -> None:
        self.app = app
        self.size = size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        reason = f"the upload has more than {self.size // 1_000_000} MB; send a shorter part or a compressed file"
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > self.size:
            await JSONResponse({"detail": reason}, 413, headers=HEADERS)(scope, receive, send)
            return
        read = 0

        async def limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self.size:
                raise HTTPException(413, reason)
            return message

        await self.app(scope, limited, send)


def make_app(engine: Engine, *, emotions: Sequence[str], model: str, card: str, hosts: Sequence[str]) -> FastAPI:
    """Return the application.

    Args:
        engine: predicts recordings
        emotions: class names in order
        model: name of the model
        card: its card in Markdown; empty without one
        hosts: host names by which requests may address the service; ``*`` for any

    """
    limits = engine.limits
    app = FastAPI(title="ser_lightning", description="Speech emotion recognition", docs_url=None, redoc_url=None)
    app.add_middleware(BodyLimit, size=limits.size + MULTIPART)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    pool = ThreadPoolExecutor(limits.workers, thread_name_prefix="predict")
    waiting = 0

    @app.exception_handler(RequestValidationError)
    async def refuse(_: Request, error: RequestValidationError) -> JSONResponse:
        first_error = error.errors()[0]
        return JSONResponse({"detail": f"{'.'.join(map(str, first_error['loc']))}: {first_error['msg']}"}, 422)

    @app.middleware("http")
    async def add_headers(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.headers.update(HEADERS)
        return response

    @app.post("/predict", responses={code: {} for code in (413, 422, 429, 503)})
    async def predict(file: Annotated[UploadFile, File(description="a sound file")]) -> dict[str, Any]:
        """Predict the emotions of a recording: one row per segment, as ``ser-predict --json`` writes them."""
        nonlocal waiting
        if waiting >= limits.workers + limits.queue:
            raise HTTPException(429, "too many recordings are waiting; try again later", {"Retry-After": "5"})
        waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(pool, _predict_upload, engine, file)
        finally:
            waiting -= 1
            await file.close()

    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Describe the model and the limits."""
        return {
            "status": "ok",
            "model": model,
            "emotions": list(emotions),
            "waiting": waiting,
            "limits": {"bytes": limits.size, "seconds": limits.length, "timeout": limits.time},
        }

    @app.get("/card", include_in_schema=False)
    async def show_card() -> Response:
        return Response(card_html(card), media_type="text/html")

    for path, (name, kind) in FILES.items():
        content = (PAGE / name).read_text(encoding="utf-8")
        app.add_api_route(path, _static(content, kind), include_in_schema=False)
    return app


def _static(content: str, kind: str) -> Any:
    async def send() -> Response:
        return Response(content, media_type=kind)

    return send


def _predict_upload(engine: Engine, file: UploadFile) -> dict[str, Any]:
    """Predict an upload, whose file is deleted before this returns.

    Raises:
        HTTPException: the recording cannot be used, with the reason

    """
    name = PurePath((file.filename or "recording").replace("\\", "/")).name or "recording"
    ending = re.search(r"\.[A-Za-z0-9]{1,12}$", name)
    try:
        with tempfile.TemporaryDirectory(prefix="ser-serve-") as folder:
            path = Path(folder) / f"recording{ending[0] if ending else ''}"
            with path.open("wb") as copy:
                shutil.copyfileobj(file.file, copy)
            rows = engine.predict(path, name)
    except TooLongError as error:
        raise HTTPException(413, str(error)) from error
    except TimeoutReachedError as error:
        raise HTTPException(503, str(error)) from error
    except InputError as error:
        raise HTTPException(422, " ".join(str(error).split())) from error
    except OSError as error:
        raise HTTPException(503, f"the upload cannot be stored: {error.strerror}") from error
    return {"duration": round(rows[0].duration, 3), "segments": [plain_row(row) for row in rows]}


def card_html(card: str) -> str:
    """Return a model card as HTML, without its metadata and without any HTML of its own."""
    text = re.sub(r"\A---\n.*?\n---\n", "", card, flags=re.DOTALL)
    text = re.sub(r"</?details>|<summary>.*?</summary>", "", text)
    html: str = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    return html
