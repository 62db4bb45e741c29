"""A model hub on 127.0.0.1 that serves the files of one folder as the hub's protocol does, gated or not."""

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_scripted_0123456789"


@contextmanager
def hub(folder, name, gated=False, break_off=None, kind="models"):
    """Yield (address, list of the requests seen).

    break_off: a file whose first download is cut in the middle; kind: models or datasets.
    """
    seen, broken = [], set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *words):
            pass

        def do_HEAD(self):
            self._serve(False)

        def do_GET(self):
            self._serve(True)

        def _serve(self, with_body):
            path = unquote(urlsplit(self.path).path)
            seen.append(f"{self.command} {path}")
            if path.startswith("/api/"):
                if not path.startswith(f"/api/{kind}/{name}"):
                    return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, with_body)
                listed = [
                    {"rfilename": str(p.relative_to(folder)), "type": "file", "path": str(p.relative_to(folder))}
                    | {"size": p.stat().st_size, "oid": COMMIT}
                    for p in sorted(folder.rglob("*"))
                    if p.is_file()
                ]
                if "/tree/" in path:
                    return self._send(200, json.dumps(listed).encode(), {}, with_body)
                about = {"id": name, "modelId": name, "sha": COMMIT, "siblings": listed, "private": False}
                return self._send(200, json.dumps(about).encode(), {}, with_body)
            if gated and self.headers.get("authorization") != f"Bearer {TOKEN}":
                return self._send(403, b"", {"X-Error-Code": "GatedRepo"}, with_body)
            data = (folder / path.split(f"/resolve/{COMMIT}/")[1]).read_bytes()
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha256(data).hexdigest()}"'}
            if with_body and path.endswith(break_off or "\0") and path not in broken:
                broken.add(path)
                return self._send(200, data, headers, with_body, len(data) // 2)
            start = int(self.headers.get("range", "bytes=0-").split("=")[1].split("-")[0])
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            return self._send(206 if start else 200, data[start:], headers, with_body)

        def _send(self, status, data, headers, with_body, sent=None):
            self.send_response(status)
            for key, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            if with_body:
                self.wfile.write(data[:sent])
            if sent is not None:
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
