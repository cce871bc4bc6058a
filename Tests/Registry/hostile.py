#!/usr/bin/env python3
"""Makes folders of the OCI image layout that lie, of one that does not.

    Tests/Registry/hostile.py LAYOUT TAG OUTPUT

Prints a line for each: its folder, a tab, and what must be said of it. All digests are right but where they are what
the lie is about.
"""

import copy
import hashlib
import json
import os
import shutil
import subprocess
import sys

layout, tag, output = sys.argv[1:4]
good_index = json.load(open(f"{layout}/index.json"))
entry = next(m for m in good_index["manifests"] if m.get("annotations", {}).get("org.opencontainers.image.ref.name") == tag)


def path(folder, digest):
    return f"{folder}/blobs/sha256/{digest.split(':')[1]}"


good_manifest = json.load(open(path(layout, entry["digest"])))
good_config = json.load(open(path(layout, good_manifest["config"]["digest"])))


def put(folder, content):
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    with open(path(folder, digest), "wb") as file:
        file.write(content)
    return digest, len(content)


def zstd(content, *options):
    return subprocess.run(["zstd", "-q", "-c", *options], input=content, stdout=subprocess.PIPE, check=True).stdout


count = 0


def make(said, change):
    """Writes a layout in which `change` has changed the manifest and the config."""
    global count
    count += 1
    folder = f"{output}/h{count}"
    shutil.copytree(layout, folder)
    manifest, config, index = copy.deepcopy(good_manifest), copy.deepcopy(good_config), copy.deepcopy(good_index)
    index["manifests"] = [copy.deepcopy(entry)]
    change(folder, manifest, config, index)
    if manifest.pop("fixed config", None) is None:
        digest, size = put(folder, json.dumps(config).encode())
        manifest["config"]["digest"], manifest["config"]["size"] = digest, size
    if index.pop("fixed manifest", None) is None:
        digest, size = put(folder, json.dumps(manifest).encode())
        index["manifests"][0]["digest"], index["manifests"][0]["size"] = digest, size
    with open(f"{folder}/index.json", "w") as file:
        json.dump(index, file)
    print(f"{folder}\t{said}")


def blob(number, content, **declared):
    """The blob of a run is other bytes, with a right digest."""

    def change(folder, manifest, config, index):
        digest, size = put(folder, content)
        manifest["layers"][number]["digest"], manifest["layers"][number]["size"] = digest, size
        for name, value in declared.items():
            config["files"][0]["runs"][number][name] = value

    return change


