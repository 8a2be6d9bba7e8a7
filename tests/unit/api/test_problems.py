"""Every error of the catalogue becomes a problem document."""

import pytest

from farshore.api import problems
from farshore.errors import CODES, FarshoreError


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_a_problem_document(code: str) -> None:
    document = problems.document(FarshoreError(code, "what", means="means", next_step="next"))
    assert document == {
        "type": f"urn:farshore:error:{code}",
        "title": CODES[code].title,
        "status": CODES[code].http,
        "detail": "what",
        "code": code,
        "means": "means",
        "next": "next",
    }
    assert 400 <= document["status"] < 600
