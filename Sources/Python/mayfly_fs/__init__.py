"""A file system in memory for tests: snapshots, rollback, forks, faults and power losses.

`mount()` makes one that ends with this process, `Mount(path)` finds one that is there already. The pytest
plugin of this package (`mayfly_fs.pytest_plugin`) gives each test one.
"""

from .binary import command, find_binary
from .errors import MayflyError, RequestError
from .mount import Mount, build_image, mount
from .names import name_bytes, name_text

__all__ = [
    "MayflyError",
    "Mount",
    "RequestError",
    "build_image",
    "command",
    "find_binary",
    "mount",
    "name_bytes",
    "name_text",
]
__version__ = "0.3.0"
