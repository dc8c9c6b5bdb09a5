"""The report as its readers use it: opened from disk or a server, used by pointer and keyboard."""

from __future__ import annotations

import math

import pytest
from browser import FOCUS, OTHERS, PAGES, STOPS, settled

from figures.report import turning
from ufm.solvers.thresholds import log_R0


LIMIT = 1_000_000
VISIBLE = "document.querySelectorAll('.claims tbody tr:not([hidden])').length"
PHASE = "document.getElementById('fact-phase').textContent.startsWith('{}')"
# What a canvas shows, as a number that changes when a line moves.
INK = """(() => { let sum = 0;
  for (const c of document.getElementById('scene').toDataURL())
    sum = (sum * 31 + c.charCodeAt()) % 1e9;
  return sum; })()"""


@pytest.mark.parametrize("visitor", ["disk", "server"], indirect=True)
def test_every_kind_of_page_opens_without_complaints_and_fetches_nothing_foreign(visitor):
    page = visitor.open(PAGES[0])
    for name in PAGES + OTHERS:
        page.goto(visitor.base + name)
        assert page.title().endswith("· ufm")
        assert page.locator("h1").count() == 1
        broken = "Array.from(document.images).filter((i) => i.complete && !i.naturalWidth).length"
        assert page.evaluate(broken) == 0
    assert len(visitor.fetched) > 2 * len(PAGES + OTHERS)


@pytest.mark.parametrize("visitor", ["disk", "server"], indirect=True)
def test_every_complaint_and_every_foreign_address_would_be_noticed(visitor):
    page = visitor.open("corrections.html")
    page.evaluate("setTimeout(() => { throw new Error('thrown'); })")
    page.evaluate("console.warn('said')")
    page.evaluate("fetch('https://example.invalid/picture').catch(() => 0)")
    page.wait_for_timeout(100)
    assert {"thrown", "said"} <= {
        w for c in visitor.complaints for w in c.replace(":", " ").split()
    }
    assert visitor.foreign() == ["https://example.invalid/picture"]
    visitor.complaints.clear()
    visitor.fetched.clear()


def test_the_first_page_is_under_a_megabyte_with_all_that_it_loads(visitor, folder):
    page = visitor.open("index.html")
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.wait_for_load_state("networkidle")
    names = {address.removeprefix(visitor.base) for address in visitor.fetched}
    names = {name.split("#")[0] for name in names if not name.startswith("data:")}
    assert any(name.endswith(".webp") for name in names)
    # Thumbnails of thirty figures of 15 kB would still fit; here there is one.
    assert sum((folder / name).stat().st_size for name in names) < LIMIT / 2


def test_filters_by_keyboard_and_pointer_and_the_address_that_remembers_them(visitor):
    page = visitor.open("index.html")
    total = page.evaluate(VISIBLE)
    page.locator("select[name=paper]").focus()
    page.keyboard.type("Fang")
    of_paper = page.evaluate(VISIBLE)
    assert 0 < of_paper < total
    assert page.locator("#shown").text_content() == f"{of_paper} of {total} claims"
    page.locator("select[name=status]").focus()
    page.keyboard.type("refuted")
    assert page.evaluate(VISIBLE) == 1
    page.locator("input[name=words]").click()
    page.keyboard.type("no such claim")
    assert page.evaluate(VISIBLE) == 0
    page.keyboard.press("Escape")
    assert page.evaluate(VISIBLE) == 1
    assert page.url.endswith("#paper=fang2021&status=refuted")
    again = visitor.open("index.html#paper=fang2021&status=refuted")
    assert again.evaluate(VISIBLE) == 1
    page.get_by_role("button", name="Clear").click()
    settled(page, f"{VISIBLE} === {total}")
    page.locator(".tally a").first.click()
    assert 0 < settled(page, f"{VISIBLE} < {total} && {VISIBLE}") < total


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
    settled(page, PHASE.format("Told apart"))
    assert page.url.endswith(
        f"s={page.locator('#s').input_value()}&R={page.locator('#R').input_value()}"
    )
    assert float(page.locator("#R").input_value()) < 2
    assert float(page.locator("#s").input_value()) > 4


def test_frames_turn_by_drag_and_arrow_keys_and_change_with_their_controls(visitor):
    page = visitor.open("frames.html", reduced_motion="reduce")
    scene = page.locator("#scene")
    before = page.evaluate(INK)
    box = scene.bounding_box()
    page.mouse.move(box["x"] + 150, box["y"] + 150)
    page.mouse.down()
    page.mouse.move(box["x"] + 230, box["y"] + 180, steps=4)
    page.mouse.up()
    dragged = settled(page, f"{INK} !== {before} && {INK}")
    scene.focus()
    page.keyboard.press("ArrowLeft")
    settled(page, f"{INK} !== {dragged} && {INK}")
    page.locator("#frame").focus()
    seen = []
    for _ in turning.frames():
        page.locator("#position").focus()
        page.keyboard.press("End")
        seen.append((page.locator("#frame").input_value(), page.locator("#said").text_content()))
        assert page.locator("#cosines tr").count() == 4
        page.locator("#frame").focus()
        page.keyboard.press("ArrowDown")
    assert [id for id, _ in seen] == list(turning.frames())
    assert "Vanished" in dict(seen)["minority"]
    still = page.evaluate(INK)
    page.get_by_label("keep turning").check()
    settled(page, f"{INK} !== {still}")
    page.locator("#scene").click()
    assert not page.get_by_label("keep turning").is_checked()


def test_a_reader_who_wants_no_motion_gets_none(visitor):
    assert visitor.open("frames.html").get_by_label("keep turning").is_checked()
    page = visitor.open("frames.html", reduced_motion="reduce")
    assert not page.get_by_label("keep turning").is_checked()
    before = page.evaluate(INK)
    page.wait_for_timeout(200)
    assert page.evaluate(INK) == before


def test_the_player_plays_pauses_and_is_moved_by_keys(visitor):
    page = visitor.open("flow.html")
    page.get_by_role("button", name="Play").click()
    settled(page, "Number(document.getElementById('time').value) > 0.01")
    page.keyboard.press("Space")  # the button has the focus
    assert page.get_by_role("button", name="Play").is_visible()
    paused = page.locator("#time").input_value()
    page.wait_for_timeout(100)
    assert page.locator("#time").input_value() == paused
    page.locator("#time").focus()
    page.keyboard.press("End")
    assert page.locator("output[name=shown]").text_content() == "t = 10000"
    assert page.locator("#now-nc1_quot").text_content() == "2.00 · 10⁻⁴"
    assert page.locator("#metrics .line").count() == 5


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
