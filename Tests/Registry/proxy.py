#!/usr/bin/env python3
"""A registry that goes wrong: stands before a real one and does what the file `mode` says, read at each request.

    Tests/Registry/proxy.py UPSTREAM_PORT FOLDER

Writes the port that it has to FOLDER/port, and a line for each request to FOLDER/log: method, path, Range, whether
there was an Authorization, status, and bytes of bodies in and out.

Modes; N is how often, and without it always:
    none             forward
    break [N]        close the connection in the middle of a blob
    short [N]        end a blob early, as HTTP/1.0 ends bodies
    busy STATUS [N]  answer STATUS with Retry-After: 1
    later            answer 503 with Retry-After: 3600
    flip [N]         change a byte of a blob
    long             send more of a blob than there is
    drip             send a blob without an end
    stall [N]        send half of a blob and then nothing
    norange          know no ranges
    badrange         send another range than was asked for
    manifest         change a byte of a manifest
    redirect         send who asks for a blob to another port
    plain            send who asks for a blob to where nothing is encrypted
    token            want a token from /token, which user and secret get
    gone             lack all blobs
    nonsense         answer with what is no HTTP
    refuse [N]       close connections at once
    rate KIB         send blobs at so many KiB a second, all together
"""

import base64
import http.client
import http.server
import json
import os
import socket
import sys
import threading
import time

upstream, folder = int(sys.argv[1]), sys.argv[2]
lock = threading.Lock()
counts = {}
pace = threading.Lock()
free = 0.0


def wait_turn(count, kib):
    """Sleeps until so many bytes may be sent at the rate that all connections share."""
    global free
    with pace:
        begin = max(time.monotonic(), free)
        free = begin + count / (kib * 1024)
    time.sleep(max(0, free - time.monotonic()))


def mode():
    try:
        with open(os.path.join(folder, "mode")) as file:
            return file.read().split() or ["none"]
    except FileNotFoundError:
        return ["none"]


def is_due(words, at=1):
    """Whether what the mode says is to happen once more."""
    if len(words) <= at:
        return True
    with lock:
        # Counted anew whenever the mode is written.
        key = (" ".join(words), os.stat(os.path.join(folder, "mode")).st_mtime_ns)
        counts[key] = counts.get(key, 0) + 1
        return counts[key] <= int(words[at])


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def note(self, status, received, sent):
        line = (
            f"{self.command} {self.path} {self.headers.get('Range', '-')} "
            f"{'auth' if self.headers.get('Authorization') else '-'} {status} {received} {sent}\n"
        )
        with lock, open(os.path.join(folder, "log"), "a") as file:
            file.write(line)

    def drop(self):
        """Ends the connection as a machine does that loses power."""
        self.close_connection = True
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.connection.close()

    def reply(self, status, headers, body=b"", received=0):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.note(status, received, len(body))

    def token(self):
        want = "Basic " + base64.b64encode(b"user:secret").decode()
        if self.headers.get("Authorization") != want:
            return self.reply(401, [("Content-Length", "0")])
        body = json.dumps({"access_token": "a-token", "expires_in": 60}).encode()
        self.reply(200, [("Content-Length", str(len(body))), ("Content-Type", "application/json")], body)

    def handle_one(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        words = mode()
        if self.path.startswith("/token"):
            return self.token()
        if words[0] == "refuse" and is_due(words):
            self.note(0, len(body), 0)
            return self.drop()
        if words[0] == "nonsense":
            self.wfile.write(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
            self.note(0, len(body), 0)
            return self.drop()
        if words[0] == "busy" and is_due(words, 2):
            return self.reply(
                int(words[1]), [("Retry-After", "1"), ("Content-Length", "0")], b"", len(body)
            )
        if words[0] == "later":
            return self.reply(503, [("Retry-After", "3600"), ("Content-Length", "0")], b"", len(body))
        if words[0] == "token" and self.headers.get("Authorization") != "Bearer a-token":
            challenge = f'Bearer realm="http://localhost:{port}/token",service="proxy"'
            return self.reply(401, [("WWW-Authenticate", challenge), ("Content-Length", "0")], b"", len(body))
        is_blob = "/blobs/sha256:" in self.path and self.command == "GET"
        if is_blob and words[0] == "gone":
            return self.reply(404, [("Content-Length", "0")])
        if is_blob and words[0] == "redirect":
            return self.reply(
                307, [("Location", f"http://127.0.0.1:{upstream}{self.path}"), ("Content-Length", "0")]
            )
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in ("host", "connection", "authorization")
        }
        headers["Host"] = self.headers["Host"]
        if is_blob and words[0] == "norange":
            headers.pop("Range", None)
        if is_blob and words[0] == "badrange" and "Range" in headers:
            headers["Range"] = "bytes=1-"
        connection = http.client.HTTPConnection("127.0.0.1", upstream, timeout=60)
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        passed = [
            (name, value)
            for name, value in answer.getheaders()
            if name.lower() not in ("connection", "transfer-encoding", "content-length")
        ]
        length = answer.headers.get("Content-Length") or str(len(content))
        if answer.status not in (200, 206) or not is_blob:
            if words[0] == "manifest" and "/manifests/" in self.path and self.command == "GET":
                content = content.replace(b'"size":', b'"size":1', 1)
                length = str(len(content))
            return self.reply(answer.status, passed + [("Content-Length", length)], content, len(body))
        half = len(content) // 2
        if words[0] == "break" and len(content) > 2000 and is_due(words):
            self.send_response_only(answer.status)
            for name, value in passed + [("Content-Length", length)]:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content[:half])
            self.wfile.flush()
            time.sleep(0.05)
            self.note(answer.status, 0, half)
            return self.drop()
        if words[0] == "short" and len(content) > 2000 and is_due(words):
            self.close_connection = True
            return self.reply(answer.status, passed + [("Connection", "close")], content[:half])
        if words[0] == "flip" and len(content) > 2000 and is_due(words):
            content = content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :]
        if words[0] == "rate":
            self.send_response_only(answer.status)
            for name, value in passed + [("Content-Length", length)]:
                self.send_header(name, value)
            self.end_headers()
            for at in range(0, len(content), 65536):
                piece = content[at : at + 65536]
                wait_turn(len(piece), int(words[1]))
                # Whoever is to be away is so at once.
                if mode()[0] == "refuse":
                    self.note(answer.status, 0, at)
                    return self.drop()
                self.wfile.write(piece)
            return self.note(answer.status, 0, len(content))
        if words[0] == "long":
            content += b"more"
            length = str(len(content))
        if words[0] == "drip":
            self.close_connection = True
            self.reply(answer.status, passed + [("Connection", "close")], content)
            try:
                while True:
                    self.wfile.write(bytes(65536))
            except OSError:
                return
        if words[0] == "stall" and len(content) > 2000 and is_due(words):
            self.send_response_only(answer.status)
            for name, value in passed + [("Content-Length", length)]:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content[:half])
            self.wfile.flush()
            time.sleep(20)
            return self.drop()
        self.reply(answer.status, passed + [("Content-Length", length)], content)

    def do_GET(self):
        try:
            self.handle_one()
        except (OSError, http.client.HTTPException, ValueError):
            self.close_connection = True

    do_HEAD = do_POST = do_PUT = do_PATCH = do_GET


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
port = server.server_address[1]
with open(os.path.join(folder, "port.new"), "w") as file:
    file.write(str(port))
os.rename(os.path.join(folder, "port.new"), os.path.join(folder, "port"))
server.serve_forever()
