"""The pytest plugin: a file system in memory for each test, a fork of one tree.

Fixtures: `mayfly` (a mount for the test), `mayfly_tree` and `mayfly_options` (to override), `mayfly_image` (the image of
the tree) and `mayfly_factory` (mounts and images for fixtures of a wider scope). Markers: see `MARKERS`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from types import FunctionType
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import pytest

from . import namespace
from .binary import Word
from .errors import MayflyError, RequestError
from .mount import Mount, StrPath, build_image, mount

Tree = Union[None, StrPath, Callable[[Path], Any]]

MARKERS = [
    "mayfly_fault(operation, path=None, **rule): a fault that is in force for the whole test, as Mount.fault() takes it; "
    "may be repeated",
    "mayfly_snapshot(name): takes a snapshot of this name before the test begins; may be repeated",
    "mayfly_power_loss(seeds=range(4)): runs the test once for each seed, on a mount with durability; "
    "Mount.crash() loses by that seed",
]

# Before any thread: the controller enters, and its workers are its children.
namespace.enter_if_asked()


def pytest_configure(config: pytest.Config) -> None:
    for line in MARKERS:
        config.addinivalue_line("markers", line)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marker = metafunc.definition.get_closest_marker("mayfly_power_loss")
    if marker is None:
        return
    if "mayfly" not in metafunc.fixturenames:
        pytest.fail(
            "%s has the marker mayfly_power_loss and no mayfly: add the fixture to its arguments"
            % metafunc.definition.name,
            pytrace=False,
        )
    seeds = list(marker.kwargs.get("seeds", marker.args[0] if marker.args else range(4)))
    metafunc.parametrize(
        "_mayfly_seed", seeds, indirect=True, ids=["seed%d" % seed for seed in seeds]
    )


class TestMount(Mount):
    """The mount of a test. `seed` is the one of the marker mayfly_power_loss, and None without it."""

    __test__ = False
    seed: Optional[int] = None

    def crash(self, seed: Optional[int] = None) -> Any:
        """As Mount.crash(); without a seed by the one of the marker."""
        return super().crash(self.seed if seed is None else seed)


class Factory:
    """Images and mounts that live as long as the session, in the process that asks for them."""

    def __init__(self, folder: Path, shared: Path) -> None:
        self._folder = folder
        self._shared = shared
        self._images: Dict[Any, Tuple[Tree, Path]] = {}
        self._origins: Dict[Any, Mount] = {}
        self._mounts: List[Mount] = []
        self._count = 0

    def image(self, tree: Tree) -> Optional[Path]:
        """The image of a tree, built once.

        `tree` is a function that fills the directory that it is given, or the path of an image, an archive or a
        directory, which is taken as it is. A function without captured variables is called once for all
        workers of pytest-xdist, others once in each.
        """
        if tree is None or isinstance(tree, (str, os.PathLike)):
            return None if tree is None else Path(tree)
        key = id(tree)
        if key not in self._images:
            # The function is kept, so that its id stays its own.
            self._images[key] = (tree, self._build(tree))
        return self._images[key][1]

    def _build(self, tree: Callable[[Path], Any]) -> Path:
        identity = _identity(tree)
        if identity is None:
            self._count += 1
            return build_image(tree, self._folder / ("tree-%d.mayfly" % self._count))
        image = self._shared / ("mayfly-%s.mayfly" % identity)
        with open(self._shared / ("mayfly-%s.lock" % identity), "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not image.exists():
                made = image.with_suffix(".new")
                build_image(tree, made)
                made.rename(image)
        return image

    def mount(
        self,
        tree: Tree = None,
        *,
        faults: bool = False,
        durability: Optional[str] = None,
        options: Sequence[Word] = (),
    ) -> Mount:
        """A mount of its own for a fixture of a wider scope; it goes with `close()` or with the session."""
        made = self.fork(Mount, self.folder(), tree, faults, durability, options)
        self._mounts.append(made)
        return made

    def folder(self) -> Path:
        """A new directory to mount on."""
        self._count += 1
        folder = self._folder / ("mount-%d" % self._count)
        folder.mkdir()
        return folder

    def fork(
        self,
        kind: Callable[[StrPath], Mount],
        folder: StrPath,
        tree: Tree,
        faults: bool,
        durability: Optional[str],
        options: Sequence[Word],
    ) -> Mount:
        image = self.image(tree)
        key = (image, faults, durability, tuple(str(word) for word in options))
        origin = self._origins.get(key)
        if origin is None:
            origin = mount(
                self.folder(), from_image=image, faults=faults, durability=durability, options=options
            )
            self._origins[key] = origin
        origin.control.call("POST", "/v1/fork", {"path": _text(folder)})
        return kind(folder)

    def close(self) -> None:
        for made in self._mounts + list(self._origins.values()):
            made.close()


def _text(path: StrPath) -> str:
    from .names import name_text

    return name_text(os.path.abspath(path))


def _identity(tree: Callable[[Path], Any]) -> Optional[str]:
    """What a function has in common in all workers; None where it may differ from worker to worker."""
    if not isinstance(tree, FunctionType) or tree.__closure__ or tree.__defaults__ or tree.__kwdefaults__:
        return None
    code = tree.__code__
    words = [tree.__module__, tree.__qualname__, code.co_filename, str(code.co_firstlineno)]
    return hashlib.sha256("\0".join(words).encode() + code.co_code).hexdigest()[:16]


@pytest.fixture(scope="session")
def mayfly_tree() -> Tree:
    """What each test starts with: override it to return a function that fills the directory that it is called
    with, or the path of an image, an archive or a directory. The default is an empty tree."""
    return None


@pytest.fixture(scope="session")
def mayfly_options() -> Sequence[Word]:
    """More options of `mayfly mount` for the tests' mounts: override it, for example with ["--size", "64m"]."""
    return []


