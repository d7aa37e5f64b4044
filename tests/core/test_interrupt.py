import os
import signal
import threading

import pytest

from fairlead.core.interrupt import stop_on_interrupt


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_handler_is_given_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_on_interrupt() as stop:
        assert not stop
        os.kill(os.getpid(), number)
        assert stop
    assert signal.getsignal(number) == before


def test_a_second_ctrl_c_acts_at_once() -> None:
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a process in the background starts with SIGINT ignored
    try:
        with pytest.raises(KeyboardInterrupt), stop_on_interrupt():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            raise AssertionError("the second signal did nothing")
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_first_signal_says_what_happens(capfd: pytest.CaptureFixture[str]) -> None:
    with stop_on_interrupt("stopping after this step"):
        os.kill(os.getpid(), signal.SIGTERM)
    with stop_on_interrupt():
        os.kill(os.getpid(), signal.SIGTERM)
    assert capfd.readouterr().err == "stopping after this step\n"


def test_handlers_are_given_back_after_an_exception() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(RuntimeError), stop_on_interrupt():
        raise RuntimeError
    assert signal.getsignal(signal.SIGINT) == before


def test_a_thread_can_use_it_without_signals() -> None:
    stop_states = []

    def work() -> None:
        with stop_on_interrupt() as stop:
            stop_states.append(bool(stop))
            stop.set()
            stop_states.append(bool(stop))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert stop_states == [False, True]
