"""Beside web: says what it does once a minute, and ends well when it is told to."""

import signal
import threading

stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())

print("worker: ready", flush=True)
beats = 0
while not stop.wait(60):
    beats += 1
    print(f"worker: beat {beats}", flush=True)
print("worker: bye", flush=True)
