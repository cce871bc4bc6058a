"""What a test can do with its mount."""

import errno
import os
import shutil

import pytest

import mayfly_fs
from mayfly_fs import answers


def test_changes_stay_in_the_test(mayfly):
    shutil.rmtree(mayfly / "etc")
    assert not (mayfly / "etc").exists()


@pytest.mark.parametrize("word", ["yes", "no", "perhaps"])
def test_each_begins_with_the_tree(mayfly, word):
    config = mayfly / "etc" / "config"
    assert config.read_text() == "verbose = no\n"
    config.write_text("verbose = %s\n" % word)


def test_goes_back(mayfly):
    (mayfly / "data-1").unlink()
    mayfly.snapshot("without-1")
    (mayfly / "data-2").unlink()
    assert [d["path"] for d in mayfly.diff() if d["kind"] == "removed"] == ["data-2"]
    mayfly.rollback()
    assert (mayfly / "data-2").exists()
    assert not (mayfly / "data-1").exists()
    mayfly.rollback("start")
    assert (mayfly / "data-1").exists()
    assert [s["name"] for s in mayfly.snapshots()["snapshots"]] == ["start", "without-1"]
    assert [s["name"] for s in mayfly.remove_snapshot("without-1")["snapshots"]] == ["start"]


@pytest.mark.mayfly_snapshot("before")
def test_snapshot_by_marker(mayfly):
    (mayfly / "data-1").unlink()
    assert mayfly.rollback("before")["name"] == "before"
    assert (mayfly / "data-1").exists()


def test_survives_a_disk_that_fails(mayfly):
    rule = mayfly.fault("write", path="etc/*", errno="EIO", nth=2)
    config = os.open(mayfly / "etc" / "config", os.O_WRONLY)
    os.write(config, b"verbose = yes\n")
    with pytest.raises(OSError) as raised:
        os.write(config, b"more = yes\n")
    assert raised.value.errno == errno.EIO
    assert [(f["number"], f["matched"], f["fired"]) for f in mayfly.faults()] == [(rule["number"], 2, 1)]
    assert mayfly.clear_faults() == []
    os.write(config, b"more = yes\n")
    os.close(config)


@pytest.mark.mayfly_fault("fsync", path="etc/config", errno="ENOSPC")
def test_fault_by_marker(mayfly):
    with open(mayfly / "etc" / "config", "a") as file:
        with pytest.raises(OSError) as raised:
            os.fsync(file)
    assert raised.value.errno == errno.ENOSPC


