"""The page of the server for HTTP, in a browser: what it shows, sends and refuses."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import sidecall
from browser import (
    DESKTOP,
    HOSTILE,
    HTTP,
    NARROW,
    PHONE,
    Browser,
    controls,
    focus_by_tab,
    overflow,
    predict,
    url,
    violations,
)
from own_server import MODEL, OwnServer, Start, wait_until
from vector_servers import MODELS

pytestmark = pytest.mark.usefixtures("network_library")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, network_library: Path) -> Iterator[OwnServer]:
    started = OwnServer("penguins.onnx", tmp_path_factory.mktemp("server"), *HTTP)
    yield started
    assert started.end() == 0, started.log()


def headers(server: OwnServer, path: str) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port(), timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}


# What the server sends.


@pytest.mark.parametrize(
    ("path", "content"),
    [("/", "text/html"), ("/page/style.css", "text/css"), ("/page/page.js", "text/javascript")],
)
def test_the_page_may_only_load_from_this_server(
    server: OwnServer, path: str, content: str
) -> None:
    status, sent = headers(server, path)
    assert status == 200 and sent["content-type"].startswith(content)
    policy = dict(part.strip().split(" ", 1) for part in sent["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert sent["x-content-type-options"] == "nosniff" and sent["cache-control"] == "no-cache"
    assert sent["referrer-policy"] == "no-referrer"
    assert sent["cross-origin-opener-policy"] == "same-origin"
    assert sent["cross-origin-resource-policy"] == "same-origin"


def test_answers_in_json_are_not_sniffed(server: OwnServer) -> None:
    for path in ("/v2", MODEL, "/nothing", "/openapi.json"):
        assert headers(server, path)[1]["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["/page", "/page/", "/page/index.html", "/page/../page.cpp", "/page/none.js", "//"]
)
def test_other_files_are_not_there(server: OwnServer, path: str) -> None:
    assert server.get(path)[0] == 404


def test_the_page_is_only_read(server: OwnServer) -> None:
    assert server.post("/", {})[0] == 405
    assert server.request("HEAD", "/", None, {}) == (200, "")


def test_the_server_lists_its_model(server: OwnServer) -> None:
    assert server.get("/v2/models") == (200, {"models": ["penguins"]})


def test_the_metadata_say_that_the_golden_rows_passed(server: OwnServer) -> None:
    assert server.get(MODEL)[1]["properties"]["sidecall.golden_rows"] == "passed"


def test_without_golden_rows_the_metadata_do_not_say_that_they_passed(start: Start) -> None:
    served = start("odd_names.onnx", *HTTP, "--name", "odd")
    assert "sidecall.golden_rows" not in served.get("/v2/models/odd")[1]["properties"]


def test_the_page_needs_no_token_but_the_model_does(start: Start, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("secret\n")
    served = start("penguins.onnx", *HTTP, "--tokens", str(tmp_path / "tokens"))
    assert served.get("/")[0] == served.get("/page/page.js")[0] == 200
    assert "penguins" not in served.get("/")[1]
    for path in ("/v2", "/v2/models", MODEL, "/openapi.json", "/page/none.js"):
        assert served.get(path)[0] == 401
        assert served.get(path, authorization="Bearer secret")[0] != 401


# In a browser.


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE, NARROW], ids=["desktop", "phone", "narrow"])
def test_a_record_is_sent_and_the_answer_shown(
    browser: Browser, server: OwnServer, size: tuple[int, int], scheme: str
) -> None:
    with browser.page(url(server), size, color_scheme=scheme) as page:
        page.wait_for_selector("#model")
        assert page.inner_text("#name") == "penguins"
        assert "32 passed" in page.inner_text("#facts")
        assert page.title() == "penguins - sidecall"
        assert violations(page) == []
        page.select_option("#example", label="Golden row 2: Gentoo")
        assert "Answered in" in predict(page)
        rows = page.locator("#answer .values tbody tr")
        assert page.inner_text("#answer .result") == "Gentoo"
        assert rows.count() == 3 and rows.first.inner_text().startswith("Gentoo")
        fill = rows.first.locator(".bar-fill").bounding_box()
        whole = rows.first.locator(".bar").bounding_box()
        assert fill["width"] / whole["width"] == pytest.approx(0.5297, abs=0.02)
        assert violations(page) == []
        assert overflow(page) <= 0


@pytest.mark.long
def test_the_page_works_with_a_keyboard_alone(browser: Browser, server: OwnServer) -> None:
    with browser.page(url(server)) as page:
        page.wait_for_selector("#model")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        focus_by_tab(page, "#example")
        page.keyboard.press("ArrowDown")
        focus_by_tab(page, "#feature-2")
        page.keyboard.press("Control+a")
        page.keyboard.type("33.25")
        with page.expect_request("**/predict") as sent:
            page.keyboard.press("Enter")
        assert json.loads(sent.value.post_data)["bill_length_mm"] == 33.25
        page.wait_for_selector("#answer .result")
        focus_by_tab(page, "[role=tab]")
        assert "33.25" in page.inner_text("#call-text")
        page.keyboard.press("ArrowRight")
        assert page.inner_text("[role=tab][aria-selected=true]") == "Python"
        page.keyboard.press("End")
        assert page.inner_text("[role=tab][aria-selected=true]") == "Rust"
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"


@pytest.mark.long
@pytest.mark.parametrize("model", ["penguins", "closed", "kinds", "dates", "names", "odd_names"])
def test_every_control_has_a_name(browser: Browser, start: Start, model: str) -> None:
    served = start(f"{model}.onnx", *HTTP, "--name", model)
    with browser.page(url(served), NARROW) as page:
        page.wait_for_selector("#model")
        predict(page)
        found = controls(page)
        assert found and all(name.strip() for _, name in found), found
        assert violations(page) == []
        assert overflow(page) <= 0


@pytest.mark.long
def test_a_screen_reader_hears_the_answer(browser: Browser, server: OwnServer) -> None:
    with browser.page(url(server)) as page:
        page.wait_for_selector("#model")
        predict(page)
        status = page.locator("#status")
        assert status.get_attribute("role") == "status"
        assert "label: Adelie, 99.6%" in status.text_content()
        assert ("checkbox", "missing: bill_length_mm") in controls(page)


@pytest.mark.long
def test_faults_stand_at_their_fields(browser: Browser, server: OwnServer) -> None:
    with browser.page(url(server), is_refused=True) as page:
        page.wait_for_selector("#model")
        page.fill("#feature-3", "long")
        page.fill("#feature-6", "2007.5")
        assert predict(page) == "2 fields to correct"
        field = page.locator("#feature-3")
        assert field.get_attribute("aria-invalid") == "true"
        assert page.inner_text("#feature-3-fault") == "Expected float32, got string."
        assert page.locator("#feature-6-fault").is_visible()
        assert page.evaluate("document.activeElement.id") == "feature-3"
        page.locator("#answer a").get_by_text("year").click()
        assert page.evaluate("document.activeElement.id") == "feature-6"
        assert violations(page) == []
        page.fill("#feature-3", "18.5")
        assert field.get_attribute("aria-invalid") is None
        assert page.locator("#feature-3-fault").is_hidden()
        page.fill("#feature-6", "2008")
        assert "Answered in" in predict(page)


@pytest.mark.long
def test_missing_values_are_left_out_of_the_record(browser: Browser, server: OwnServer) -> None:
    with browser.page(url(server)) as page:
        page.wait_for_selector("#model")
        page.get_by_label("missing: island").check()
        page.fill("#feature-1", "")  # an empty text is a text
        page.fill("#feature-2", "")  # an empty number is missing
        assert page.get_by_label("missing: bill_length_mm").is_checked()
        with page.expect_request("**/predict") as sent:
            page.click("#send")
        record = json.loads(sent.value.post_data)
        assert record["sex"] == ""
        assert not {"island", "bill_length_mm"} & set(record)


@pytest.mark.long
def test_numbers_keep_their_digits(browser: Browser, start: Start) -> None:
    served = start("kinds.onnx", *HTTP)
    with browser.page(url(served)) as page:
        page.wait_for_selector("#model")
        with page.expect_request("**/predict") as sent:
            page.click("#send")
        assert '"i64_must":9007199254740993' in sent.value.post_data
        page.fill("#feature-7", "+0012")
        page.fill("#feature-6", ".5")
        with page.expect_request("**/predict") as sent:
            page.click("#send")
        assert '"i64_must":12,' in sent.value.post_data
        assert '"f64_must":0.5,' in sent.value.post_data


@pytest.mark.long
def test_calls_are_copied(browser: Browser, server: OwnServer) -> None:
    allowed = ["clipboard-read", "clipboard-write"]
    with browser.page(url(server), permissions=allowed) as page:
        page.wait_for_selector("#model")
        page.get_by_role("tab", name="Python").click()
        page.click("#copy")
        page.get_by_role("status").get_by_text("Copied").wait_for()
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == page.text_content("#call-text") and server.at["http"] in copied


@pytest.mark.long
def test_the_page_asks_for_a_token(browser: Browser, start: Start, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("secret\n")
    served = start("penguins.onnx", *HTTP, "--tokens", str(tmp_path / "tokens"))
    with browser.page(url(served), is_refused=True) as page:
        page.wait_for_selector("#token-panel")
        assert page.locator("#model").is_hidden()
        assert page.evaluate("document.activeElement.id") == "token"
        assert violations(page) == []
        page.fill("#token", "another")
        page.keyboard.press("Enter")
        page.wait_for_selector("#token-fault:not([hidden])")
        assert violations(page) == []
        page.fill("#token", "secret")
        page.keyboard.press("Enter")
        page.wait_for_selector("#model:not([hidden])")
        assert page.locator("#token-panel").is_hidden()
        assert "Answered in" in predict(page)
        assert "Authorization: Bearer $(cat token.txt)" in page.text_content("#call-text")
        assert "secret" not in page.content()
        kept = page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]")
        assert kept == [0, 0, ""]


@pytest.mark.long
def test_a_token_that_was_replaced_is_asked_for_again(
    browser: Browser, start: Start, tmp_path: Path
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("first\n")
    served = start("penguins.onnx", *HTTP, "--tokens", str(tokens))
    with browser.page(url(served), is_refused=True) as page:
        page.fill("#token", "first")
        page.keyboard.press("Enter")
        page.wait_for_selector("#model:not([hidden])")
        page.fill("#feature-3", "19.75")
        tokens.write_text("second, no: a longer one".replace(" ", "") + "\n")
        wait_until(lambda: served.get("/v2", authorization="Bearer first")[0] == 401)
        page.click("#send")
        page.wait_for_selector("#token-panel:not([hidden])")
        page.fill("#token", "second,no:alongerone")
        with page.expect_request("**/predict") as sent:
            page.keyboard.press("Enter")
        assert json.loads(sent.value.post_data)["bill_depth_mm"] == 19.75
        page.wait_for_selector("#answer .result")


@pytest.mark.long
def test_a_model_without_a_contract_takes_tensors(
    browser: Browser, start: Start, tmp_path: Path
) -> None:
    served = start("odd_names.onnx", *HTTP, "--name", HOSTILE)
    with browser.page(url(served), is_refused=True) as page:
        page.wait_for_selector("#model")
        assert page.inner_text("#name") == HOSTILE
        assert 'Größe (cm) / "x"' in page.inner_text("#inputs")
        assert "Answered in" in predict(page)
        assert "y.0" in page.inner_text("#answer")
        program = tmp_path / "call"
        program.write_text(page.text_content("#call-text"))
        done = subprocess.run(["sh", program], capture_output=True, timeout=20, check=True)
        assert json.loads(done.stdout)["outputs"][0]["name"] == "y.0"
        page.fill("#body", "{")
        assert predict(page) == "The server refused the request."
        assert "expected" in page.inner_text("#answer .problem")


@pytest.mark.long
def test_the_page_says_that_the_server_is_gone(browser: Browser, start: Start) -> None:
    served = start("penguins.onnx", *HTTP)
    with browser.page(url(served), is_refused=True) as page:
        page.wait_for_selector("#model")
        served.end(signal.SIGKILL)
        assert predict(page) == "No answer"
        assert "cannot be reached" in page.inner_text("#answer")


@pytest.mark.long
def test_nothing_moves_for_those_who_ask_for_that(browser: Browser, server: OwnServer) -> None:
    with browser.page(url(server), reduced_motion="reduce") as page:
        page.wait_for_selector("#model")
        predict(page)
        bar = "getComputedStyle(document.querySelector('.bar-fill')).transitionDuration"
        assert page.evaluate(bar) == "0s"


@pytest.mark.long
def test_golden_rows_fill_the_form(browser: Browser, start: Start) -> None:
    served = start("spam.onnx", *HTTP)
    with sidecall.open(MODELS / "spam.onnx") as model, browser.page(url(served)) as page:
        page.wait_for_selector("#model")
        rows = model.contract["verification"]["features"][0]
        for row in range(3):
            page.select_option("#example", str(row))
            assert page.input_value("#feature-0") == rows[row]
            predict(page)
            assert page.inner_text("#answer .result") == model.predict({"text": rows[row]})["label"]
