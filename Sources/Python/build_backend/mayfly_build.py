"""Builds the wheel and the source distribution of mayfly-fs (PEP 517), with nothing but Python.

Where $MAYFLY_BINARY names the command `mayfly`, the wheel carries it as a script and is one of this machine's
kind (`linux_x86_64`); otherwise the wheel is pure and the package uses the command that is installed.
"""

import base64
import hashlib
import io
import os
import re
import sysconfig
import tarfile
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PACKAGE = "mayfly_fs"


def _project():
    """The few lines of pyproject.toml that the metadata needs; Python before 3.11 has no reader of TOML."""
    with open(os.path.join(ROOT, "pyproject.toml"), encoding="utf-8") as file:
        text = file.read()
    found = {}
    for name in ["name", "version", "description", "requires-python"]:
        found[name] = re.search(r'^%s = "(.*)"$' % name, text, re.MULTILINE).group(1)
    found["classifiers"] = re.findall(r'^    "(.* :: .*)",$', text, re.MULTILINE)
    found["plugin"] = re.search(r"^\[project.entry-points.pytest11\]\n(.*)$", text, re.MULTILINE).group(1)
    return found


def _metadata(project):
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        readme = file.read()
    lines = ["Metadata-Version: 2.1", "Name: " + project["name"], "Version: " + project["version"],
             "Summary: " + project["description"], "Requires-Python: " + project["requires-python"]]
    lines += ["Classifier: " + name for name in project["classifiers"]]
    return "\n".join(lines + ["Description-Content-Type: text/markdown", "", readme])


def _binary():
    path = os.environ.get("MAYFLY_BINARY")
    if path and not os.access(path, os.X_OK):
        raise SystemExit("MAYFLY_BINARY is %s, which is no program: give the path of a built mayfly" % path)
    return path


def _tag(binary):
    if not binary:
        return "py3-none-any"
    return "py3-none-" + sysconfig.get_platform().replace("-", "_").replace(".", "_")


def _wheel_text(tag):
    pure = "true" if tag.endswith("-any") else "false"
    return "Wheel-Version: 1.0\nGenerator: mayfly_build\nRoot-Is-Purelib: %s\nTag: %s\n" % (pure, tag)


def _files(folder):
    """The paths of a folder's files from ROOT, without what Python leaves there."""
    for base, folders, names in os.walk(os.path.join(ROOT, folder)):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__pycache__")))
        for name in sorted(names):
            if not name.endswith(".pyc"):
                yield os.path.relpath(os.path.join(base, name), ROOT)


def _stem(project):
    return "%s-%s" % (PACKAGE, project["version"])


def _write_wheel(folder, modules):
    """modules: pairs of a name in the wheel and its bytes."""
    project, binary = _project(), _binary()
    tag, stem = _tag(binary), _stem(project)
    info = stem + ".dist-info/"
    members = [(name, content, 0o644) for name, content in modules]
    if binary:
        with open(binary, "rb") as file:
            members.append((stem + ".data/scripts/mayfly", file.read(), 0o755))
    members.append((info + "METADATA", _metadata(project).encode(), 0o644))
    members.append((info + "WHEEL", _wheel_text(tag).encode(), 0o644))
    members.append((info + "entry_points.txt", ("[pytest11]\n%s\n" % project["plugin"].replace('"', "")).encode(), 0o644))
    record = ""
    for name, content, _ in members:
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        record += "%s,sha256=%s,%d\n" % (name, digest, len(content))
    members.append((info + "RECORD", (record + info + "RECORD,,\n").encode(), 0o644))
    wheel = "%s-%s.whl" % (stem, tag)
    with zipfile.ZipFile(os.path.join(folder, wheel), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in members:
            # The same tree makes the same bytes.
            member = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            member.external_attr = (0o100000 | mode) << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, content)
    return wheel


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    modules = []
    for path in _files(PACKAGE):
        with open(os.path.join(ROOT, path), "rb") as file:
            modules.append((path, file.read()))
    return _write_wheel(wheel_directory, modules)


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    return _write_wheel(wheel_directory, [(PACKAGE + ".pth", (ROOT + "\n").encode())])


def build_sdist(sdist_directory, config_settings=None):
    project = _project()
    stem = _stem(project)
    paths = ["pyproject.toml", "README.md"]
    for folder in [PACKAGE, "build_backend", "tests"]:
        paths += _files(folder)
    with tarfile.open(os.path.join(sdist_directory, stem + ".tar.gz"), "w:gz") as archive:
        for path in paths:
            archive.add(os.path.join(ROOT, path), stem + "/" + path)
        content = _metadata(project).encode()
        member = tarfile.TarInfo(stem + "/PKG-INFO")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return stem + ".tar.gz"
