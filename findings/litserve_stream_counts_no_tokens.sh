#!/usr/bin/env bash
# LitServe 0.2.19 with its OpenAISpec: a stream of five tokens, for which usage was asked, ends with a usage of 0
# completion tokens and 0 prompt tokens, and each of its chunks has another id. Whoever divides by that count, or
# gathers an answer by the id of its chunks, gets nothing.
#
# Good guess, and wrong: "a server that sends usage has counted tokens".
# Output seen (2 cores, Python 3.11.7):
#   chunks with content: 5; ids: as many as chunks; usage: 0 completion tokens, 0 prompt tokens
set -euo pipefail
folder=$(mktemp -d)
trap '[ "$server" = 0 ] || kill -- -"$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
server=0
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check litserve==0.2.19 fastapi==0.165.0 uvicorn==0.54.0
cd "$folder"
cat > server.py <<'PY'
import sys

import litserve


class Words(litserve.LitAPI):
    """Answers any prompt with five words."""

    def setup(self, device):
        pass

    def predict(self, prompt):
        yield from [" the"] * 5


if __name__ == "__main__":
    served = litserve.LitServer(Words(spec=litserve.OpenAISpec()), accelerator="cpu", workers_per_device=1)
    served.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, num_api_servers=1)
PY
port=$("$folder/venv/bin/python" -c "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); print(s.getsockname()[1])")
setsid "$folder/venv/bin/python" server.py "$port" > log 2>&1 &  # with its workers, a group of its own
server=$!
"$folder/venv/bin/python" - "$port" <<'PY' | tee "$folder/seen"
import json
import sys
import time
import urllib.request

asked = {
    "model": "words",
    "stream": True,
    "stream_options": {"include_usage": True},
    "max_tokens": 5,
    "messages": [{"role": "user", "content": "hello"}],
}
request = urllib.request.Request(
    f"http://127.0.0.1:{sys.argv[1]}/v1/chat/completions",
    json.dumps(asked).encode(),
    {"Content-Type": "application/json"},
)
for _ in range(120):
    try:
        lines = urllib.request.urlopen(request, timeout=30).read().decode().splitlines()
        break
    except OSError:
        time.sleep(0.5)
events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
said = [event for event in events if event["choices"] and event["choices"][0]["delta"].get("content")]
ids = "as many as chunks" if len({event["id"] for event in events}) == len(events) else "fewer than chunks"
(usage,) = (event["usage"] for event in events if event.get("usage"))
counts = f"{usage['completion_tokens']} completion tokens, {usage['prompt_tokens']} prompt tokens"
print(f"chunks with content: {len(said)}; ids: {ids}; usage: {counts}")
PY
diff "$folder/seen" - <<'SEEN'
chunks with content: 5; ids: as many as chunks; usage: 0 completion tokens, 0 prompt tokens
SEEN
