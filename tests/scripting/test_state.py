from mailbell.scripting.state import MOST_CHARACTERS, IoState


def test_what_was_set_is_there() -> None:
    state = IoState()
    state.set_io("smtp.mail", "{}")
    assert state.set_variable("count", "1")
    assert (state.io("smtp.mail"), state.variable("count")) == ("{}", "1")
    assert (state.io("count"), state.variable("smtp.mail")) == (None, None)


def test_a_new_reader_gets_everything_and_then_what_is_new() -> None:
    state, reader = IoState(), object()
    state.set_io("smtp.mail", "first")
    state.set_variable("count", "1")
    first = state.changes(0, reader)
    assert (first.variables, first.points) == ({"count": "1"}, {"smtp.mail": "first"})
    state.set_io("smtp.mail", "second")
    second = state.changes(first.revision, reader)
    assert (second.variables, second.points) == ({}, {"smtp.mail": "second"})
    assert state.changes(second.revision, reader).points == {}


def test_a_reader_is_not_told_what_it_wrote_itself() -> None:
    state, reader, other = IoState(), object(), object()
    start = state.changes(0, reader).revision
    state.set_variable("mine", "1", reader)
    state.set_variable("theirs", "2", other)
    seen = state.changes(start, reader)
    assert seen.variables == {"theirs": "2"}
    state.set_variable("mine", "3", other)
    assert state.changes(seen.revision, reader).variables == {"mine": "3"}


def test_a_removed_variable_is_told_as_none() -> None:
    state, reader = IoState(), object()
    state.set_variable("door", "open")
    seen = state.changes(0, reader).revision
    state.set_variable("door", None)
    assert state.variable("door") is None
    assert state.changes(seen, reader).variables == {"door": None}


def test_variables_do_not_grow_without_end() -> None:
    state = IoState()
    half = "x" * (MOST_CHARACTERS // 2)
    assert state.set_variable("a", half)
    assert state.set_variable("b", half)
    assert not state.set_variable("c", "y")
    assert state.variable("c") is None
    assert state.set_variable("a", "smaller")
    assert state.set_variable("c", "y")
    assert state.set_variable("b", None)
