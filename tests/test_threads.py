"""Work side by side."""

import threading

import pytest
import torch

from narrows.threads import side_by_side


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_results_come_in_order_each_from_one_thread_and_the_number_of_threads_is_put_back(threads):
    seen = set()

    def work(place):
        seen.add(threading.get_ident())
        assert torch.get_num_threads() == 1
        return torch.tensor(place * 10)

    assert side_by_side(work, range(20)) == [place * 10 for place in range(20)]
    assert len(seen) <= threads
    assert torch.get_num_threads() == threads


def test_as_many_run_at_once_as_there_are_threads():
    """Each waits for the other: one after the other they would wait for ever."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    meeting = threading.Barrier(2, timeout=30)
    try:
        assert sorted(side_by_side(lambda place: torch.tensor(meeting.wait() * 0 + place), range(2))) == [0, 1]
    finally:
        torch.set_num_threads(before)


def test_an_error_is_passed_on_and_the_number_of_threads_put_back(threads):
    def fail(place):
        raise ValueError(f"place {place}")

    with pytest.raises(ValueError, match="place 0"):
        side_by_side(fail, range(3))
    assert torch.get_num_threads() == threads


def test_callers_wait_for_each_other():
    """Two at once, each of two pieces: never more pieces run than one call may run, and the number is put back."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    running, most, guard = 0, 0, threading.Lock()

    def work(place):
        nonlocal running, most
        with guard:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.02)
        with guard:
            running -= 1
        return torch.tensor(place)

    try:
        callers = [threading.Thread(target=side_by_side, args=(work, range(4))) for _ in range(3)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert most <= 2
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
