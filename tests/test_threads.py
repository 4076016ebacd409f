"""Work side by side: the order of its results, and that it has ended when it raises."""

from __future__ import annotations

import threading
from collections.abc import Iterator

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


@pytest.mark.parametrize("number", [1, 2])
def test_the_next_is_worked_before_the_caller_has_the_last(
    number: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(threads, "workers", lambda: number)
    told: list[str] = []

    def items() -> Iterator[int]:
        for item in range(3):
            told.append(f"asked for {item}")
            yield item

    for item, value in threads.one_ahead(lambda item: item * item, items()):
        assert value == item * item
        told.append(f"has {item}")
    assert told == [
        "asked for 0", "asked for 1", "has 0", "asked for 2", "has 1", "has 2",
    ]  # fmt: skip


def test_what_is_worked_beside_the_caller_has_one_thread_of_its_own():
    seen: list[bool] = []
    meanwhile: list[threading.Thread] = []
    may_end = threading.Event()
    threading.Timer(0.3, may_end.set).start()

    def work(item: int) -> int:
        assert may_end.wait(60)
        seen.append(threading.current_thread() is not threading.main_thread())
        return item

    def between() -> None:
        meanwhile.append(threading.current_thread())

    assert list(threads.one_ahead(work, range(3), between)) == [(0, 0), (1, 1), (2, 2)]
    assert seen == [True] * 3
    assert meanwhile
    assert set(meanwhile) == {threading.current_thread()}


def test_what_was_begun_ahead_has_ended_when_the_caller_raises():
    begun, may_end, ended = threading.Event(), threading.Event(), []

    def work(item: int) -> int:
        if item:
            begun.set()
            assert may_end.wait(60)
            ended.append(item)
        return item

    threading.Timer(0.1, may_end.set).start()
    ahead = threads.one_ahead(work, range(3))
    assert next(ahead) == (0, 0)
    assert begun.wait(60)
    ahead.close()  # as an error of the caller's does
    assert ended == [1]


def test_nothing_is_begun_ahead_once_the_caller_s_own_work_has_raised():
    begun: list[int] = []
    may_end = threading.Event()

    def work(item: int) -> None:
        begun.append(item)
        assert may_end.wait(60)

    def between() -> None:
        threading.Timer(0.1, may_end.set).start()
        raise ValueError("between")

    with pytest.raises(ValueError, match="between"):
        list(threads.one_ahead(work, range(3), between))
    assert begun == [0]


def test_an_error_ahead_reaches_the_caller():
    def work(item: int) -> float:
        return 1 / (1 - item)

    with pytest.raises(ZeroDivisionError):
        list(threads.one_ahead(work, range(3)))


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
