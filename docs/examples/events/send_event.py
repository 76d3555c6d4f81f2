"""Send one CloudEvent to Signalbox over HTTP, signed as Standard Webhooks ask for. Needs nothing but Python.

    SIGNALBOX_URL=http://127.0.0.1:8000 SIGNING_SECRET=whsec_… \\
        python send_event.py lake file.created '{"path": "/in/a"}'

With SIGNALBOX_TOKEN in place of SIGNING_SECRET the request carries a token. Sending the same id again is harmless.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
import urllib.request
import uuid


def main() -> None:
    source, kind, data = sys.argv[1:4]
    id = sys.argv[4] if len(sys.argv) > 4 else str(uuid.uuid4())
    body = json.dumps({"type": kind, "id": id, "data": json.loads(data)}).encode()
    headers = {"Content-Type": "application/json"}
    if token := os.environ.get("SIGNALBOX_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    else:
        sent_at = str(int(time.time()))
        key = base64.b64decode(os.environ["SIGNING_SECRET"].removeprefix("whsec_"))
        signature = hmac.new(key, f"{id}.{sent_at}.".encode() + body, hashlib.sha256).digest()
        headers |= {
            "webhook-id": id,
            "webhook-timestamp": sent_at,
            "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
        }
    url = f"{os.environ['SIGNALBOX_URL']}/api/v1/events/{source}"
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30) as answer:
        print(answer.read().decode())


if __name__ == "__main__":
    main()
