"use strict";
/* Points, arrows and lines in three dimensions, turned by dragging or with the arrow keys. Own code,
   about a hundred lines on a canvas: the scenes have tens of elements, and a library of 600 kB
   would only add shading. Colours are the page's, so that both themes are legible. */
const Scene = (function () {
  const REST = 0.0035;

  function rotation(yaw, pitch) {
    const a = Math.cos(yaw), b = Math.sin(yaw), c = Math.cos(pitch), d = Math.sin(pitch);
    return ([x, y, z]) => [a * x - b * y, d * (b * x + a * y) + c * z, c * (b * x + a * y) - d * z];
  }

  const MARKS = {
    circle: (g, x, y, r) => g.arc(x, y, r, 0, 2 * Math.PI),
    square: (g, x, y, r) => g.rect(x - r, y - r, 2 * r, 2 * r),
    triangle: (g, x, y, r) => { g.moveTo(x, y - 1.2 * r); g.lineTo(x + 1.1 * r, y + r); g.lineTo(x - 1.1 * r, y + r); g.closePath(); },
    diamond: (g, x, y, r) => { g.moveTo(x, y - 1.3 * r); g.lineTo(x + 1.3 * r, y); g.lineTo(x, y + 1.3 * r); g.lineTo(x - 1.3 * r, y); g.closePath(); },
  };

  function create(canvas, { reach, yaw = 0.6, pitch = 0.35 }) {
    const g = canvas.getContext("2d");
    const still = matchMedia("(prefers-reduced-motion: reduce)");
    const view = { yaw, pitch, reach, turning: !still.matches };
    let shown = { arrows: [], lines: [], points: [] }, waiting = 0;

    function project() {
      const turn = rotation(view.yaw, view.pitch), size = Math.min(canvas.clientWidth, canvas.clientHeight);
      const unit = size / 2 / view.reach, x0 = canvas.clientWidth / 2, y0 = canvas.clientHeight / 2;
      return (point) => {
        const [x, y, depth] = turn(point), near = 1 / (1 + (0.22 * depth) / view.reach);
        return { x: x0 + unit * near * x, y: y0 - unit * near * y, depth, near };
      };
    }

    function line(style, ends, width, dash) {
      g.strokeStyle = style; g.lineWidth = width; g.setLineDash(dash || []);
      g.beginPath();
      ends.forEach((p, i) => (i ? g.lineTo(p.x, p.y) : g.moveTo(p.x, p.y)));
      g.stroke(); g.setLineDash([]);
    }

    function arrow(from, to, style, width, label, ink) {
      line(style, [from, to], width * to.near);
      const angle = Math.atan2(to.y - from.y, to.x - from.x), length = Math.hypot(to.x - from.x, to.y - from.y);
      if (length > 6) {
        const head = Math.min(13, length / 2) * to.near;
        g.fillStyle = style; g.beginPath(); g.moveTo(to.x + 2 * Math.cos(angle), to.y + 2 * Math.sin(angle));
        for (const side of [-0.42, 0.42]) g.lineTo(to.x - head * Math.cos(angle + side), to.y - head * Math.sin(angle + side));
        g.fill();
      }
      if (label) { g.fillStyle = ink; g.font = "14px system-ui, sans-serif"; g.textAlign = "center"; g.fillText(label, to.x + 16 * Math.cos(angle), to.y + 16 * Math.sin(angle) + 5); }
    }

    function paint() {
      waiting = 0;
      const dense = window.devicePixelRatio || 1, style = getComputedStyle(canvas), colour = (name) => style.getPropertyValue("--" + name).trim();
      canvas.width = canvas.clientWidth * dense; canvas.height = canvas.clientHeight * dense;
      g.setTransform(dense, 0, 0, dense, 0, 0); g.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
      const at = project(), origin = at([0, 0, 0]), ink = colour("ink"), jobs = [];
      for (const l of shown.lines) { const ends = l.points.map(at); jobs.push([Math.max(...ends.map((p) => p.depth)), () => line(colour(l.colour), ends, l.width || 1, l.dash)]); }
      for (const a of shown.arrows) { const to = at(a.to); jobs.push([to.depth / 2, () => arrow(origin, to, colour(a.colour), a.width || 3, a.label, ink)]); }
      for (const p of shown.points) {
        const q = at(p.at);
        jobs.push([q.depth, () => { g.beginPath(); MARKS[p.mark || "circle"](g, q.x, q.y, (p.size || 4) * q.near); g.fillStyle = colour("raised"); g.strokeStyle = colour(p.colour); g.lineWidth = 1.6; g.fill(); g.stroke(); }]);
      }
      jobs.sort((a, b) => b[0] - a[0]).forEach(([, draw]) => draw());
      if (view.turning && !document.hidden) { view.yaw += REST; ask(); }
    }

    function ask() { if (!waiting) waiting = requestAnimationFrame(paint); }

    canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); view.turning = false; });
    canvas.addEventListener("pointermove", (event) => { if (event.buttons) { view.yaw += event.movementX / 120; view.pitch = Math.max(-1.5, Math.min(1.5, view.pitch + event.movementY / 120)); ask(); } });
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] }[event.key];
      if (!step) return;
      event.preventDefault();
      view.turning = false; view.yaw += step[0]; view.pitch = Math.max(-1.5, Math.min(1.5, view.pitch + step[1])); ask();
    });
    document.addEventListener("visibilitychange", ask);
    window.addEventListener("resize", ask);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", ask);
    return { view, ask, show(scene) { shown = { arrows: [], lines: [], points: [], ...scene }; ask(); } };
  }

  return { create, rotation };
})();
if (typeof module !== "undefined") module.exports = Scene;
