"""What is the least that a server in Python does: aiohttp parses the JSON and answers 202. It keeps nothing.

`python bench/bare_server.py PORT`.
"""

import json
import sys

from aiohttp import web


async def take(request: web.Request) -> web.Response:
    json.loads(await request.read())
    return web.Response(status=202)


app = web.Application()
app.router.add_post("/{path:.*}", take)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
