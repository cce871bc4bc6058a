#!/usr/bin/env python3
"""Checks the documentation of the libraries' public API, and builds it with DocC.

    Docs/api.py [--build .build/debug] [--output DIR]

After `swift build --build-tests`. Says which public symbols have no documentation, and what DocC warns of;
the exit status is 1 then. --output keeps what DocC has made: a folder for each library.
"""

import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def symbols(module, build, folder):
    """Writes the symbol graphs of a built module, and returns the names without documentation."""
    # C modules of which the binary modules tell, some with maps that the build has made.
    maps = glob.glob(ROOT + "/Sources/*/include/module.modulemap")
    maps += glob.glob(ROOT + "/Sources/*/module.modulemap")
    maps += glob.glob(ROOT + "/.build/checkouts/*/Sources/**/module.modulemap", recursive=True)
    words = ["swift", "symbolgraph-extract", "-module-name", module, "-I", build + "/Modules",
             "-minimum-access-level", "public", "-emit-extension-block-symbols", "-skip-synthesized-members", "-output-dir", folder,
             "-target", os.uname().machine + "-unknown-linux-gnu"]
    for name in maps:
        words += ["-I", os.path.dirname(name)]
    for name in glob.glob(build + "/*.build/module.modulemap"):
        words += ["-Xcc", "-fmodule-map-file=" + name]
    subprocess.run(words, check=True)
    bare = []
    for path in glob.glob(folder + "/*.json"):
        with open(path) as file:
            for symbol in json.load(file)["symbols"]:
                name = symbol["pathComponents"][-1]
                # `$name` is made by a property wrapper, and documented with what it wraps.
                if "docComment" not in symbol and not name.startswith("$"):
                    bare.append(".".join(symbol["pathComponents"]))
    return bare


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=ROOT + "/.build/debug")
    parser.add_argument("--output")
    options = parser.parse_args()
    status = 0
    for module in ["Mayfly", "MayflyTesting"]:
        with tempfile.TemporaryDirectory() as folder:
            for name in symbols(module, options.build, folder):
                print("%s has no documentation" % name)
                status = 1
            made = os.path.join(options.output or folder, module)
            os.makedirs(made, exist_ok=True)
            status |= subprocess.run(
                ["docc", "convert", "%s/Sources/%s/%s.docc" % (ROOT, module, module),
                 "--additional-symbol-graph-dir", folder, "--output-path", made,
                 "--fallback-display-name", module, "--fallback-bundle-identifier", module,
                 "--warnings-as-errors"]).returncode
    sys.exit(1 if status else 0)


if __name__ == "__main__":
    main()