@pytest.fixture(scope="session")
def mayfly_factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Factory]:
    """Images and mounts for fixtures of a wider scope than one test."""
    why_not = namespace.problem()
    if why_not:
        pytest.fail(why_not, pytrace=False)
    folder = tmp_path_factory.mktemp("mayfly")
    # The base folders of xdist's workers lie in one of the run.
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    factory = Factory(folder, shared)
    yield factory
    factory.close()


# Not of the session: pytest would keep the image of the first `mayfly_tree` for modules that override it.
@pytest.fixture
def mayfly_image(mayfly_factory: Factory, mayfly_tree: Tree) -> Optional[Path]:
    """The image of the tree; None where the tree is empty."""
    return mayfly_factory.image(mayfly_tree)


@pytest.fixture
def _mayfly_seed(request: pytest.FixtureRequest) -> Optional[int]:
    return getattr(request, "param", None)


@pytest.fixture
def mayfly(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    mayfly_factory: Factory,
    mayfly_tree: Tree,
    mayfly_options: Sequence[Word],
    _mayfly_seed: Optional[int],
) -> Iterator[TestMount]:
    """A mount that the test has to itself, as the markers of the test want it."""
    folder = tmp_path / "mayfly"
    folder.mkdir()
    faults = list(request.node.iter_markers("mayfly_fault"))
    loses = request.node.get_closest_marker("mayfly_power_loss") is not None
    try:
        made = mayfly_factory.fork(
            TestMount,
            folder,
            mayfly_tree,
            faults=bool(faults),
            durability="fsync" if loses else None,
            options=mayfly_options,
        )
    except MayflyError as error:
        pytest.fail("mayfly: %s" % error, pytrace=False)
    assert isinstance(made, TestMount)
    made.seed = _mayfly_seed
    try:
        for marker in reversed(list(request.node.iter_markers("mayfly_snapshot"))):
            made.snapshot(*marker.args, **marker.kwargs)
        # The nearest marker is the first of the list, and the first rule counts.
        for marker in faults:
            made.fault(*marker.args, **marker.kwargs)
    except (RequestError, TypeError) as error:
        made.close()
        pytest.fail("the markers of %s: %s" % (request.node.name, error), pytrace=False)
    yield made
    made.close()
