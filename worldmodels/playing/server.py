"""The live page: Starlette on 127.0.0.1, a WebSocket to each page that is open."""

import json
import socket
from contextlib import suppress
from typing import Any

import anyio
import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from worldmodels.playing.page import page
from worldmodels.playing.session import Played, Session
from worldmodels.utils.errors import ConfigError

CHANGES_RESULTS = False
HOST = "127.0.0.1"
HOSTS = [HOST, "localhost"]  # by which a page may call this machine: a name of somebody else's that leads here may not
NONSENSE = 1008  # WebSocket's code for a message that is not allowed
LONGEST_REASON = 60  # characters, of which WebSocket takes 123 bytes
IDLE = 0.02  # seconds between looks at a game that is paused or over


def application(played: Played, temperature: float, seed: int) -> Starlette:
    """The page at /, and its frames at /play."""
    shown = page("live.js", "page.js")

    async def show(_: Request) -> HTMLResponse:
        return HTMLResponse(shown)

    async def play(websocket: WebSocket) -> None:
        if websocket.headers.get("origin") != f"http://{websocket.headers.get('host')}":
            await websocket.close(NONSENSE)  # another site's page
            return
        await websocket.accept()
        session = Session(played, temperature, seed)
        refused: list[str] = []
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_listen, websocket, session, group.cancel_scope, refused)
                with suppress(WebSocketDisconnect):
                    await websocket.send_json(session.greeting())
                    await _show(websocket, session)
        finally:
            session.close()
        if refused:
            await websocket.close(NONSENSE, refused[0])

    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)
    return Starlette(routes=[Route("/", show), WebSocketRoute("/play", play)], middleware=[hosts])


async def _listen(websocket: WebSocket, session: Session, playing: anyio.CancelScope, refused: list[str]) -> None:
    """Until the page is closed, or says what makes no sense, which is then ``refused``."""
    try:
        while websocket.application_state is WebSocketState.CONNECTED:  # a page may close between two frames
            asked = json.loads(await websocket.receive_text())
            if not isinstance(asked, dict):
                raise ValueError("a message is no object")
            session.handle(asked)
    except WebSocketDisconnect:
        pass
    except ValueError as error:
        refused.append(str(error)[:LONGEST_REASON])
    playing.cancel()


async def _show(websocket: WebSocket, session: Session) -> None:
    """Steps at the task's pace, or as fast as it goes."""
    due = anyio.current_time()
    while websocket.application_state is WebSocketState.CONNECTED:
        moved = session.step()
        if moved or session.changed:
            session.changed = False
            await websocket.send_bytes(message(session.facts(), session.pictures()))
        due = max(due + (1 / (session.spec.fps * session.speed) if moved else IDLE), anyio.current_time())
        await anyio.sleep_until(due)


def message(facts: dict[str, Any], pictures: np.ndarray) -> bytes:
    """As live.js takes it apart."""
    text = json.dumps(facts).encode()
    return len(text).to_bytes(4, "big") + text + pictures.tobytes()


def bind(port: int) -> socket.socket:
    """A socket on this machine alone; of port 0, on any that is free. Raises `ConfigError`."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((HOST, port))
    except OSError as error:
        bound.close()
        raise ConfigError(
            f"port={port} cannot be had ({error.strerror}): expected a free one; port=0 finds one"
        ) from error
    return bound


def serve(app: Starlette, bound: socket.socket) -> None:
    """Until Ctrl-C."""
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="error",
        lifespan="off",
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=1,
    )
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[bound])
