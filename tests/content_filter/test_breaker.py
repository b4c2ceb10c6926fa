# SPDX-License-Identifier: Apache-2.0
"""The circuit breaker by a clock that the test moves."""

import pytest

from content_filter.breaker import Circuit, CircuitBreaker


class _Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_calls_flow_until_so_many_fail_in_a_row() -> None:
    """A success between failures starts the count again."""
    breaker = CircuitBreaker(_Clock(), failures=2, rest_s=10)

    breaker.failed()
    breaker.succeeded()
    breaker.failed()

    assert breaker.may_call()
    breaker.failed()
    assert breaker.circuit is Circuit.OPEN
    assert not breaker.may_call()


def test_after_the_rest_one_caller_tries_and_the_others_wait() -> None:
    """Half open lets exactly one through."""
    clock = _Clock()
    breaker = CircuitBreaker(clock, failures=1, rest_s=10)
    breaker.failed()

    clock.now_s += 10

    assert breaker.circuit is Circuit.HALF_OPEN
    assert [breaker.may_call() for _ in range(3)] == [True, False, False]


def test_a_failed_trial_opens_the_circuit_for_another_rest() -> None:
    """The rest begins anew at the failure of the trial."""
    clock = _Clock()
    breaker = CircuitBreaker(clock, failures=1, rest_s=10)
    breaker.failed()
    clock.now_s += 10
    assert breaker.may_call()

    breaker.failed()

    clock.now_s += 9
    assert not breaker.may_call()
    clock.now_s += 1
    assert breaker.may_call()


def test_a_successful_trial_closes_the_circuit() -> None:
    """All may call again."""
    clock = _Clock()
    breaker = CircuitBreaker(clock, failures=1, rest_s=10)
    breaker.failed()
    clock.now_s += 10
    assert breaker.may_call()

    breaker.succeeded()

    assert breaker.circuit is Circuit.CLOSED
    assert [breaker.may_call() for _ in range(3)] == [True, True, True]


def test_a_trial_that_never_answers_does_not_block_for_ever() -> None:
    """A caller that was cancelled says nothing; after another rest the next one tries."""
    clock = _Clock()
    breaker = CircuitBreaker(clock, failures=1, rest_s=10)
    breaker.failed()
    clock.now_s += 10
    assert breaker.may_call()

    clock.now_s += 10

    assert breaker.may_call()


@pytest.mark.parametrize(("failures", "rest_s"), [(0, 1.0), (1, 0.0)])
def test_a_breaker_that_cannot_work_is_refused(failures: int, rest_s: float) -> None:
    """It would never close, or never open."""
    with pytest.raises(ValueError, match="circuit breaker"):
        CircuitBreaker(_Clock(), failures=failures, rest_s=rest_s)
