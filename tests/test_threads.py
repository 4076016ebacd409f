"""Work side by side: the order of its results, and that it has ended when it raises."""

from __future__ import annotations

import threading

import pytest

from optprobe import threads


@pytest.fixture(autouse=True)
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "workers", lambda: 2)


def test_results_come_in_the_order_of_the_items():
    later = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert later.wait(60)  # the first ends last
        else:
            later.set()
        return item * item

    assert threads.in_threads(work, range(5)) == [0, 1, 4, 9, 16]


@pytest.mark.parametrize("number", [1, 2])
def test_something_is_done_after_every_result_in_the_callers_thread(
    number: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(threads, "workers", lambda: number)
    done: list[threading.Thread] = []

    def between() -> None:
        done.append(threading.current_thread())

    assert threads.in_threads(str, range(4), between) == ["0", "1", "2", "3"]
    assert done == [threading.current_thread()] * 4


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_goes_on_once_it_has_raised(error: type[BaseException]):
    begun, may_end, ended = threading.Event(), threading.Event(), []

    def work(item: int) -> None:
        if item == 0:
            assert begun.wait(60)
            raise error
        begun.set()
        assert may_end.wait(60)
        ended.append(item)

    threading.Timer(0.1, may_end.set).start()
    with pytest.raises(error):
        threads.in_threads(work, range(3))
    assert 1 in ended
