"use strict";
/* The phase diagram of minority collapse: sliders, a draggable point, and the optimum there. */
(function () {
  const SLIDERS = ["A", "B", "s", "R"], DECADES = 6, HIGHEST = 5, STEPS = 160, LN10 = Math.LN10;
  const form = document.getElementById("phase-controls");
  const map = document.getElementById("map"), profile = document.getElementById("profile");
  const WORDS = {
    balanced: "Balanced: all classes form one simplex ETF.",
    full: "Told apart: every minority class has a direction of its own.",
    collapsed: "Collapsed: all minority classes share one classifier row and one feature.",
    vanished: "Vanished: the minority's rows and features are exactly zero.",
  };

  function state() {
    const A = Number(form.A.value), B = Number(form.B.value), s = Number(form.s.value);
    return { A, B, s, tau: (A + B) * s, logR: Number(form.R.value) * LN10 };
  }

  function drawMap({ A, B, s, logR }) {
    const plot = Plot.axes(map, {
      height: 380,
      x: { from: 0, to: DECADES, ticks: Plot.powers(0, DECADES), label: "imbalance ratio R = n_A / n_B" },
      y: { from: 0, to: HIGHEST, ticks: [0, 1, 2, 3, 4, 5].map((v) => [v, String(v)]), label: "energy √(E_W E_H)" },
    });
    const energies = Array.from({ length: STEPS }, (_, i) => ((i + 0.5) / STEPS) * HIGHEST);
    // R_1 runs off to infinity at a finite energy: sampled ever more densely towards it.
    const pole = ((A * (A - 1)) / (A + B)) * Math.log1p(Math.sqrt((A + B) / B));
    const nearing = energies.map((_, i) => pole * -Math.expm1((-30 * (i + 1)) / STEPS));
    const upTo = A > 1 ? nearing.filter((e) => e < HIGHEST).concat(pole < HIGHEST ? [] : [HIGHEST]) : [0];
    const edge = (log, at) => at.map((e) => [e ? Math.min(log(A, B, (A + B) * e) / LN10, DECADES) : DECADES, e]);
    const close = (curve) => [[DECADES, 0], [A > 1 ? 0 : curve[0][0], 0], ...curve, [DECADES, curve[curve.length - 1][1]]];
    const R0 = edge(Step.logR0, energies.concat(HIGHEST)), R1 = edge(Step.logR1, upTo);
    plot.area([[0, 0], [DECADES, 0], [DECADES, HIGHEST], [0, HIGHEST]], "full");
    plot.area(close(R0), "collapsed");
    plot.area(close(R1), "vanished");
    plot.line(R0.filter(([x]) => x < DECADES), "solid");
    plot.line(R1.filter(([x]) => x < DECADES), "dashed");
    plot.dot(logR / LN10, s, "here");
    map.plot = plot;
  }

  function drawProfile({ A, B, tau, logR }) {
    const plot = Plot.axes(profile, {
      height: 300,
      x: { from: 0, to: DECADES, ticks: Plot.powers(0, DECADES), label: "imbalance ratio R, at this energy" },
      y: { from: -0.6, to: 1.3, ticks: [-0.5, 0, 0.5, 1].map((v) => [v, String(v).replace("-", "−")]), label: "cosine, norms, probability" },
    });
    const points = Array.from({ length: STEPS }, (_, i) => (i / (STEPS - 1)) * DECADES);
    const optima = points.map((x) => Step.optimum(A, B, x * LN10, tau));
    const series = (name) => points.map((x, i) => [x, optima[i][name]]);
    plot.line(series("cos_w_B"), "one");
    plot.line(series("w_B"), "two");
    plot.line(series("h_B"), "three");
    plot.line(series("p_B"), "four");
    plot.line([[logR / LN10, -0.6], [logR / LN10, 1.3]], "cursor");
  }

  const digits = (v) => (isFinite(v) ? Plot.number(v, 5) : v > 0 ? "never" : "undefined");

  function describe({ A, B, s, tau, logR }) {
    const found = Step.optimum(A, B, logR, tau), R0 = Step.logR0(A, B, tau), R1 = Step.logR1(A, B, tau);
    const facts = {
      phase: WORDS[found.phase], R0: digits(Math.exp(R0)), R1: digits(Math.exp(R1)),
      weight: logR < R0 ? "none is needed" : "more than " + digits(Math.exp(logR - R0)),
      cosine: digits(found.cos_w_B), rows: digits(found.w_B), features: digits(found.h_B),
      own: `${digits(found.p_B)} (uniform: ${digits(1 / (A + B))})`, risk: digits(found.value),
    };
    for (const [name, text] of Object.entries(facts)) document.getElementById("fact-" + name).textContent = text;
    form.A_out.value = A; form.B_out.value = B; form.s_out.value = digits(s * s); form.R_out.value = digits(Math.exp(logR));
    map.setAttribute("aria-label", `Phase diagram with ${A} majority and ${B} minority classes. ${facts.phase}`);
  }

  let waiting = 0;
  function draw() {
    if (waiting) return;
    waiting = requestAnimationFrame(() => {
      waiting = 0;
      const now = state();
      drawMap(now); drawProfile(now); describe(now);
    });
  }

  function changed() {
    draw();
    history.replaceState(null, "", "#" + SLIDERS.map((n) => `${n}=${form[n].value}`).join("&"));
  }

  function moveTo(event) {
    const box = map.getBoundingClientRect();
    const [x, y] = map.plot.at.value(event.clientX - box.left, event.clientY - box.top);
    form.R.value = x; form.s.value = y;
    changed();
  }

  function recall() {
    const chosen = new URLSearchParams(location.hash.slice(1));
    for (const name of SLIDERS) if (chosen.has(name)) form[name].value = chosen.get(name);
  }

  recall();
  form.addEventListener("input", changed);
  map.addEventListener("pointerdown", (event) => { map.setPointerCapture(event.pointerId); moveTo(event); });
  map.addEventListener("pointermove", (event) => { if (event.buttons) moveTo(event); });
  window.addEventListener("resize", draw);
  window.addEventListener("hashchange", () => { recall(); draw(); });
  const now = state();
  drawMap(now); drawProfile(now); describe(now);
})();
