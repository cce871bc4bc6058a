"""What tests with the fixtures of conftest.py look like. Run: `pytest Docs/Examples/pytest`."""

import os
import shutil

import pytest


@pytest.fixture(scope="session")
def mayfly_tree():
    def fill(root):
        (root / "etc").mkdir()
        (root / "etc" / "config").write_text("verbose = no\n")
        for number in range(100):
            (root / ("data-%d" % number)).write_bytes(os.urandom(4096))

    return fill


@pytest.fixture(scope="session")
def mayfly_options():
    return ["--durability", "fsync"]


def test_changes_stay_in_the_test(mayfly):
    shutil.rmtree(mayfly.path + "/etc")
    assert not os.path.exists(mayfly.path + "/etc")


@pytest.mark.parametrize("word", ["yes", "no", "perhaps"])
def test_each_begins_with_the_tree(mayfly, word):
    config = mayfly.path + "/etc/config"
    assert open(config).read() == "verbose = no\n"
    with open(config, "w") as file:
        file.write("verbose = %s\n" % word)


def test_goes_back(mayfly):
    os.unlink(mayfly.path + "/data-1")
    mayfly.snapshot("without-1")
    os.unlink(mayfly.path + "/data-2")
    mayfly.rollback()
    assert os.path.exists(mayfly.path + "/data-2")
    assert not os.path.exists(mayfly.path + "/data-1")
    mayfly.rollback("start")
    assert os.path.exists(mayfly.path + "/data-1")


def test_survives_a_disk_that_fails(mayfly):
    mayfly.fault("write", path="etc/*", errno="EIO", nth=2)
    config = os.open(mayfly.path + "/etc/config", os.O_WRONLY)
    os.write(config, b"verbose = yes\n")
    with pytest.raises(OSError, match="Input/output error"):
        os.write(config, b"more = yes\n")
    mayfly.clear_faults()
    os.write(config, b"more = yes\n")
    os.close(config)


def test_survives_a_power_loss(mayfly):
    for name in ["synced", "not-synced"]:
        file = os.open(mayfly.path + "/" + name, os.O_CREAT | os.O_WRONLY)
        os.write(file, b"content")
        if name == "synced":
            os.fsync(file)
            folder = os.open(mayfly.path, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
        os.close(file)
    mayfly.crash(seed=0)
    assert open(mayfly.path + "/synced").read() == "content"
    assert not os.path.exists(mayfly.path + "/not-synced")


def test_forks(mayfly, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    fork = mayfly.fork(other)
    (other / "data-1").write_text("changed")
    assert os.stat(mayfly.path + "/data-1").st_size == 4096
    fork.unmount()


def test_is_told_what_is_wrong(mayfly):
    with pytest.raises(RuntimeError, match="there is no snapshot 'never'"):
        mayfly.rollback("never")