@pytest.mark.mayfly_power_loss(seeds=[0, 1, 2])
def test_survives_a_power_loss(mayfly):
    for name in ["synced", "not-synced"]:
        file = os.open(mayfly / name, os.O_CREAT | os.O_WRONLY)
        os.write(file, b"content")
        if name == "synced":
            os.fsync(file)
            folder = os.open(mayfly, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
        os.close(file)
    summary = mayfly.crash()
    assert summary["seed"] == mayfly.seed
    assert set(summary) == set(answers.Crash.__annotations__)
    assert (mayfly / "synced").read_text() == "content"
    if mayfly.seed == 0:
        assert not (mayfly / "not-synced").exists()


@pytest.mark.mayfly_power_loss(seeds=[0])
def test_sync_syncs_everything(mayfly):
    (mayfly / "file").write_text("content")
    assert mayfly.sync()["files"] >= 1
    mayfly.crash()
    assert (mayfly / "file").read_text() == "content"


def test_forks(mayfly, tmp_path):
    (tmp_path / "other").mkdir()
    with mayfly.fork(tmp_path / "other") as fork:
        (fork / "data-1").write_text("changed")
        assert (mayfly / "data-1").stat().st_size == 4096
    assert not (tmp_path / "other" / "data-1").exists()


def test_image_and_mount_of_it(mayfly_image, tmp_path):
    with mayfly_fs.mount(from_image=mayfly_image, size="32m") as mount:
        folder = mount.path
        assert (mount / "etc" / "config").read_text() == "verbose = no\n"
        assert mount.report()["bytes"]["limit"] == 32 << 20
        assert mount.resize(size_bytes=16 << 20)["bytes"]["limit"] == 16 << 20
        assert mount.check()["problems"] == []
        assert "mayfly_" in mount.metrics()
        assert isinstance(mount.hot(), list)
        assert mount.save(tmp_path / "saved.mayfly")["path"] == str(tmp_path / "saved.mayfly")
    assert not folder.exists()


def test_answers_have_the_fields_of_their_types(mayfly):
    def fields(kind):
        return set(kind.__annotations__)

    report = mayfly.report()
    assert set(report) == fields(answers.Report)
    assert set(report["bytes"]) == fields(answers.Usage)
    assert set(mayfly.snapshot("one")) == fields(answers.Snapshot)
    assert set(mayfly.snapshots()) == fields(answers.SnapshotList)
    (mayfly / "data-1").unlink()
    assert set(next(mayfly.diff())) == fields(answers.Difference)
    assert set(mayfly.rollback()) == fields(answers.Rollback)
    fault = mayfly.fault("write", path="x", delay_seconds=0.5, probability=0.5, seed=1)
    assert set(fault) == fields(answers.Fault)
    assert fault["rule"] == {
        "operation": "write", "path": "x", "delayNanoseconds": 500000000, "probability": 0.5, "seed": 1,
    }
    assert set(fault["rule"]) < fields(answers.Rule)
    assert set(mayfly.check()) == fields(answers.Check)


def test_events_tell_what_happens(mayfly):
    events = mayfly.events()
    found = [next(events)]
    mayfly.snapshot("heard")
    found.append(next(events))
    mayfly.unmount()
    found += events
    assert [event["event"] for event in found] == ["mounted", "snapshot", "ended"]
    assert found[1]["snapshot"]["name"] == "heard"
    assert all(set(event) <= set(answers.Event.__annotations__) for event in found)


def test_a_mount_that_is_gone_is_no_other(mayfly, tmp_path):
    """The kernel gives the number of a mount that is gone, and so the name of its socket, to the next."""
    (tmp_path / "one").mkdir()
    fork = mayfly.fork(tmp_path / "one")
    fork.unmount()
    others = []
    for number in range(8):
        (tmp_path / str(number)).mkdir()
        others.append(mayfly.fork(tmp_path / str(number)))
    with pytest.raises(mayfly_fs.MayflyError, match="no server answers"):
        fork.unmount()
    fork.close()
    for other in others:
        assert os.path.ismount(other.path)
        other.close()


def test_is_told_what_is_wrong(mayfly):
    with pytest.raises(mayfly_fs.RequestError, match="there is no snapshot 'never'") as raised:
        mayfly.rollback("never")
    assert raised.value.status == 409 and raised.value.code == "no-such-snapshot"
    with pytest.raises(mayfly_fs.RequestError) as raised:
        mayfly.control.call("POST", "/v1/rollback", {"nam": "good"})
    assert (raised.value.status, raised.value.field, raised.value.known) == (400, "nam", ["name", "force"])
    with pytest.raises(mayfly_fs.MayflyError, match="lies in no Mayfly mount"):
        mayfly_fs.Mount("/proc")
    with pytest.raises(mayfly_fs.MayflyError, match="bad --size 'much'"):
        mayfly_fs.mount(size="much")


def test_names_that_are_no_text(mayfly):
    name = b"caf\xe9"
    with open(os.path.join(os.fsencode(mayfly.path), name), "w"):
        pass
    added = [d["path"] for d in mayfly.diff() if d["kind"] == "added"]
    assert [mayfly_fs.name_bytes(path) for path in added] == [name]
    assert mayfly_fs.name_text(name) == added[0]
    odd = "\U0010fce9"
    assert mayfly_fs.name_bytes(mayfly_fs.name_text(odd)) == odd.encode()


def test_factory_serves_wider_fixtures(mayfly_factory):
    mount = mayfly_factory.mount(lambda root: (root / "one").write_text("1"))
    assert (mount / "one").read_text() == "1"
    mount.close()
    assert not (mount / "one").exists()


def test_one_image(mayfly, tmp_path_factory):
    """Workers share the image: each finds the process of the one that built it."""
    note = tmp_path_factory.getbasetemp().parent / "built-by"
    built = (mayfly / "built-by").read_text()
    try:
        with open(note, "x") as file:
            file.write(built)
    except FileExistsError:
        assert note.read_text() in ("", built)


@pytest.mark.parametrize("number", range(8))
def test_one_image_in_all_workers(mayfly, tmp_path_factory, number):
    test_one_image(mayfly, tmp_path_factory)
