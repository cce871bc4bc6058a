"""pytest with the plugin, run as its users run it: what it leaves, and what it says."""

import os
import signal
import subprocess
import sys
import time

import mayfly_fs


def _mounted(folder):
    with open("/proc/self/mounts") as file:
        return [line for line in file if str(folder) in line]


def _until(condition):
    for _ in range(400):
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_nothing_is_left_of_pytest_that_is_killed(pytester, tmp_path):
    pytester.makepyfile(
        """
        import os, time, pytest

        @pytest.mark.parametrize("number", range(2))
        def test_sleeps(mayfly, number):
            os.chdir(mayfly.path)
            open("open", "w").write("x")
            open(%r + "/began-%%d" %% number, "w").close()
            time.sleep(600)
        """
        % str(tmp_path)
    )
    base = tmp_path / "base"
    words = [sys.executable, "-m", "pytest", "-n", "2", "-p", "no:cacheprovider", "--basetemp", str(base)]
    process = subprocess.Popen(words, cwd=pytester.path, start_new_session=True, stdout=subprocess.DEVNULL)
    try:
        assert _until(lambda: all((tmp_path / ("began-%d" % n)).exists() for n in range(2)))
        assert len(_mounted(base)) == 4, "an origin and a fork for each worker"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert _until(lambda: not _mounted(base)), _mounted(base)


def test_says_what_a_marker_has_wrong(pytester):
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.mayfly_fault("wrote", errno="EIO")
        def test_operation(mayfly): pass

        @pytest.mark.mayfly_fault("write", error="EIO")
        def test_keyword(mayfly): pass
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*the markers of test_operation: there is no operation 'wrote'*"])
    result.stdout.fnmatch_lines(["*the markers of test_keyword: *error*"])
    assert not _mounted(pytester.path)


def test_says_that_a_power_loss_takes_the_fixture(pytester):
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.mayfly_power_loss
        def test_without(): pass
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.stdout.fnmatch_lines(["*has the marker mayfly_power_loss and no mayfly*"])


def test_says_which_program_is_missing(monkeypatch):
    monkeypatch.setenv("MAYFLY", "/nowhere/mayfly")
    try:
        mayfly_fs.find_binary()
    except mayfly_fs.MayflyError as error:
        assert str(error) == "MAYFLY is /nowhere/mayfly, which is no program: give the path of mayfly"
    else:
        raise AssertionError("found it")


def test_says_what_a_user_without_rights_does(pytester, monkeypatch):
    """Where this process is in a namespace of its own, or root, a test without either is one that gives up both."""
    pytester.makepyfile(
        """
        import mayfly_fs.namespace as space

        def test_refusal(monkeypatch):
            monkeypatch.setattr(space, "_may_administrate", lambda: False)
            assert "set MAYFLY_TESTING_NAMESPACE=1" in space.problem()
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
