"""A service that is handed new keys by a rotation's webhook and checks that they come from turnlock.

    SIGNING_KEY_FILE=… python3 webhook_receiver.py PORT

`Turnlock-Signature: t=<unix seconds>,v1=<hex>`: v1 is the HMAC-SHA-256, under the target's signing key, of the time in
decimal, a full stop, and the body as it was sent. Needs only Python's standard library. In production it stands behind TLS.
"""
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import sys
import time

SIGNING_KEY = pathlib.Path(os.environ["SIGNING_KEY_FILE"]).read_bytes().strip()
TOLERANCE_SECONDS = 300
LONGEST_BODY = 1 << 20


def is_genuine(header, body):
    parts = dict(part.split("=", 1) for part in header.split(",") if "=" in part)
    if not parts.get("t", "").isdecimal() or abs(time.time() - int(parts["t"])) > TOLERANCE_SECONDS:
        return False
    expected = hmac.new(SIGNING_KEY, parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), parts.get("v1", "").encode())


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_OPTIONS(self):
        """Before a new key is made, turnlock asks whether anybody is here; 502 to 504 would hold it back."""
        self.send_response(204)
        self.send_header("Allow", "OPTIONS, POST")
        self.end_headers()

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(min(length, LONGEST_BODY))
        if not is_genuine(self.headers.get("Turnlock-Signature", ""), body):
            self.send_error(403)
            return
        message = json.loads(body)
        # Here the service would start to use message["value"], beside the old one until `grace` is over.
        print(f"version {message['version']} of {message['secret']}#{message['field']} arrived", flush=True)
        answer = json.dumps({"acknowledged_version": message["version"]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
