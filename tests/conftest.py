"""Shared set-up: hypothesis profiles, the packaging switch."""

from hypothesis import HealthCheck, settings

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")


def pytest_addoption(parser):
    parser.addoption("--packaging", action="store_true", help="also build and check the sdist and the wheel (minutes)")


def pytest_collection_modifyitems(config, items):
    packaging = [item for item in items if item.get_closest_marker("packaging")]
    others = [item for item in items if not item.get_closest_marker("packaging")]
    if config.getoption("--packaging"):
        items[:] = packaging + others  # the longest first; with -n, the others run beside it
    else:
        config.hook.pytest_deselected(items=packaging)
        items[:] = others
