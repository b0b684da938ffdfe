"""What people write by hand: Flask takes the call, requests posts it on, and then it is answered.

Nothing is kept, and what a sink does not take is lost unless the sender sends it again. `SINKS=URL,URL gunicorn by_hand:app`.
"""

import os

import requests
from flask import Flask, request

app = Flask(__name__)
SINKS = [url for url in os.environ.get("SINKS", "").split(",") if url]


@app.post("/webhook")
def webhook():  # noqa: ANN201 - as people write it
    call = request.get_json()
    for url in SINKS:
        requests.post(url, json=call, timeout=10).raise_for_status()
    return {"ok": True}
