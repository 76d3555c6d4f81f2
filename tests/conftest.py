"""Real servers, started once a run and shared; every test gets schemas and topics of its own."""

pytest_plugins = ["support.servers", "support.service_fixture", "support.ceph", "support.failures"]
