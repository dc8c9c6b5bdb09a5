"use strict";
/* A recorded gradient flow: features and classifier in space, loss and metrics over time. */
(function () {
  const flow = JSON.parse(document.getElementById("data").textContent);
  const form = document.getElementById("flow-controls"), plotted = document.getElementById("metrics");
  const scene = Scene.create(document.getElementById("scene"), { reach: flow.reach });
  const COLOURS = ["one", "two", "three", "four"], MARKS = ["circle", "square", "triangle", "diamond"];
  const SECONDS = 14, LONGEST = 1000, END = flow.times.length - 1, FIRST = Math.log10(flow.times[1]), LAST = Math.log10(flow.times[END]);
  // The place is kept here: the slider rounds to its steps, which are longer than a frame of a fast screen.
  let u = 0, frame = 0, before = 0;

  /* The slider runs from 0 to 1: the start, then the logarithm of time. */
  const timeAt = (u) => (u <= 0 ? 0 : 10 ** (FIRST + u * (LAST - FIRST)));

  function place(u) {
    const t = timeAt(u);
    let i = flow.times.findIndex((time) => time >= t);
    i = i < 0 ? END : Math.max(i, 1);
    const log = (time) => (i === 1 ? time : Math.log(time));
    const part = Math.min(1, (log(t) - log(flow.times[i - 1])) / (log(flow.times[i]) - log(flow.times[i - 1])) || 0);
    const mix = (from, to) => from.map((x, j) => x + part * (to[j] - x));
    return (rows) => rows[i - 1].map((from, k) => mix(from, rows[i][k]));
  }

  function metric(series, t) {
    let best = 0;
    series.times.forEach((time, i) => { if (Math.abs(time - t) < Math.abs(series.times[best] - t)) best = i; });
    return series.values[best];
  }

  function draw() {
    const at = place(u), t = timeAt(u), W = at(flow.classifier), H = at(flow.features);
    const edges = W.flatMap((a, i) => W.slice(0, i).map((b) => ({ points: [a, b], colour: "soft", width: 1, dash: [4, 4] })));
    scene.show({
      arrows: W.map((to, k) => ({ to, colour: COLOURS[k], width: 3.4, label: String(k + 1) })),
      points: H.map((point, i) => ({ at: point, colour: COLOURS[flow.labels[i]], mark: MARKS[flow.labels[i]] })),
      lines: u > 0.6 ? edges : [],
    });
    form.shown.value = "t = " + Plot.number(t, 3);
    for (const series of flow.metrics) document.getElementById("now-" + series.name).textContent = Plot.number(metric(series, t), 3);
    const plot = Plot.axes(plotted, {
      height: 320,
      x: { from: -1, to: LAST, ticks: Plot.powers(-1, Math.round(LAST)), label: "flow time t" },
      y: { from: -9, to: 3, ticks: Plot.powers(-9, 3, 3), label: "excess, metrics" },
    });
    for (const series of flow.metrics) plot.line(series.times.map((time, i) => [Math.log10(time), Math.log10(Math.max(series.values[i], 1e-12))]).filter(([x]) => x >= -1), series.style);
    if (t) plot.line([[Math.log10(t), -9], [Math.log10(t), 3]], "cursor");
  }

  function move(to) {
    u = Math.min(1, to);
    form.time.value = u;
    draw();
  }

  function tick(now) {
    // A page that was hidden, or too busy to draw, goes on from where it was.
    const passed = before ? Math.min(now - before, LONGEST) : 0;
    before = now;
    frame = requestAnimationFrame(tick);
    move(u + passed / 1000 / SECONDS);
    if (u >= 1) stop();
  }

  function stop() {
    cancelAnimationFrame(frame);
    frame = 0; form.play.textContent = "Play";
  }

  form.play.addEventListener("click", () => {
    if (frame) return stop();
    if (u >= 1) u = 0;
    before = 0; form.play.textContent = "Pause";
    frame = requestAnimationFrame(tick);
  });
  form.time.addEventListener("input", () => { stop(); u = Number(form.time.value); draw(); });
  window.addEventListener("resize", draw);

  function recall() {
    const start = new URLSearchParams(location.hash.slice(1)).get("time");
    if (start) { stop(); form.time.value = start; u = Number(form.time.value); }
    draw();
  }

  window.addEventListener("hashchange", recall);
  recall();
})();
