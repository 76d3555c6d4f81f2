"""The conformance suite on a real Airflow 3."""

import pytest

from contract.engines.suite import EngineConformance

pytestmark = pytest.mark.engine


class TestAirflow(EngineConformance):
    """The suite itself is in `tests/contract/engines/suite.py`."""
