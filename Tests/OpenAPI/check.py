#!/usr/bin/env python3
"""Compares Docs/openapi.yaml with what a server answers.

    Tests/OpenAPI/check.py MAYFLY FOLDER                       every operation, every field, and what is refused
    Tests/OpenAPI/check.py MAYFLY FOLDER --fuzz SCHEMATHESIS   requests that schemathesis makes of the description

FOLDER is empty; mounts are made in it. Takes python3-yaml and python3-jsonschema.
"""

import http.client
import json
import os
import socket
import socketserver
import subprocess
import sys
import threading

import jsonschema
import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
with open(ROOT + "/Docs/openapi.yaml") as file:
    DESCRIPTION = yaml.safe_load(file)
METHODS = ["get", "post"]
problems = []


def expect(condition, *words):
    if not condition:
        problems.append(" ".join(str(word) for word in words))


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("mayfly", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Server:
    def __init__(self, mayfly, directory, *options):
        os.makedirs(directory, exist_ok=True)
        words = [mayfly, "mount", directory, "--json", "--size", "16m", "--until-pid", str(os.getpid()), *options]
        told = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)
        self.path, self.directory = told["socket"], directory

    def ask(self, method, route, body=None):
        """The status, the type and the whole body of an answer."""
        connection = Connection(self.path)
        try:
            if body is not None and not isinstance(body, (bytes, str)):
                body = json.dumps(body)
            connection.request(method.upper(), route, body)
            answer = connection.getresponse()
            return answer.status, answer.getheader("Content-Type"), answer.read()
        finally:
            connection.close()


def operations():
    for route, item in DESCRIPTION["paths"].items():
        for method in METHODS:
            if method in item:
                yield method, route, item[method]


def described(response):
    if "$ref" in response:
        return DESCRIPTION["components"]["responses"][response["$ref"].split("/")[-1]]
    return response


def validate(method, route, status, kind, body):
    """Whether an answer is one that the description has."""
    name = "%s %s: %d" % (method, route, status)
    responses = DESCRIPTION["paths"][route][method]["responses"]
    if str(status) not in responses:
        return expect(False, name, "is not described:", body[:300])
    content = described(responses[str(status)])["content"]
    base = kind.split(";")[0]
    if base not in content:
        return expect(False, name, "has the type", kind)
    schema = dict(content[base]["schema"], components=DESCRIPTION["components"])
    if base == "application/x-ndjson":
        values = [json.loads(line) for line in body.splitlines() if line.strip()]
    elif base == "application/json":
        values = [json.loads(body)]
    else:
        values = [body.decode()]
    for value in values:
        for error in jsonschema.Draft202012Validator(schema).iter_errors(value):
            expect(False, name, "/".join(str(part) for part in error.path), error.message[:300])


def fields(operation):
    """The schema of each field of a request."""
    content = operation.get("requestBody", {}).get("content", {})
    if not content:
        return {}
    schema = content["application/json"]["schema"]
    return DESCRIPTION["components"]["schemas"][schema["$ref"].split("/")[-1]].get("properties", {})


def kinds(schema):
    if "$ref" in schema:
        schema = DESCRIPTION["components"]["schemas"][schema["$ref"].split("/")[-1]]
    return "texts" if schema.get("items") == {"type": "string"} else schema["type"]


WRONG = {
    "string": [1, True, None, [], {}],
    "boolean": [1, "true", None, [], {}],
    "integer": [-1, 1.5, "1", True, None, [], {}, 1 << 64],
    "number": ["0.5", True, None, [], {}],
    "array": [1, "1", None, {}, ["1"], [-1], [None]],
    "texts": [1, "1", None, {}, [1], [None], [["1"]]],
}


def check_description():
    """Every field has a description, and every reference leads somewhere."""
    for name, schema in DESCRIPTION["components"]["schemas"].items():
        if schema.get("type") == "object":
            expect(schema.get("additionalProperties") is False, name, "lets in unknown fields")
        for field, value in schema.get("properties", {}).items():
            expect(value.get("description"), name, field, "has no description")
    for method, route, operation in operations():
        expect(operation.get("summary") and operation.get("operationId"), method, route, "has no summary")
        expect("400" in operation["responses"], method, route, "does not have 400")


