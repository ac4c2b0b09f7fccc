"""The live page: Starlette on 127.0.0.1, a WebSocket to each page that is open."""

import asyncio
import json
import socket
from typing import Any

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from worldmodels.playing.page import page
from worldmodels.playing.session import Played, Session
from worldmodels.utils.errors import ConfigError

CHANGES_RESULTS = False
HOST = "127.0.0.1"
HOSTS = [HOST, "localhost"]  # by which a page may call this machine: a name of somebody else's that leads here may not
NONSENSE = 1008  # WebSocket's code for a message that is not allowed
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
        try:
            await websocket.send_json(session.greeting())
            await _until_one_ends(_listen(websocket, session), _show(websocket, session))
        except WebSocketDisconnect:
            pass
        except ValueError as error:
            await websocket.close(NONSENSE, str(error)[:100])
        finally:
            session.close()

    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)
    return Starlette(routes=[Route("/", show), WebSocketRoute("/play", play)], middleware=[hosts])


async def _until_one_ends(*work: Any) -> None:
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _listen(websocket: WebSocket, session: Session) -> None:
    while True:
        message = json.loads(await websocket.receive_text())
        if not isinstance(message, dict):
            raise ValueError("a message is no object")
        session.handle(message)


async def _show(websocket: WebSocket, session: Session) -> None:
    """Steps at the task's pace, or as fast as it goes."""
    clock = asyncio.get_running_loop().time
    due = clock()
    while True:
        moved = session.step()
        if moved or session.changed:
            session.changed = False
            await websocket.send_bytes(message(session.facts(), session.pictures()))
        due = max(due + (1 / (session.spec.fps * session.speed) if moved else IDLE), clock())
        await asyncio.sleep(due - clock())


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
    try:
        uvicorn.Server(config).run(sockets=[bound])
    except KeyboardInterrupt:
        pass
    finally:
        bound.close()
