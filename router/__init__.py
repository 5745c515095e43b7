"""The HTTP router: N workers that share one port, each with its own copy of the routing table.

Pure: table, balance, heads, headers, framing, exchange, reasons, pages, access_line, timers. Effects: server (client's side),
upstream (dyno's side), proxy (the life of a request, which joins the two), activity (which apps had requests), link (tables in), lines (access lines out),
reconnect, worker, master. It speaks to the rest of the house over its sockets only.
"""
