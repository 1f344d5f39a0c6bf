"""Slots: never more served than there are; sources take turns, whatever comes and goes."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from mailbell.server.slots import Slots

LIMIT, QUEUE = 3, 6


class Client:
    def __init__(self, ip: str = "10.0.0.1", arrived_at: float = 0.0) -> None:
        self.ip = ip
        self.arrived_at = arrived_at
        self.served = False
        self.gone = False

    def serve(self) -> None:
        assert not self.served
        self.served = True


class SlotsMachine(RuleBasedStateMachine):
    """The model is one list a source, in order of arrival, and the sources in order of their turns."""

    clients = Bundle("clients")

    def __init__(self) -> None:
        super().__init__()
        self.slots = Slots(LIMIT, QUEUE)
        self.turns: list[list[Client]] = []
        self.served: set[Client] = set()

    @property
    def waiting(self) -> int:
        return sum(map(len, self.turns))

    @rule(target=clients, ip=st.sampled_from("abc"))
    def arrive(self, ip: str) -> Client:
        client = Client(ip)
        room = len(self.served) < LIMIT or self.waiting < QUEUE
        assert self.slots.enter(client) == room
        if client.served:
            self.served.add(client)
        elif not room:
            client.gone = True
        elif queue := next((queue for queue in self.turns if queue[0].ip == ip), None):
            queue.append(client)
        else:
            self.turns.append([client])
        return client

    @rule(client=consumes(clients))
    def go(self, client: Client) -> None:
        if client.gone:
            self.slots.give_up(client)
        elif client.served:
            self.served.remove(client)
            self.slots.leave()
            if self.turns:
                queue = self.turns.pop(0)
                assert queue[0].served, "the first of the source whose turn it is"
                self.served.add(queue.pop(0))
                self.turns += [queue] if queue else []
        else:
            for queue in self.turns:
                if client in queue:
                    queue.remove(client)
            self.turns = [queue for queue in self.turns if queue]
            self.slots.give_up(client)

    @invariant()
    def counted(self) -> None:
        assert self.slots.taken == len(self.served) <= LIMIT
        assert self.slots.waiting == self.waiting <= QUEUE
        assert not (self.waiting and len(self.served) < LIMIT)


TestSlots = SlotsMachine.TestCase
TestSlots.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)


def test_a_crowd_from_one_source_does_not_stand_before_the_others() -> None:
    slots = Slots(1, 100)
    crowd = [Client("10.0.0.1", float(number)) for number in range(20)]
    for client in crowd:
        slots.enter(client)
    other = Client("10.0.0.2", 20.0)
    slots.enter(other)
    slots.leave()
    slots.leave()
    assert [each.served for each in crowd[:3]] == [True, True, False]
    assert other.served


def test_since_when_the_next_one_waits() -> None:
    slots = Slots(1, 100)
    assert slots.waiting_since is None
    for arrived_at in (1.0, 2.0, 3.0):
        slots.enter(Client(arrived_at=arrived_at))
    assert slots.waiting_since == 2.0
