"""An app of eco dynos as a value, and what may happen to it."""

from dataclasses import replace

from dynod.core import sleeping
from dynod.core.events import Exited, Launched
from dynod.core.fleet import Habit
from dynod.model.dyno import Exit
from dynod.model.formation import ECO, Formation, ProcessType
from tests.core.test_reconcile import World

HALF_HOUR = 1800.0


def rows(size=ECO, **quantities):
    return tuple(Formation(f"f-{t}", ProcessType(t), n, size, f"{t} $PORT") for t, n in quantities.items())


class Eco(World):
    """An app of eco dynos that is up: web.1 is d1, worker.1 d2."""

    def __init__(self, worker=1, habit=Habit(HALF_HOUR)):  # noqa: B008  # frozen
        self.habit = habit
        super().__init__(1, worker)
        self.reconcile().up("d1")
        if worker:
            self.tell("d2", Launched("x"))

    def release(self, ident, version, web=1, worker=0):
        made = super().release(ident, version, web, worker)
        return replace(made, rows=tuple(replace(row, size=ECO) for row in made.rows), habit=self.habit)

    def tick(self):
        super().tick()
        before = self.effects
        self._take(sleeping.tick(self.fleet, self.desired.habit, self.now))
        self.effects = before + self.effects
        return self

    def quiet(self):
        return self._take(sleeping.quiet(self.fleet, self.desired.habit, self.now))

    def heard(self):
        return self._take(sleeping.active(self.fleet, self.desired, self.now, self.draw))

    def wake(self):
        return self._take(sleeping.wake(self.fleet, self.desired, "a request came", self.now, self.draw))

    def together(self):
        before = self.effects
        self._take(sleeping.together(self.fleet, self.desired, self.now, self.draw))
        self.effects = before + self.effects
        return self

    def deadline(self):
        return sleeping.next_deadline(self.fleet, self.desired.habit)

    def slept(self):
        self.later(HALF_HOUR).tick().quiet()
        return self

    def spend(self, *, spent=True):
        self.habit = replace(self.habit, spent=spent)
        self.desired = replace(self.desired, habit=self.habit)
        return self

    def ended(self, *idents):
        for ident in idents:
            self.tell(ident, Exited(Exit(143)))
        return self

    def phases(self):
        return {ident: each.phase for ident, each in self.fleet.dynos.items()}

    def of(self, kind):
        return [each.dyno for each in self.effects if isinstance(each, kind)]


def frozen(worker=1):
    return Eco(worker, Habit(HALF_HOUR, freeze=True)).slept()
