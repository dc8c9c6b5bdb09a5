"""The report as its readers use it: opened from disk or a server, used by pointer and keyboard."""

from __future__ import annotations

import math

import pytest
from browser import FOCUS, OTHERS, PAGES, STOPS, drawn, settled

from figures.report import turning
from ufm.solvers.thresholds import log_R0


LIMIT = 1_000_000
VISIBLE = "document.querySelectorAll('.claims tbody tr:not([hidden])').length"
PHASE = "document.getElementById('fact-phase').textContent.startsWith('{}')"
BROKEN = "Array.from(document.images).filter((i) => !i.naturalWidth).length"
# What a canvas shows, as a number that changes when a line moves.
INK = """(() => { let sum = 0;
  for (const c of document.getElementById('scene').toDataURL())
    sum = (sum * 31 + c.charCodeAt()) % 1e9;
  return sum; })()"""


def fetch_pictures(page):
    """Fetch those too that a page leaves until they are near; wait for all."""
    page.evaluate("for (const i of document.images) i.loading = 'eager'")
    settled(page, "Array.from(document.images).every((i) => i.complete)")


@pytest.mark.parametrize("visitor", ["disk", "server"], indirect=True)
def test_every_kind_of_page_opens_without_complaints_and_fetches_nothing_foreign(visitor):
    page = visitor.open(PAGES[0])
    for name in PAGES + OTHERS:
        page.goto(visitor.base + name)
        assert page.title().endswith("· ufm")
        assert page.locator("h1").count() == 1
        fetch_pictures(page)
        assert page.evaluate(BROKEN) == 0
    assert len(visitor.fetched) > 2 * len(PAGES + OTHERS)


@pytest.mark.parametrize("visitor", ["disk", "server"], indirect=True)
def test_every_complaint_and_every_foreign_address_would_be_noticed(visitor):
    page = visitor.open("corrections.html")
    with page.expect_event("pageerror"):
        page.evaluate("setTimeout(() => { throw new Error('thrown'); })")
    with page.expect_console_message():
        page.evaluate("console.warn('said')")
    with page.expect_event("requestfailed"):
        page.evaluate("fetch('https://example.invalid/picture').catch(() => 0)")
    assert {"thrown", "said"} <= {
        w for c in visitor.complaints for w in c.replace(":", " ").split()
    }
    assert visitor.foreign() == ["https://example.invalid/picture"]
    visitor.complaints.clear()
    visitor.fetched.clear()


def test_the_first_page_is_under_a_megabyte_with_all_that_it_loads(visitor, folder):
    page = visitor.open("index.html")
    fetch_pictures(page)
    names = {address.removeprefix(visitor.base) for address in visitor.fetched}
    names = {name.split("#")[0] for name in names if not name.startswith("data:")}
    assert any(name.endswith(".webp") for name in names)
    # Thumbnails of thirty figures of 15 kB would still fit; here there is one.
    assert sum((folder / name).stat().st_size for name in names) < LIMIT / 2


def test_filters_by_keyboard_and_pointer_and_the_address_that_remembers_them(visitor):
    page = visitor.open("index.html")
    total = page.evaluate(VISIBLE)
    # One letter each: what is typed too slowly for one word starts another.
    page.locator("select[name=paper]").focus()
    page.keyboard.type("F")
    settled(page, "document.querySelector('select[name=paper]').value === 'fang2021'")
    of_paper = page.evaluate(VISIBLE)
    assert 0 < of_paper < total
    assert page.locator("#shown").text_content() == f"{of_paper} of {total} claims"
    page.locator("select[name=status]").focus()
    page.keyboard.type("r")
    settled(page, "document.querySelector('select[name=status]').value === 'refuted'")
    assert page.evaluate(VISIBLE) == 1
    page.locator("input[name=words]").click()
    page.keyboard.type("no such claim")
    settled(page, f"{VISIBLE} === 0")
    page.keyboard.press("Escape")
    settled(page, f"{VISIBLE} === 1")
    settled(page, "location.hash === '#paper=fang2021&status=refuted'")
    again = visitor.open("index.html#paper=fang2021&status=refuted")
    assert again.evaluate(VISIBLE) == 1
    page.get_by_role("button", name="Clear").click()
    settled(page, f"{VISIBLE} === {total}")
    page.locator(".tally a").first.click()
    assert 0 < settled(page, f"{VISIBLE} < {total} && {VISIBLE}") < total
    page.go_back()
    settled(page, f"{VISIBLE} === {total}")


