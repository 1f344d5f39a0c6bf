"""The table of states: complete, connected, and the only way to change."""

import pytest

from mailbell.smtp.commands import Command
from mailbell.smtp.states import (
    IN_TRANSACTION,
    PAUSED,
    RECEIVING,
    TABLE,
    Machine,
    Signal,
    State,
    Step,
    misplaced,
)


def test_each_state_has_its_row_and_can_be_closed() -> None:
    assert set(TABLE) == set(State)
    assert all(row[Signal.CLOSE] is State.CLOSED for row in TABLE.values())


def test_each_state_can_be_reached() -> None:
    reached, todo = set(), [State.WAITING]
    while todo:
        state = todo.pop()
        if state not in reached:
            reached.add(state)
            todo += TABLE[state].values()
    assert reached == set(State)


def test_commands_and_signals_are_told_apart() -> None:
    assert not {str(command) for command in Command} & {str(signal) for signal in Signal}


def test_a_machine_goes_where_the_table_says() -> None:
    machine = Machine()
    path: list[tuple[Step, State]] = [
        (Signal.GREET, State.READY),
        (Command.MAIL, State.MAIL),
        (Command.RCPT, State.RCPT),
        (Command.RCPT, State.RCPT),
        (Command.DATA, State.DATA),
        (Signal.END, State.STORING),
        (Signal.ANSWER, State.READY),
        (Signal.CLOSE, State.CLOSED),
    ]
    for step, state in path:
        machine.step(step)
        assert machine.state is state
        assert machine.row is TABLE[state]


def test_what_is_not_in_the_table_changes_nothing() -> None:
    machine = Machine()
    with pytest.raises(LookupError, match=r"MAIL.*while a session is waiting for its turn \(WAITING\)"):
        machine.step(Command.MAIL)
    assert machine.state is State.WAITING


@pytest.mark.parametrize("state", [State.READY, State.MAIL, State.RCPT, State.CHUNKED])
def test_each_command_has_a_place_or_a_503(state: State) -> None:
    for command in Command:
        if command not in TABLE[state]:
            reply = misplaced(state, command)
            assert (reply.code, reply.enhanced) == (503, "5.5.1")


def test_the_answers_that_come_too_late_do_no_harm() -> None:
    for signal in Signal:
        assert TABLE[State.CLOSED][signal] is State.CLOSED


def test_the_sets_of_states() -> None:
    assert RECEIVING < IN_TRANSACTION
    assert State.STORING in PAUSED & IN_TRANSACTION
    for state in PAUSED:
        assert not set(TABLE[state]) & set(Command), "a paused session reads no commands"
