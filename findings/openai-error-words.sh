#!/bin/sh
# The `openai` package loses the words of an error whose body has no `error.message`.
#
# Versions: openai 3.54.0. Input: an answer with status 422 and the body {"detail": "top_logprobs must be at most 5"},
# as every server built on FastAPI gives it (`transformers serve` among them), and one of status 200 with the body
# {"error": {"code": 429, "message": "slow down"}}, as gateways give it.
# Seen: str() of the raised error is "Error code: 422", so that whoever prints the error does not learn what was wrong
# (the words are in error.response.text alone); the error under status 200 raises nothing and comes as a ChatCompletion
# whose `choices` is None, and whose `error` is in `model_extra`.
# The script fails when one of the two changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check openai==3.54.0
cat >"$folder/show.py" <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import openai

ANSWERS = {
    "detail": (422, {"detail": "top_logprobs must be at most 5"}),
    "gateway": (200, {"error": {"code": 429, "message": "slow down"}}),
}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        status, answer = ANSWERS[body["model"]]
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words):
        pass


server = HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = openai.OpenAI(api_key="none", base_url=f"http://127.0.0.1:{server.server_port}/v1", max_retries=0)
messages = [{"role": "user", "content": "Hello"}]
print("openai", openai.__version__)
try:
    client.chat.completions.create(model="detail", messages=messages)
    raise SystemExit("changed: status 422 raised nothing")
except openai.UnprocessableEntityError as error:
    print("status 422:", str(error), "| its body:", error.response.text)
    if str(error) != "Error code: 422":
        raise SystemExit("changed: the error tells more than its status")
completion = client.chat.completions.create(model="gateway", messages=messages)
print("status 200 with an error:", type(completion).__name__, completion.choices, completion.model_extra)
if completion.choices is not None:
    raise SystemExit("changed: the error has choices")
PYTHON
"$folder/env/bin/python" "$folder/show.py"
