"""Errors as problem documents (RFC 9457): the catalogue's code, sentences and HTTP status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from farshore.errors import CODES, FarshoreError

MEDIA_TYPE = "application/problem+json"


def document(error: FarshoreError) -> dict[str, Any]:
    """The problem document of an error."""
    return {
        "type": f"urn:farshore:error:{error.code.name}",
        "title": error.code.title,
        "status": error.code.http,
        "detail": error.what,
        "code": error.code.name,
        "means": error.means,
        "next": error.next_step,
    }


def install(app: FastAPI) -> None:
    """Makes every error of the application a problem document."""
    app.add_exception_handler(FarshoreError, _ours)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _defect)


def _response(error: FarshoreError, status: int | None = None) -> JSONResponse:
    content = document(error)
    if status is not None:
        content["status"] = status
    return JSONResponse(content, content["status"], media_type=MEDIA_TYPE)


async def _ours(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, FarshoreError):
        raise error
    return _response(error)


async def _malformed(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    faults = "; ".join(_fault(each) for each in _details(error))
    return _response(FarshoreError("usage", faults, means="nothing was changed"))


async def _http(request: Request, error: Exception) -> JSONResponse:
    """What the framework answers by itself: an unknown path or method."""
    if not isinstance(error, HTTPException):
        raise error
    code = "not-found" if error.status_code == 404 else "usage"
    what = f"{request.method} {request.url.path}: {error.detail}"
    return _response(
        FarshoreError(code, what), CODES[code].http if code == "not-found" else error.status_code
    )


async def _defect(request: Request, error: Exception) -> JSONResponse:
    """Nothing of the defect leaves the node but its kind; the framework logs the traceback after this."""
    return _response(
        FarshoreError(
            "internal",
            f"a defect of the node: {type(error).__name__}",
            means="the request may be done in part; engines are not affected",
            next_step="farshore status; the node's log has the details",
        )
    )


def _details(error: RequestValidationError) -> Sequence[Any]:
    details: Sequence[Any] = error.errors()
    return details


def _fault(detail: Any) -> str:
    where = ".".join(str(part) for part in detail.get("loc", ()) if part != "body")
    return f"{where}: {detail.get('msg')}" if where else str(detail.get("msg"))