def check_refusals(server):
    """What can never be right is 400 with the field, whatever the route."""
    for method, route, operation in operations():
        known = fields(operation)
        if method == "post":
            status, kind, body = server.ask(method, route, {"nosuchfield": 1})
            validate(method, route, status, kind, body)
            answer = json.loads(body)
            expect(status == 400 and answer.get("field") == "nosuchfield", method, route, "took an unknown field")
            expect(answer.get("known") == list(known), method, route, "knows", answer.get("known"), "and not", list(known))
            for wrong in ["{", "[]", "1", '"x"', "null", '{"a":1,"a":2}', b"\xff{}", "{}x"]:
                status, kind, body = server.ask(method, route, wrong)
                validate(method, route, status, kind, body)
                expect(status == 400, method, route, "took the body", wrong, status)
        if route != "/metrics":
            status, kind, body = server.ask(method, route + "?a=b")
            validate(method, route, status, kind, body)
            expect(status == 400, method, route, "took a query")
        for field, schema in known.items():
            for value in WRONG[kinds(schema)]:
                status, kind, body = server.ask(method, route, {field: value})
                validate(method, route, status, kind, body)
                expect(status == 400, method, route, field, "took", repr(value), status)
                expect(json.loads(body).get("field") == field, method, route, field, repr(value), "names another field", body)
        item = DESCRIPTION["paths"][route]
        for other in ["get", "post", "put", "delete", "patch"]:
            if other not in item:
                status, _, body = server.ask(other, route)
                expect(status == 405 and json.loads(body)["error"], other, route, "is", status)
    status, _, body = server.ask("get", "/v1/nothing")
    expect(status == 404 and json.loads(body)["error"], "a path that there is not is", status)


def check_answers(server, folder):
    """Each operation once as it is meant, and once where it cannot be done."""
    done = set()

    def good(method, route, body=None, status=200):
        answered, kind, content = server.ask(method, route, body)
        expect(answered == status, method, route, body, "is", answered, content[:300])
        validate(method, route, answered, kind, content)
        done.add((method, route))
        return json.loads(content) if "json" in kind and "nd" not in kind else content

    inside = server.directory
    os.makedirs(inside + "/d")
    with open(inside + "/d/file", "w") as file:
        file.write("x" * 100000)
    try:
        os.getxattr(inside + "/d/file", "user.none")
    except OSError:
        pass
    for _ in range(200):
        os.stat(inside + "/d/file")
        os.listdir(inside + "/d")
    good("post", "/v1/copy", {"from": "d", "to": "copy", "exclude": ["x*"], "keepOld": True})
    good("post", "/v1/copy", {"from": "nothing", "to": "copy"}, 409)
    good("post", "/v1/copy", {"folder": os.path.dirname(os.path.abspath(__file__)), "to": "tests"})
    subprocess.run(["tar", "-C", inside, "-cf", folder + "/tree.tar", "tests"], check=True)
    good("post", "/v1/unpack", {"archive": folder + "/tree.tar", "to": "", "stripComponents": 1})
    good("post", "/v1/unpack", {"archive": folder + "/none.tar", "to": "x"}, 409)
    for name in ["copy", "tests", "check.py"]:
        good("post", "/v1/remove", {"path": name})
    good("post", "/v1/remove", {"path": "copy"}, 409)
    good("post", "/v1/sync")
    good("get", "/v1/snapshots")
    good("post", "/v1/diff", {}, 409)
    good("post", "/v1/snapshots", {"name": "one"})
    good("post", "/v1/snapshots", {"name": "one"}, 409)
    good("post", "/v1/snapshots", {"name": "one", "replace": True})
    good("post", "/v1/snapshots")
    good("get", "/v1/snapshots")
    os.unlink(inside + "/d/file")
    os.mkdir(inside + "/e")
    good("post", "/v1/diff", {"name": "one"})
    good("post", "/v1/fork", {"path": folder + "/nowhere"}, 409)
    os.makedirs(folder + "/fork")
    good("post", "/v1/fork", {"path": folder + "/fork"})
    subprocess.run(["umount", folder + "/fork"], check=True)
    good("post", "/v1/save", {"path": folder + "/image", "umask": 0o77})
    good("post", "/v1/save", {"path": folder + "/layer", "base": folder + "/image"})
    good("post", "/v1/save", {"path": folder + "/nowhere/image"}, 409)
    good("post", "/v1/rollback", {"name": "one", "force": True})
    good("post", "/v1/rollback", {"name": "never"}, 409)
    good("post", "/v1/snapshots/remove", {"name": "one"})
    good("post", "/v1/snapshots/remove", {"name": "one"}, 409)
    rule = {"operation": "write", "path": "d/*", "errno": "EIO", "delayNanoseconds": 1000, "short": True,
            "fullAtBytes": 1 << 20, "probability": 0.5, "seed": 3}
    number = good("post", "/v1/faults", rule)["number"]
    good("post", "/v1/faults", {"operation": "write", "errno": "EIO", "nth": 1})
    good("post", "/v1/faults", {"operation": "fsync", "errno": "EIO", "every": 2, "after": 1, "times": 3})
    good("post", "/v1/faults", {"operation": "fsync", "dropUnsynced": True, "errno": "EIO"})
    good("post", "/v1/faults", {"operation": "read", "flipBits": 1, "seed": 1})
    good("post", "/v1/faults", {"operation": "unlink", "path": "never", "crash": "before"})
    good("get", "/v1/faults")
    good("post", "/v1/faults/clear", {"numbers": [number]})
    good("post", "/v1/faults/clear", {"numbers": [number]}, 409)
    good("post", "/v1/faults/clear")
    with open(inside + "/lost", "w") as file:
        file.write("x")
    good("get", "/v1/unsynced")
    good("post", "/v1/crash", {"seed": 0})
    good("post", "/v1/limits", {"sizeBytes": 32 << 20, "inodes": 5000})
    good("post", "/v1/limits", {"sizeBytes": 4096}, 409)
    good("post", "/v1/limits")
    good("post", "/v1/check")
    good("get", "/v1/hot")
    good("get", "/v1/mount")
    good("get", "/metrics")
    check_events(server)
    done.add(("get", "/v1/events"))
    with open(inside + "/open", "w"):
        good("post", "/v1/unmount", {}, 409)
    good("post", "/v1/unmount", {"lazy": False, "force": False})
    missing = {(method, route) for method, route, _ in operations()} - done
    expect(not missing, "these were not asked:", missing)


