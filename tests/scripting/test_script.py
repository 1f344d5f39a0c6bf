from mailbell.scripting.script import CALLBACKS, HAACTIVE, HSYCOSTART, INFO, IO, Builtins, Trigger


def test_variables_and_points_come_from_others_and_from_the_script() -> None:
    builtins = Builtins(lambda level, text: None, run=1)
    builtins.update({"door": "open", "gone": None}, {"smtp.mail": "{}"}, active=False)
    assert (builtins.var_get("door"), builtins.io_get("smtp.mail"), builtins.active) == ("open", "{}", False)
    assert (builtins.var_get("gone"), builtins.io_get("door")) == (None, None)
    builtins.var_set("door", "shut")
    assert builtins.var_get("door") == "shut"
    builtins.var_set("door", None)
    assert builtins.var_get("door") is None
    assert builtins.take_changed() == {"door": None}
    assert builtins.take_changed() == {}


def test_in_the_test_run_nothing_has_an_effect() -> None:
    logged: list[str] = []
    builtins = Builtins(lambda level, text: logged.append(text), run=0)
    builtins.log(INFO, "line")
    builtins.var_set("door", "open")
    assert (logged, builtins.var_get("door"), builtins.take_changed()) == ([], None, {})


def test_callbacks_are_called_for_their_triggers_only() -> None:
    got: list[tuple[str, tuple[object, ...]]] = []
    handlers = [
        callback.handler(name, lambda arguments, name=name: got.append((name, arguments)))  # type: ignore[misc]
        for name, callback in CALLBACKS.items()
    ]
    for trigger in (
        Trigger(IO, "smtp.mail", "{}", active=True, event={"id": "1"}),
        Trigger(HAACTIVE, HAACTIVE, "", active=False),
        Trigger(HSYCOSTART, HSYCOSTART, "", active=True),
    ):
        for handler in handlers:
            if handler.wants(trigger):
                handler.call(trigger)
    assert got == [
        ("IOEvent", ("smtp.mail", "{}")),
        ("on_mail", ({"id": "1"},)),
        ("haActiveEvent", (False,)),
        ("StartupEvent", ()),
    ]
    assert [handler.name for handler in handlers if handler.mail] == ["IOEvent", "on_mail"]
