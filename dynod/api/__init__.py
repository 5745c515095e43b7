"""The Platform API: one table of operations (operations.py), served over HTTPS (http.py) and MessagePack-RPC (rpc.py).

Owns words: paths, JSON fields, status codes, tokens, streams' URLs, git over HTTPS, rendezvous. Deeds are the engine's, behind
engine/platform.py. Way in: operations.py for the surface, server.py for what runs.
"""
