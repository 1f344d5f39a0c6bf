"""Slots: never more served than there are, first come first served, whatever comes and goes."""

from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from mailbell.server.slots import Slots

LIMIT, QUEUE = 3, 4


class Client:
    def __init__(self) -> None:
        self.served = False
        self.gone = False

    def serve(self) -> None:
        assert not self.served
        self.served = True


class SlotsMachine(RuleBasedStateMachine):
    clients = Bundle("clients")

    def __init__(self) -> None:
        super().__init__()
        self.slots = Slots(LIMIT, QUEUE)
        self.waiting: list[Client] = []
        self.served: set[Client] = set()

    @rule(target=clients)
    def arrive(self) -> Client:
        client = Client()
        room = len(self.served) < LIMIT or len(self.waiting) < QUEUE
        assert self.slots.enter(client) == room
        if client.served:
            self.served.add(client)
        elif room:
            self.waiting.append(client)
        else:
            client.gone = True
        return client

    @rule(client=consumes(clients))
    def go(self, client: Client) -> None:
        if client.gone:
            return
        if client.served:
            self.served.remove(client)
            self.slots.leave()
            if self.waiting:
                first = self.waiting.pop(0)
                assert first.served, "the one that waited longest is next"
                self.served.add(first)
        else:
            self.waiting.remove(client)
            self.slots.give_up(client)

    @invariant()
    def counted(self) -> None:
        assert self.slots.taken == len(self.served) <= LIMIT
        assert self.slots.waiting == len(self.waiting) <= QUEUE
        assert not (self.waiting and len(self.served) < LIMIT)


TestSlots = SlotsMachine.TestCase
TestSlots.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
