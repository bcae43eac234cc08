"""SIGTERM, as schedulers send it before they take a machine away."""

import os
import signal
import socket
import threading

EXIT_CODE = 143
PATIENCE = 8.0  # seconds


class Termination:
    """A wish to save and exit, which the training loop looks for between dispatches.

    Python handles signals between its own instructions only, and XLA may compile for half a minute
    in one of them. So where the loop does not come to its end in `PATIENCE`, a thread ends the
    process; the latest checkpoint stays, and what came after it is trained again.
    """

    def __init__(self):
        """Takes SIGTERM over (main thread only)."""
        self.requested = False
        self._closed = threading.Event()
        self._receiver, self._sender = socket.socketpair()
        self._sender.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        self._handler = signal.signal(signal.SIGTERM, self._request)
        threading.Thread(target=self._watch, daemon=True).start()

    def _request(self, *_: object) -> None:
        self.requested = True

    def _watch(self) -> None:
        while signals := self._receiver.recv(1):
            if signals[0] == signal.SIGTERM and not self._closed.wait(PATIENCE):
                os._exit(EXIT_CODE)

    def close(self) -> None:
        """Hands SIGTERM back."""
        if not self._closed.is_set():
            self._closed.set()
            signal.set_wakeup_fd(self._wakeup)
            signal.signal(signal.SIGTERM, self._handler)
            self._sender.close()
