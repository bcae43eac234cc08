"""SIGTERM, as schedulers send it before they take a machine away."""

import os
import signal
import socket
import threading

EXIT_CODE = 143
PATIENCE = 8.0  # seconds


class Termination:
    """Notes SIGTERM; the training loop looks between dispatches, saves and exits.

    Python handles signals between its own instructions only, and XLA may compile for half a minute
    in one of them. So if the loop has not looked after `PATIENCE`, a thread ends the process; what
    came after the latest checkpoint is then trained again.
    """

    def __init__(self):
        """Installs the handler of SIGTERM (main thread only)."""
        self.requested = False
        self._seen = threading.Event()
        self._receiver, self._sender = socket.socketpair()
        self._sender.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        self._handler = signal.signal(signal.SIGTERM, self._request)
        threading.Thread(target=self._watch, daemon=True).start()

    def _request(self, *_: object) -> None:
        self.requested = True

    def _watch(self) -> None:
        while signals := self._receiver.recv(1):
            if signals[0] == signal.SIGTERM and not self._seen.wait(PATIENCE):
                os._exit(EXIT_CODE)

    def acknowledge(self) -> None:
        """The loop has looked, and takes the time that a last save needs."""
        self._seen.set()

    def close(self) -> None:
        """Restores the previous handler of SIGTERM."""
        self._seen.set()
        if self._sender.fileno() >= 0:
            signal.set_wakeup_fd(self._wakeup)
            signal.signal(signal.SIGTERM, self._handler)
            self._sender.close()
