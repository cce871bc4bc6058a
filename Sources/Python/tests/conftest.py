import os

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture(scope="session")
def mayfly_tree():
    def fill(root):
        (root / "etc").mkdir()
        (root / "etc" / "config").write_text("verbose = no\n")
        for number in range(100):
            (root / ("data-%d" % number)).write_bytes(os.urandom(4096))
        # Once for all workers: `test_one_image` looks at it.
        (root / "built-by").write_text("%d" % os.getpid())

    return fill


@pytest.fixture(scope="session")
def mayfly_options():
    return ["--size", "64m"]
