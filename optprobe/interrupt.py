"""Ctrl-C as a question to ask, not an exception that may strike in the middle of a step."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupt:
    """While it is entered the first Ctrl-C sets `raised`; a second one is a KeyboardInterrupt.

    One entered inside another asks the outer one. Outside the main thread, where no signal can
    arrive, it does nothing.
    """

    def __init__(self) -> None:
        self._raised = False
        self._outer: Interrupt | None = None
        self._previous: Any = None

    @property
    def raised(self) -> bool:
        """Whether the user wants the result now."""
        return self._outer.raised if self._outer is not None else self._raised

    def request(self) -> None:
        """Raise it by hand, where a library has caught the signal itself."""
        if self._outer is not None:
            self._outer.request()
        self._raised = True

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            current = signal.getsignal(signal.SIGINT)
            owner = getattr(current, "__self__", None)
            if isinstance(owner, Interrupt):
                self._outer = owner
            elif current is not None:
                self._previous = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._raised:
            raise KeyboardInterrupt
        self._raised = True
