"""The example service, on a schema, topics and groups of its own for every test."""

from support.service_fixture import stand as stand
