"use strict";
/* Small plots in SVG: axes in the page's own pixels (so that text keeps its size), lines, areas. */
const Plot = (function () {
  const MARGIN = { left: 58, right: 14, top: 12, bottom: 46 };

  function add(parent, name, attributes, text) {
    const element = parent.ownerDocument.createElementNS(parent.namespaceURI, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    parent.appendChild(element);
    return element;
  }

  let plots = 0;

  /* A label with its subscripts: n_A / n_B. */
  function label(parent, attributes, text) {
    const element = add(parent, "text", attributes);
    text.split(/_([A-Za-z0-9]+)/).forEach((part, i) => {
      if (part) add(element, "tspan", i % 2 ? { dy: 4, "font-size": "10px" } : i ? { dy: -4 } : {}, part);
    });
  }

  /* Clear an svg and draw axes; x and y are { from, to, ticks: [[value, text], ...], label }. */
  function axes(svg, { x, y, height }) {
    const width = Math.max(svg.clientWidth, 240);
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", height);
    const right = width - MARGIN.right, bottom = height - MARGIN.bottom;
    const at = {
      x: (v) => MARGIN.left + ((v - x.from) / (x.to - x.from)) * (right - MARGIN.left),
      y: (v) => bottom - ((v - y.from) / (y.to - y.from)) * (bottom - MARGIN.top),
      value: (px, py) => [
        x.from + ((px - MARGIN.left) / (right - MARGIN.left)) * (x.to - x.from),
        y.from + ((bottom - py) / (bottom - MARGIN.top)) * (y.to - y.from),
      ],
    };
    // Curves leave the plot where they leave its range; they are not laid along its edge.
    const id = `inside-${++plots}`, inner = { x: MARGIN.left, y: MARGIN.top, width: right - MARGIN.left, height: bottom - MARGIN.top };
    add(add(svg, "clipPath", { id }), "rect", { ...inner, y: inner.y - 2, height: inner.height + 3 });
    const data = add(svg, "g", { "clip-path": `url(#${id})` }), marks = add(svg, "g", {}), frame = add(svg, "g", { class: "frame" });
    add(frame, "path", { d: `M${MARGIN.left} ${MARGIN.top}V${bottom}H${right}` });
    const every = Math.ceil((x.ticks.length * 46) / (right - MARGIN.left));
    x.ticks.forEach(([value, text], i) => {
      if (i % every) return;
      add(frame, "path", { d: `M${at.x(value)} ${bottom}v5` });
      add(frame, "text", { x: at.x(value), y: bottom + 18, "text-anchor": "middle" }, text);
    });
    for (const [value, text] of y.ticks) {
      add(frame, "path", { d: `M${MARGIN.left} ${at.y(value)}h-5` });
      add(frame, "text", { x: MARGIN.left - 8, y: at.y(value) + 4, "text-anchor": "end" }, text);
    }
    label(frame, { x: (MARGIN.left + right) / 2, y: height - 8, "text-anchor": "middle" }, x.label);
    const middle = (MARGIN.top + bottom) / 2;
    label(frame, { x: 14, y: middle, "text-anchor": "middle", transform: `rotate(-90 14 ${middle})` }, y.label);
    const inside = (points) => points.filter(([a, b]) => isFinite(a) && isFinite(b));
    const steps = (points) => inside(points).map(([a, b]) => `${at.x(a).toFixed(1)} ${at.y(b).toFixed(1)}`).join("L");
    return {
      at,
      line: (points, style) => points.length && add(data, "path", { d: "M" + steps(points), class: "line " + style }),
      area: (points, style) => points.length && add(data, "path", { d: "M" + steps(points) + "Z", class: "area " + style }),
      dot: (a, b, style) => add(marks, "circle", { cx: at.x(a), cy: at.y(b), r: 7, class: "dot " + style }),
      text: (a, b, text) => add(marks, "text", { x: at.x(a), y: at.y(b), class: "label" }, text),
    };
  }

  const superscript = (n) => String(n).replace(/[-\d]/g, (c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]);

  /* A number with so many digits, as the other pages write it: 1.59, or 2.4 · 10⁻⁶. */
  function number(value, digits) {
    if (value === 0) return "0";
    const size = Math.abs(value);
    const whole = size >= 10 ** digits - 0.5;
    if (size >= 1e-3 && size < 1e5) return (whole ? String(Math.round(value)) : value.toPrecision(digits)).replace("-", "−");
    const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
    return `${mantissa.replace("-", "−")} · 10${superscript(Number(exponent))}`;
  }

  /* Ticks at powers of ten between two exponents. */
  function powers(from, to, every) {
    const ticks = [];
    for (let n = from; n <= to; n += every || 1) ticks.push([n, n === 0 ? "1" : "10" + superscript(n)]);
    return ticks;
  }

  return { axes, number, powers };
})();