def check_events(server):
    """Events of everything that the control plane does; the server's end is in EventTests."""
    connection = Connection(server.path)
    connection.request("GET", "/v1/events")
    answer = connection.getresponse()
    lines = [answer.readline()]
    for route, body in [("/v1/snapshots", {"name": "heard"}), ("/v1/rollback", {"name": "heard"}),
                        ("/v1/limits", {"inodes": 6000}), ("/v1/crash", {"seed": 1})]:
        server.ask("post", route, body)
        lines.append(answer.readline())
    connection.close()
    found = [json.loads(line)["event"] for line in lines]
    expect(found == ["mounted", "snapshot", "rollback", "resized", "crash"], "the events are", found)
    validate("get", "/v1/events", answer.status, answer.getheader("Content-Type"), b"".join(lines))


def check_state(mayfly, folder):
    """What a mount was not made for is 409."""
    plain = Server(mayfly, folder + "/plain")
    for route, body in [("/v1/crash", {}), ("/v1/sync", {}), ("/v1/rollback", {}),
                        ("/v1/faults", {"operation": "fsync", "errno": "EIO"})]:
        status, kind, content = plain.ask("post", route, body)
        validate("post", route, status, kind, content)
        expect(status == 409, route, body, "is", status, content)
    plain.ask("post", "/v1/unmount")


class Forwarder(socketserver.ThreadingTCPServer):
    """HTTP on the loopback for a client that knows no Unix sockets."""

    daemon_threads = True
    allow_reuse_address = True


def fuzz(server, schemathesis):
    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            other = socket.socket(socket.AF_UNIX)
            other.connect(server.path)

            def copy(source, target):
                try:
                    while True:
                        piece = source.recv(65536)
                        if not piece:
                            break
                        target.sendall(piece)
                    target.shutdown(socket.SHUT_WR)
                except OSError:
                    pass

            thread = threading.Thread(target=copy, args=(self.request, other), daemon=True)
            thread.start()
            copy(other, self.request)

    forwarder = Forwarder(("127.0.0.1", 0), Handler)
    threading.Thread(target=forwarder.serve_forever, daemon=True).start()
    words = [
        schemathesis, "run", ROOT + "/Docs/openapi.yaml", "--url", "http://127.0.0.1:%d" % forwarder.server_address[1],
        "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,"
        "response_schema_conformance,negative_data_rejection",
        # These end the mount or never end, or would write and mount wherever a made-up path leads.
        "--exclude-path", "/v1/unmount", "--exclude-path", "/v1/events",
        "--exclude-path", "/v1/save", "--exclude-path", "/v1/fork",
        "--max-examples", "40", "--seed", "1", "--phases", "examples,coverage,fuzzing",
    ]
    status = subprocess.run(words, cwd=server.directory + "/..").returncode
    server.ask("post", "/v1/unmount", {"force": True})
    sys.exit(status)


def main():
    mayfly, folder = sys.argv[1:3]
    server = Server(mayfly, folder + "/m", "--faults", "--durability", "fsync")
    if sys.argv[3:4] == ["--fuzz"]:
        fuzz(server, sys.argv[4])
    check_description()
    check_refusals(server)
    check_answers(server, folder)
    check_state(mayfly, folder)
    for problem in problems:
        print(problem)
    print("%d operations, %d problems" % (len(list(operations())), len(problems)))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
