import pytest


@pytest.fixture
def open_site(browser):
    """Open an address of a site, and collect its requests, messages and errors."""
    contexts = []

    def call(folder, address, width=1280, base=None, state="networkidle", **options):
        size = {"width": width, "height": 800}
        contexts.append(browser.new_context(viewport=size, **options))
        view = contexts[-1].new_page()
        view.messages, view.requests = [], []
        view.on("console", lambda message: view.messages.append(message.text))
        view.on("pageerror", lambda error: view.messages.append(str(error)))
        view.on("dialog", lambda dialog: view.messages.append(dialog.message))
        view.on("request", lambda request: view.requests.append(request.url))
        view.goto(f"{base or folder.as_uri()}/{address}")
        view.wait_for_load_state(state)
        return view

    yield call
    for context in contexts:
        context.close()