def test_an_address_that_names_what_is_not_there_shows_everything(visitor):
    page = visitor.open("index.html#paper=nobody2020&status=refuted")
    assert page.evaluate(VISIBLE) > 1
    assert page.locator("select[name=paper]").evaluate("(e) => e.selectedOptions[0].text") == "all"
    page = visitor.open("frames.html#toString", reduced_motion="reduce")
    assert page.locator("#cosines tr").count() == 4
    page = visitor.open("phases.html#A=many&B=3&elements=1")
    assert page.locator("output[name=B_out]").text_content() == "3"


def test_the_phase_diagram_follows_keys_and_a_dragged_point(visitor):
    page = visitor.open("phases.html")
    for name, key, times in (("A", "ArrowRight", 2), ("B", "ArrowLeft", 2), ("R", "End", 1)):
        page.locator(f"#{name}").focus()
        for _ in range(times):
            page.keyboard.press(key)
    settled(page, PHASE.format("Vanished"))
    R0 = math.exp(float(log_R0(7, 3, 10 * float(page.locator("#s").input_value()))))
    shown = "Number(document.getElementById('fact-R0').textContent)"
    settled(page, f"Math.abs({shown} / {R0!r} - 1) < 1e-4")  # five digits
    box = page.locator("#map").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 30, steps=4)
    page.mouse.up()
    settled(
        page, "document.getElementById('R').value < 2 && document.getElementById('s').value > 4"
    )
    settled(page, PHASE.format("Told apart"))
    s, R = (page.locator(name).input_value() for name in ("#s", "#R"))
    settled(page, f"location.hash === '#A=7&B=3&s={s}&R={R}'")
    page.evaluate("location.hash = '#A=2&B=9&s=0.5&R=5'")
    settled(page, PHASE.format("Collapsed"))
    assert [page.locator(f"output[name={n}_out]").text_content() for n in "AB"] == ["2", "9"]


def test_frames_turn_by_drag_and_arrow_keys_and_change_with_their_controls(visitor):
    page = visitor.open("frames.html", reduced_motion="reduce")
    scene = page.locator("#scene")
    before = drawn(page, INK)
    box = scene.bounding_box()
    page.mouse.move(box["x"] + 150, box["y"] + 150)
    page.mouse.down()
    page.mouse.move(box["x"] + 230, box["y"] + 180, steps=4)
    page.mouse.up()
    dragged = drawn(page, INK)
    assert dragged != before
    scene.focus()
    page.keyboard.press("ArrowLeft")
    assert drawn(page, INK) != dragged
    seen = {}
    for id in turning.frames():
        settled(page, f"document.getElementById('frame').value === '{id}'")
        page.locator("#position").focus()
        page.keyboard.press("End")
        settled(page, "document.getElementById('position').value >= "
                      "Number(document.getElementById('position').max)")  # fmt: skip
        seen[id] = page.locator("#said").text_content()
        assert page.locator("#cosines tr").count() == 4
        page.locator("#frame").focus()
        page.keyboard.press("ArrowDown")
    assert "Vanished" in seen["minority"]
    still = drawn(page, INK)
    page.get_by_label("keep turning").check()
    settled(page, f"{INK} !== {still}")
    page.locator("#scene").click()
    settled(page, "!document.getElementById('turn').checked")
    still = drawn(page, INK)
    assert drawn(page, INK, frames=8) == still


def test_a_reader_who_wants_no_motion_gets_none(visitor):
    assert visitor.open("frames.html").get_by_label("keep turning").is_checked()
    page = visitor.open("frames.html", reduced_motion="reduce")
    assert not page.get_by_label("keep turning").is_checked()
    before = drawn(page, INK)
    assert drawn(page, INK, frames=8) == before


def test_the_player_plays_pauses_and_is_moved_by_keys(visitor):
    page = visitor.open("flow.html")
    page.get_by_role("button", name="Play").click()
    settled(page, "document.getElementById('time').value > 0.01")
    page.keyboard.press("Space")  # the button has the focus
    settled(page, "document.getElementById('flow-controls').play.textContent === 'Play'")
    paused = drawn(page, "document.getElementById('time').value")
    assert drawn(page, "document.getElementById('time').value", frames=8) == paused
    page.locator("#time").focus()
    page.keyboard.press("End")
    settled(page, "document.querySelector('output[name=shown]').value === 't = 10000'")
    assert page.locator("#now-nc1_quot").text_content() == "2.00 · 10⁻⁴"
    assert page.locator("#metrics .line").count() == 5


