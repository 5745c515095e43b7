"""What the routers are told of the apps: each one's route as it was last told, and the table of all of them.

Way in: `changed`, whenever an app's dynos, its formation or its settings did. What a route says is decided in core/routes.py; how a table
reaches the routers is routerlink.py's. Many changes at once are one table (pace.py).
"""

from collections.abc import Callable

from dynod.core.fleet import Fleet
from dynod.core.ledger import AppState, Ledger
from dynod.core.routes import app_route, limits, table
from dynod.engine import clock
from dynod.engine.pace import Pace
from dynod.model.app import AppId
from dynod.model.route import AppRoute, RouteTable, Standing
from dynod.model.settings import Settings


class Routes:
    """`due` when the table is to be made anew whatever the routes are: apps and names come and go."""

    def __init__(
        self,
        settings: Settings,
        ledger: Callable[[], Ledger],
        spent: Callable[[AppState], bool],
        publish: Callable[[RouteTable], None],
    ) -> None:
        """`spent(state)`: whether the app's account has no hours left for it."""
        self._settings, self._ledger, self._spent, self._publish = settings, ledger, spent, publish
        self._routes: dict[AppId, AppRoute] = {}
        self._generation = 0
        self._tables = Pace(self._make)
        self.due, self.done, self.close = self._tables.due, self._tables.done, self._tables.close

    def add(self, app: AppId, fleet: Fleet) -> None:
        """Know an app from now on; the table is not due for that alone."""
        self._routes[app] = self._route(app, fleet)

    def changed(self, app: AppId, fleet: Fleet) -> None:
        """Have the routers told, if there is something to tell."""
        route = self._route(app, fleet)
        if route != self._routes.get(app):
            self._routes[app] = route
            self.due()

    def forget(self, app: AppId) -> None:
        """Let go of an app that was destroyed."""
        self._routes.pop(app, None)

    def _route(self, app: AppId, fleet: Fleet) -> AppRoute:
        state = self._ledger().apps.get(app)
        if state is None:
            return AppRoute(app, "", Standing.NO_WEB)
        return app_route(
            state.app,
            state.formation,
            fleet,
            state.config,
            state.features,
            deployed=state.deployed is not None,
            spent=self._spent(state),
        )

    def _make(self) -> None:
        ledger = self._ledger()
        self._generation = max(self._generation + 1, int(clock.now().wall * 1000))
        routes = [route for app, route in self._routes.items() if app in ledger.apps]
        self._publish(
            table(self._generation, routes, self._settings.domain, ledger.hostnames, limits(self._settings))
        )
