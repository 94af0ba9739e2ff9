"""The page that every visit starts from, and what a server loads before anybody needs it."""

import subprocess
import sys
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from workbench.app.front import FrontPage

HTML = "<html><head><title>Streamlit</title></head><body>" + "x" * 2_000 + "</body></html>"


@pytest.fixture
def client() -> TestClient:
    async def page(_: object) -> HTMLResponse:
        return HTMLResponse(HTML, headers={"etag": "of-the-file"})

    async def missing(_: object) -> HTMLResponse:
        return HTMLResponse(HTML, status_code=404)

    async def data(_: object) -> JSONResponse:
        return JSONResponse({"title": "<head><title>Streamlit</title>"})

    routes = [Route("/agreement", page), Route("/missing", missing), Route("/data", data)]
    # Streamlit's own middleware, which packs the answer, lies further in.
    return TestClient(
        Starlette(routes=routes, middleware=[Middleware(FrontPage), Middleware(GZipMiddleware)])
    )


@pytest.mark.parametrize("packed", ["gzip", "identity"])
def test_the_page_knows_its_address_and_its_name(client: TestClient, packed: str) -> None:
    answer = client.get("/agreement", headers={"accept-encoding": packed})
    assert "<title>Workbench</title>" in answer.text
    assert 'BACKEND_BASE_URL: new URL(".", location.href).href' in answer.text
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert "etag" not in answer.headers
    assert answer.text.endswith("x</body></html>")


def test_nothing_else_is_rewritten(client: TestClient) -> None:
    assert "Streamlit" in client.get("/data").text
    assert "BACKEND_BASE_URL" not in client.get("/missing").text


def test_a_server_of_annotators_loads_neither_scipy_nor_pandas_nor_a_page() -> None:
    code = (
        "import sys, workbench.app.server, workbench.app.views.review, workbench.app.review.render;"
        "heavy = {'scipy', 'pandas', 'pyarrow.compute',"
        " 'workbench.app.views.agreement'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout.strip() == "[]"