def setting(*keys, value):
    """A value of the manifest or of the config is another."""

    def change(folder, manifest, config, index):
        place = {"manifest": manifest, "config": config, "index": index}[keys[0]]
        for key in keys[1:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


first = open(path(layout, good_manifest["layers"][0]["digest"]), "rb").read()
first_bytes = subprocess.run(["zstd", "-d", "-q", "-c"], input=first, stdout=subprocess.PIPE, check=True).stdout
base = good_config["files"][0]["digest"]

make("has a digest of sha512", setting("manifest", "layers", 0, "digest", value="sha512:" + "0" * 128))
make("no SHA-256 digest", setting("manifest", "layers", 0, "digest", value="sha256:../../../../etc/passwd"))
make("has a digest of sha512", setting("config", "files", 0, "runs", 0, "digest", value="sha512:" + "0" * 128))
make("does not know", setting("manifest", "layers", 0, "mediaType", value="application/vnd.oci.image.layer.v1.tar+zstd"))
make("is no image of mayfly", setting("manifest", "config", "mediaType", value="application/vnd.oci.image.config.v1+json"))
make("is no image of mayfly", setting("manifest", "artifactType", value="application/vnd.example.other"))
make("has no manifest that mayfly can read", setting("manifest", "schemaVersion", value=1))
make("has no manifest that mayfly can read", setting("manifest", "layers", 0, "size", value=-1))
make("blobs, and mayfly takes", setting("manifest", "layers", value=[]))
make("not an image of mayfly", setting("index", "manifests", 0, "mediaType", value="application/vnd.oci.image.index.v1+json"))
make("has format 2", setting("config", "format", value=2))
make("is not on the one before it", setting("config", "files", 1, "base", value=good_config["files"][1]["digest"]))
make("is not on the one before it", setting("config", "files", 0, "base", value=good_config["files"][1]["digest"]))
make("is there twice", lambda f, m, c, i: c["files"].__setitem__(1, {**c["files"][1], "digest": base}))
make("it has 70 files", lambda f, m, c, i: c.__setitem__("files", c["files"] * 35))
make("cannot be in file", setting("config", "files", 0, "runs", 0, "bytes", value=1 << 40))
make("cannot be in file", setting("config", "files", 0, "runs", 0, "offset", value=(1 << 64) - 1))
make("cannot be in file", setting("config", "files", 0, "runs", 0, "bytes", value=0))
make("file 0 has 281474976710656 bytes", setting("config", "files", 0, "bytes", value=1 << 48))
make("has no first page", setting("config", "files", 0, "runs", 0, "offset", value=4096) if len(good_config["files"][0]["runs"]) == 1 else lambda f, m, c, i: (c["files"][0]["runs"].pop(0), m["layers"].pop(0)))
make("more blobs than it has runs", lambda f, m, c, i: m["layers"].append(m["layers"][-1]))
make("more runs than the manifest has blobs", lambda f, m, c, i: m["layers"].pop())
make("bytes for", setting("manifest", "layers", 0, "size", value=1 << 30))
make("should have", setting("manifest", "layers", 0, "size", value=len(first) + 1))
make("more than the .* bytes that it should have", blob(0, zstd(bytes(1 << 28))))
make("more than the .* bytes that it should have", blob(0, zstd(first_bytes + b"more")))
make("holds other bytes", blob(0, zstd(bytes([first_bytes[0] ^ 1]) + first_bytes[1:])))
make("behind its end", blob(0, first + b"more"))
make("behind its end", blob(0, first + first))
make("of the .* bytes that it should have", blob(0, first[: len(first) // 2]))
make("is damaged", blob(0, b"this is no frame"))
make("is damaged", blob(0, b""))
make("is damaged", blob(0, zstd(bytes(1 << 27), "--ultra", "--long=27", "-1")))
make("what it has is another", setting("config", "files", 0, "digest", value="sha256:" + "7" * 64) if len(good_config["files"]) == 1 else lambda f, m, c, i: (c["files"][0].__setitem__("digest", "sha256:" + "7" * 64), c["files"][1].__setitem__("base", "sha256:" + "7" * 64)))
# A byte of a file is another, and all digests are right: only the image's own checksum knows.
largest = max(range(len(good_config["files"][0]["runs"])), key=lambda run: good_manifest["layers"][run]["size"])
changed = bytearray(
    subprocess.run(
        ["zstd", "-d", "-q", "-c", path(layout, good_manifest["layers"][largest]["digest"])],
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
)
changed[len(changed) // 2] ^= 1
make(
    "is damaged\\|truncated\\|is not what",
    blob(largest, zstd(bytes(changed)), digest="sha256:" + hashlib.sha256(changed).hexdigest()),
)


def config_too_large(folder, manifest, config, index):
    manifest["config"]["size"] = 1 << 40
    manifest["fixed config"] = True


make("more than mayfly takes", config_too_large)


def config_is_none(folder, manifest, config, index):
    digest, size = put(folder, b"[" * 100000)
    manifest["config"]["digest"], manifest["config"]["size"] = digest, size
    manifest["fixed config"] = True


make("it cannot be read", config_is_none)


def manifest_changed(folder, manifest, config, index):
    index["fixed manifest"] = True
    name = path(folder, entry["digest"])
    content = open(name, "rb").read()
    os.remove(name)
    with open(name, "wb") as file:
        file.write(content.replace(b"run", b"rum", 1))


make("bytes have another digest", manifest_changed)


def blob_is_gone(folder, manifest, config, index):
    os.remove(path(folder, manifest["layers"][0]["digest"]))


make("is damaged", blob_is_gone)


def blob_is_a_fifo(folder, manifest, config, index):
    name = path(folder, manifest["layers"][0]["digest"])
    os.remove(name)
    os.mkfifo(name)


make("should have", blob_is_a_fifo)
