"""Requests drawn from the OpenAPI page: none is a fault of the server, and each answer is as the page says."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance
from schemathesis.specs.openapi.checks import status_code_conformance as status_conformance

from narrows.serve.application import application
from narrows.serve.verbs import open_loaded

CHECKS = [not_a_server_error, status_conformance, content_type_conformance, response_schema_conformance]
FEW = settings(max_examples=8, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("model", ["detector", "table", "images"])
def test_requests_drawn_from_the_page(files, model):
    app = application(open_loaded(files / f"{model}.safetensors"))  # which schemathesis starts and ends
    page = schemathesis.openapi.from_asgi("/openapi.json", app)
    for found in page.get_all_operations():

        @FEW
        @given(case=found.ok().as_strategy())
        def answered_as_it_says(case):
            case.call_and_validate(checks=CHECKS)

        answered_as_it_says()