@pytest.mark.parametrize("hertz", [2, 60, 240])
def test_the_player_keeps_its_pace_on_slow_and_fast_screens(visitor, hertz):
    page = visitor.open("flow.html")
    # Frames come when the test says, on a clock of its own.
    page.evaluate(
        "() => { let id = 0; window.asked = new Map();"
        " window.requestAnimationFrame = (f) => { asked.set(++id, f); return id; };"
        " window.cancelAnimationFrame = (n) => asked.delete(n);"
        " window.frame = (now) => {"
        " const due = [...asked.values()]; asked.clear(); due.forEach((f) => f(now)); }; }"
    )
    ticks = "[...asked.values()].filter((f) => f.name === 'tick').length"
    place = "Number(document.getElementById('time').value)"
    page.get_by_role("button", name="Play").click()
    run = "([n, step]) => { for (let i = 0; i < n; i++) frame(1000 + i * step); }"
    page.evaluate(run, [hertz + 1, 1000 / hertz])
    # One second of the fourteen that the whole takes, on a slider of 500 steps.
    assert page.evaluate(place) == pytest.approx(1 / 14, abs=1 / 500)
    # A page that was hidden for an hour goes on from where it was, at most a second further.
    page.evaluate("frame(3.6e6)")
    assert page.evaluate(place) == pytest.approx(2 / 14, abs=1 / 500)
    for name, count in (("Pause", 0), ("Play", 1), ("Pause", 0), ("Play", 1)):
        page.get_by_role("button", name=name).click()
        assert page.evaluate(ticks) == count
    page.evaluate("for (let i = 0; i < 40; i++) frame(4e6 + 500 * i)")
    assert page.evaluate(place) == 1
    assert page.evaluate(ticks) == 0
    assert page.get_by_role("button", name="Play").is_visible()


@pytest.mark.parametrize("name", ["index.html", "phases.html", "frames.html", "flow.html"])
def test_the_tab_key_visits_every_control_in_order_and_shows_where_it_is(visitor, name):
    page = visitor.open(name)
    count = page.evaluate(STOPS)
    page.keyboard.press("Tab")
    assert "#main" in page.evaluate(FOCUS)["name"]  # past the bar, to the content
    for index in range(min(count, 40)):
        focus = page.evaluate(FOCUS)
        assert focus["index"] == index, focus
        assert focus["outlined"], focus
        assert focus["seen"], focus
        page.keyboard.press("Tab")
    for _ in range(8):
        page.keyboard.press("Shift+Tab")
        focus = page.evaluate(FOCUS)
        assert focus["uncovered"], focus


def test_skipping_to_the_content_leaves_the_bar_behind(visitor):
    page = visitor.open("corrections.html")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    settled(page, "location.hash === '#main'")
    page.evaluate(STOPS)
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('main').contains(document.activeElement)")


def test_a_page_without_scripts_says_so_and_still_lists_every_claim(visitor):
    page = visitor.open("phases.html", java_script_enabled=False)
    assert "switched off" in page.locator("main").text_content()
    page = visitor.open("index.html", java_script_enabled=False)
    assert page.locator("table.claims tbody tr").count() > 50
    assert not page.locator("#filters").is_visible()


@pytest.mark.slow
def test_the_first_page_answers_within_a_second(visitor):
    """From the start of the navigation to the frame that shows a filtered table."""
    context = visitor.browser.new_context()
    context.add_init_script(
        "document.addEventListener('DOMContentLoaded', () => {"
        " const form = document.getElementById('filters'); form.words.value = 'minority';"
        " form.dispatchEvent(new Event('input'));"
        " requestAnimationFrame(() => setTimeout(() => { window.answered = performance.now(); }));"
        "});"
    )
    times = []
    for _ in range(3):
        page = context.new_page()
        page.goto(visitor.base + "index.html")
        times.append(settled(page, "window.answered"))
        assert page.evaluate(VISIBLE) < 50
    assert min(times) < 1000
