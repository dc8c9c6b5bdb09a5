"use strict";
/* Closed forms of step imbalance: thresholds and the exact optimum. The same formulas, letter for
   letter, as ufm/solvers/_step_curves.py and step.py, and tested against their numbers.
   A majority classes, B >= 2 minority classes, ratio R >= 1 as its logarithm, tau = K sqrt(E_W E_H). */
const Step = (function () {
  const { exp, expm1, log, log1p, max, min, sqrt } = Math;

  /* What depends on s = ln(q_o / q_m) alone. */
  function boundary(s, beta) {
    const x = expm1(s), bx = beta * x, square = x * (2 + bx), r = sqrt(1 + square);
    const gain = square / (1 + r);
    return { x, r, gain, L: log1p((gain * (1 + bx) + bx) / (1 + beta * (1 + square))) };
  }

  /* Radius of the marginal solution, and its slope in s. */
  function radius(s, A, B) {
    const beta = B / (A + B), { x, r, L } = boundary(s, beta), e = 1 + x, bx = beta * x;
    const slope_r = (e * (1 + bx)) / r;
    const slope_L = slope_r / r +
      beta * ((e + slope_r) / (1 + bx + beta * r) - (2 * r * slope_r) / (1 + beta * r * r));
    return {
      value: (A - 1) * (B * s * r + A * L) + B * s * (1 + bx),
      slope: (A - 1) * (B * (r + s * slope_r) + A * slope_L) + B * (1 + bx + beta * s * e),
    };
  }

  /* The s of a radius, by Newton on ln tau as a convex function of ln s. */
  function gapOf(tau, A, B) {
    const beta = B / (A + B), ell = log1p(tau / (B * ((A - 1) * sqrt(beta) + beta)));
    let s = min(ell * (1 - log1p(ell) / (2 + ell)), tau / (A * (A + B - 1)));
    for (let i = 0; i < 60; i++) {
      const { value, slope } = radius(s, A, B), step = (log(value / tau) * value) / (s * slope);
      s *= exp(-step);
      if (Math.abs(step) < 1e-9) break;
    }
    return s;
  }

  function logRatio(s, A, B) {
    const { x, r, L } = boundary(s, B / (A + B)), a = B * s * r + A * L;
    const log_o = log(r) - L - log(A + B * (1 + x));
    if (a < 300) return log1p(exp(log_o) * expm1(a));
    return a + log_o + log1p(expm1(-log_o) * exp(-a));
  }

  /* ln R_0: from there on the minority classes are merged. */
  function logR0(A, B, tau) {
    return logRatio(gapOf(tau, A, B), A, B);
  }

  function vanishingV(c, A, B) {
    const root = sqrt(B / (A + B)), pole = log1p(1 / root), sigma = expm1(-min(c, pole));
    const near = c < pole / 2
      ? log1p(max(sigma * (1 + root), -1))
      : log(root * expm1(max(pole - c, 0)));
    return -(near + log1p(sigma * (1 - root))) / 2;
  }

  /* ln R_1: from there on the minority vectors are zero; Infinity if they never are. */
  function logR1(A, B, tau) {
    const K = A + B, c = tau / (A * (A - 1)), finite = min(c, log1p(sqrt(K / B)));
    const sigma = expm1(-finite), power = (A - 1) * finite, rest = (A - 1) * (1 + sigma) + B;
    const small = log1p((expm1(min(power, 300)) + (A - 1) * sigma) / K);
    const large = power + log1p(rest * exp(-power)) - log(K);
    return (power < 300 ? small : large) + vanishingV(c, A, B);
  }

  /* Solutions that tell the minority classes apart: s from 0 to gapOf(tau). */
  function full(s, tau, A, B) {
    const K = A + B, beta = B / K, { x, r, gain, L } = boundary(s, beta);
    const bx = beta * x, growth = 1 + x;
    const rest = tau - (A - 1) * (B * s * r + A * L) - B * s * (1 + bx);
    const e = max(rest, 0) / ((A - 1) * r + B + bx), extra = gain * e + B * s * r + A * L;
    const p = (beta * x * x) / (growth + r), M = A + B * growth, E = exp(-e), clip = min(extra, 300);
    const total = growth + (M - growth) * E;
    const excess = p * (exp(clip) - E) + growth * expm1(clip - s) + E * x;
    const large = extra + log((1 + p + (M - 1 - p) * exp(-e - extra)) / total);
    const c = -(e + B * s) / K;
    return { logR: extra < 300 ? log1p(excess / total) : large, a: e + extra, c, d: c * r, e };
  }

  /* Solutions with one logit for all minority classes: v = ln(R p_m / q_m). */
  function merged(v, tau, A, B) {
    const K = A + B, rho = exp(-v), m = sqrt(K * (A * rho * rho + B));
    const sigma = (K * expm1(-2 * v)) / (m + K), L = -log1p(sigma);
    const z = max(tau - A * (A - 1) * L, 0) / (B * (A - 1 + m / K)), y = z * rho;
    const delta = (B - 1) * z - z * expm1(-v) + (A - 1) * L, decay = exp(-y), total = B + A * decay;
    const excess = expm1(min(delta, 300)) + (B - 1) * expm1(-y) + (A - 1) * sigma * decay;
    const large = delta + log((1 + (m - 1 - sigma) * exp(-delta - y)) / total);
    const logR = v + (delta < 300 ? log1p(excess / total) : large);
    return { logR, a: B * z + A * L, c: (-B * y) / K, d: (-B * z) / K, e: 0 };
  }

  /* The point of a curve of increasing logR. */
  function onCurve(curve, low, high, logR) {
    for (let i = 0; i < 200 && high - low > 1e-16 * (1 + high); i++) {
      const middle = (low + high) / 2;
      if (curve(middle).logR < logR) low = middle; else high = middle;
    }
    return curve((low + high) / 2);
  }

  /* The exact optimum: phase, blocks of the logits, squared norms over the budgets, cosines, risk. */
  function optimum(A, B, logR, tau) {
    const K = A + B, s0 = gapOf(tau, A, B), c = tau / (A * (A - 1));
    if (logR < logRatio(s0, A, B)) {
      const point = onCurve((s) => full(s, tau, A, B), 0, s0, logR);
      return described(logR === 0 ? "balanced" : "full", point, A, B, logR, tau);
    }
    if (logR >= logR1(A, B, tau))
      return described("vanished", { a: tau / (A - 1), c: 0, d: 0, e: 0 }, A, B, logR, tau);
    const low = log(boundary(s0, B / K).r);
    const bound = logR + s0 + log(B + A * exp(-s0)) - log(K * B) / 2;
    const high = max(min(vanishingV(c, A, B), bound), low);
    return described("collapsed", onCurve((v) => merged(v, tau, A, B), low, high, logR), A, B, logR, tau);
  }

  function described(phase, z, A, B, logR, tau) {
    const K = A + B, a = A === 1 ? 0 : z.a, R = exp(logR), pi_B = 1 / (R * A + B);
    const square_A = B * z.d * z.d, square_B = A * z.c * z.c, both = square_A + square_B;
    const mixed = sqrt(K * both), share = both > 0 ? square_A / both : 0;
    const odds_A = (A - 1) * exp(-a) + B * exp(-((A - 1) * a - K * z.d) / A);
    const odds_B = (B - 1) * exp(-z.e) + A * exp(-((B - 1) * z.e - K * z.c) / B);
    const found = { phase, a, c: z.c, d: z.d, e: z.e, p_A: 1 / (1 + odds_A), p_B: 1 / (1 + odds_B) };
    found.value = pi_B * (R * A * log1p(odds_A) + B * log1p(odds_B));
    for (const [name, gap, size, part] of [
      ["w_A", a, A, (mixed * B) / K], ["w_B", z.e, B, (mixed * A) / K],
      ["h_A", a, A, mixed * share], ["h_B", z.e, B, mixed * (1 - share)],
    ]) {
      const square = (gap * (size - 1) + part) / size, product = (part - gap) / size;
      found[name] = (K / tau) * square;
      found["cos_" + name] = square > 0 && size > 1 ? product / square : NaN;
    }
    return found;
  }

  return { logR0, logR1, optimum };
})();
if (typeof module !== "undefined") module.exports = Step;
