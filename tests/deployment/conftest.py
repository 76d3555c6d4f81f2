"""One Docker engine and one set of images for all tests of what is shipped."""

import os

import pytest

from deployment import compose_stack, stand_ins
from deployment.docker import Docker, engine


@pytest.fixture(scope="session")
def docker() -> Docker:
    """The engine, with what stands in for the images of a registry."""
    started = engine()
    stand_ins.prepare(started)
    return started


@pytest.fixture(scope="session")
def images(docker: Docker) -> Docker:
    """The engine with every image of Signalbox, built from this checkout; SIGNALBOX_TEST_IMAGES=built: as they are."""
    if os.environ.get("SIGNALBOX_TEST_IMAGES") != "built":
        print(compose_stack.build(docker))
    return docker
