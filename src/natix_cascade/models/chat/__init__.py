"""Talking to vision-language models over the OpenAI-compatible chat protocol.

`picture` sizes and encodes, `requests` words what is sent, `http` sends it, `reading` makes P(yes) of what comes back,
`ways` finds out how a server can be asked. Only `http` imports httpx; `picture`, `requests` and `reading` are pure.
"""
