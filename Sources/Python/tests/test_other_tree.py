"""A module that begins with another tree gets another image."""

import pytest


@pytest.fixture(scope="session")
def mayfly_tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("other")
    (folder / "other").write_text("other")
    return folder


def test_has_the_other_tree(mayfly):
    assert sorted(path.name for path in mayfly.path.iterdir()) == ["other"]
