"""Helpers for tests of pages in a browser."""

import pytest


def until(view, expression):
    """Wait until an expression is true. The site's policy forbids Playwright's way."""
    for _ in range(250):
        if view.evaluate(expression):
            return
        view.wait_for_timeout(20)
    pytest.fail(f"{expression} did not become true")


def visible(view, selector):
    return view.locator(selector).filter(visible=True).count()


def heading(view):
    return view.locator("h1").inner_text()
