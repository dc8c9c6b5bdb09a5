"use strict";
/* Frames in three dimensions: which one, and its parameter, on a slider of computed positions. */
(function () {
  const frames = JSON.parse(document.getElementById("data").textContent);
  const form = document.getElementById("frame-controls"), canvas = document.getElementById("scene");
  const scene = Scene.create(canvas, { reach: 1.25 });
  const text = (id, value) => (document.getElementById(id).textContent = value);

  function choose() {
    const frame = frames[form.frame.value];
    form.position.max = frame.positions.length - 1;
    form.position.value = frame.start;
    text("about", frame.about);
    text("parameter", frame.parameter);
    form.position.disabled = frame.positions.length < 2;
    move();
  }

  function move() {
    const frame = frames[form.frame.value], now = frame.positions[form.position.value];
    form.value.value = now.value;
    scene.show({
      arrows: now.arrows.map(([to, colour, label]) => ({ to, colour, label, width: 3.4 })),
      lines: now.lines.map(([points, dashed]) => ({ points, colour: "soft", width: 1.2, dash: dashed ? [5, 4] : [] })),
    });
    text("said", now.said);
    const table = document.getElementById("cosines");
    table.replaceChildren();
    now.labels.forEach((name, i) => {
      const row = table.insertRow();
      const head = document.createElement("th");
      head.scope = "row"; head.textContent = name; row.appendChild(head);
      now.cosines[i].forEach((cosine) => (row.insertCell().textContent = cosine === null ? "—" : cosine.toFixed(3).replace("-", "−")));
    });
    canvas.setAttribute("aria-label", `${form.frame.selectedOptions[0].text}: ${now.said} Arrow keys turn it.`);
  }

  form.frame.addEventListener("change", () => { choose(); history.replaceState(null, "", "#" + form.frame.value); });
  form.position.addEventListener("input", move);
  form.turn.addEventListener("change", () => { scene.view.turning = form.turn.checked; scene.ask(); });
  canvas.addEventListener("pointerdown", () => (form.turn.checked = false));
  canvas.addEventListener("keydown", (event) => { if (event.key.startsWith("Arrow")) form.turn.checked = false; });
  form.turn.checked = scene.view.turning;

  function recall() {
    if (Object.hasOwn(frames, location.hash.slice(1))) form.frame.value = location.hash.slice(1);
    choose();
  }

  window.addEventListener("hashchange", recall);
  recall();
})();
