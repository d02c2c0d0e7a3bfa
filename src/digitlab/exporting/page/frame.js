// Frame: ink of any size becomes a 28 x 28 image as MNIST was made, step by step as digitlab's data/frame.py does it.
// A glyph is { width, height, ink }: ink is a Float32Array, 0-1, row by row, bright ink on dark.
"use strict";
(() => {
  const SIDE = 28;
  const FIELD = 20;
  const STROKE = [1.7, 4.2]; // widths of stroke that need no correction, in pixels of the 28 x 28 image
  const CORRECTED = [2.2, 3.6]; // where the others are brought to
  const FINE = 4; // lines are thickened in an image this many times finer than the field
  const FAINT = 0.2; // of the ink's level: what is fainter does not widen the box

  const glyph = (width, height) => ({ width, height, ink: new Float32Array(width * height) });

  /** Round halves to even numbers, as Python does. */
  function round(x) {
    const near = Math.round(x);
    return near - x === 0.5 && near % 2 ? near - 1 : near;
  }

  function greatest(values) {
    let most = 0;
    for (const value of values) if (value > most) most = value;
    return most;
  }

  /** Make the 28 x 28 image, a Float32Array of 784; null where there is no ink. */
  function frame(drawn) {
    let ink = crop(drawn);
    if (!ink) return null;
    // Shrunk before its levels are set: a line finer than a pixel has become faint by then, and is made solid again.
    const longest = Math.max(ink.width, ink.height);
    ink = leveled(longest > FIELD * FINE ? scaled(ink, (FIELD * FINE) / longest) : ink);
    const width = (strokeWidth(ink) * FIELD) / Math.max(ink.width, ink.height);
    if (width < STROKE[0] || width > STROKE[1]) ink = withStroke(ink, width);
    return place(fit(ink));
  }

  function crop({ width, height, ink }) {
    const peak = greatest(ink);
    if (!(peak >= 1 / 255)) return null;
    const least = Math.fround(FAINT * peak);
    let [left, top, right, bottom] = [width, height, 0, 0];
    for (let y = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1) {
        if (ink[y * width + x] <= least) continue;
        left = Math.min(left, x);
        right = Math.max(right, x + 1);
        top = Math.min(top, y);
        bottom = y + 1;
      }
    }
    const box = glyph(right - left, bottom - top);
    for (let y = top; y < bottom; y += 1) {
      box.ink.set(ink.subarray(y * width + left, y * width + right), (y - top) * box.width);
    }
    return box;
  }

  function padded({ width, height, ink }, top, bottom, left, right) {
    const wider = glyph(left + width + right, top + height + bottom);
    for (let y = 0; y < height; y += 1) {
      wider.ink.set(ink.subarray(y * width, (y + 1) * width), (y + top) * wider.width + left);
    }
    return wider;
  }

  /** Stretch the levels so that the middle of a stroke, the brighter third of the solid ink, is 1. */
  function leveled({ width, height, ink }) {
    const half = Math.fround(0.5 * greatest(ink));
    const solid = ink.filter((value) => value > half).sort();
    const factor = Math.fround(1 / solid[Math.floor((2 * solid.length) / 3)]);
    return { width, height, ink: ink.map((value) => Math.min(value * factor, 1)) };
  }

  /** Twice the area by the outline, which is the total variation of the grey values. */
  function strokeWidth(inked) {
    const { width, ink } = padded(inked, 1, 1, 1, 1);
    let [area, outline] = [0, 0];
    for (let i = 0; i + width + 1 < ink.length; i += 1) {
      if (i % width === width - 1) continue;
      area += ink[i];
      outline += Math.hypot(ink[i] - ink[i + width + 1], ink[i + width] - ink[i + 1]);
    }
    return outline > 0 ? (2 * area) / (outline / Math.SQRT2) : 0;
  }

  /** Thicken or thin the strokes until they are within range once the glyph is fitted into the field. */
  function withStroke(thin, width) {
    let ink = scaled(thin, (FIELD * FINE) / Math.max(thin.width, thin.height));
    const [low, high] = CORRECTED.map((bound) => FINE * bound);
    const [now, field] = [width * FINE, FIELD * FINE];
    const step = now < low ? (low - now) / (1 - low / field) : (high - now) / (1 - high / field);
    let steps = round(Math.abs(step) / 2);
    if (step > 0) ink = padded(ink, steps, steps, steps, steps);
    else steps = Math.min(steps, Math.floor(now / 4));
    for (let k = 0; k < steps; k += 1) ink = spread(ink, k % 2 === 0, step > 0);
    const cropped = crop(ink);
    return cropped ? leveled(cropped) : ink;
  }

  /** Take the greatest, or least, value of every pixel and its neighbours: those of a cross, or of a square. */
  function spread({ width, height, ink }, isCross, isGreatest) {
    const wide = padded({ width, height, ink }, 1, 1, 1, 1);
    const [w, grown] = [width + 2, glyph(width, height)];
    const near = isCross ? [-w, -1, 1, w] : [-w - 1, -w, -w + 1, -1, 1, w - 1, w, w + 1];
    for (let y = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1) {
        const at = (y + 1) * w + x + 1;
        let value = wide.ink[at];
        for (const step of near) {
          const other = wide.ink[at + step];
          if (isGreatest ? other > value : other < value) value = other;
        }
        grown.ink[y * width + x] = value;
      }
    }
    return grown;
  }

  const scaled = (ink, scale) =>
    resized(ink, Math.max(1, round(ink.width * scale)), Math.max(1, round(ink.height * scale)));

  /** Average areas where both sides shrink, and interpolate by cubics otherwise, as OpenCV does. */
  function resized(from, width, height) {
    if (width === from.width && height === from.height) return from;
    const weights = width <= from.width && height <= from.height ? areas : cubics;
    const [columns, rows] = [weights(from.width, width), weights(from.height, height)];
    const between = glyph(width, from.height);
    for (let y = 0; y < from.height; y += 1) {
      for (let x = 0; x < width; x += 1) {
        let sum = 0;
        for (const [at, weight] of columns[x]) sum += weight * from.ink[y * from.width + at];
        between.ink[y * width + x] = sum;
      }
    }
    const to = glyph(width, height);
    for (let y = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1) {
        let sum = 0;
        for (const [at, weight] of rows[y]) sum += weight * between.ink[at * width + x];
        to.ink[y * width + x] = Math.min(Math.max(sum, 0), 1); // cubics overshoot
      }
    }
    return to;
  }

  /** For every pixel of `to`, which of `from` it covers and by what part. */
  function areas(from, to) {
    const scale = from / to;
    return Array.from({ length: to }, (_, i) => {
      const [start, end] = [i * scale, Math.min((i + 1) * scale, from)];
      const parts = [];
      for (let at = Math.floor(start + 1e-3); at < end - 1e-3; at += 1) {
        parts.push([at, (Math.min(end, at + 1) - Math.max(start, at)) / (end - start)]);
      }
      return parts;
    });
  }

  /** Keys' cubic with a = -0.75 through four neighbours; beyond the border its pixels are repeated. */
  function cubics(from, to) {
    const a = -0.75;
    return Array.from({ length: to }, (_, i) => {
      const middle = ((i + 0.5) * from) / to - 0.5;
      const first = Math.floor(middle);
      const x = middle - first;
      const weights = [
        ((a * (x + 1) - 5 * a) * (x + 1) + 8 * a) * (x + 1) - 4 * a,
        ((a + 2) * x - (a + 3)) * x * x + 1,
        ((a + 2) * (1 - x) - (a + 3)) * (1 - x) * (1 - x) + 1,
      ];
      weights.push(1 - weights[0] - weights[1] - weights[2]);
      return weights.map((weight, k) => [Math.min(Math.max(first - 1 + k, 0), from - 1), weight]);
    });
  }

  /** Scale so that the longer side has 20 pixels; the shorter is padded to whole pixels, not stretched. */
  function fit(ink) {
    const [longest, shorter] = [Math.max(ink.width, ink.height), Math.min(ink.width, ink.height)];
    if (longest === FIELD) return ink;
    const pixels = Math.max(1, Math.ceil((shorter * FIELD) / longest - 1e-6));
    const wanted = Math.max(shorter, round((pixels * longest) / FIELD));
    const before = Math.floor((wanted - shorter) / 2);
    const after = wanted - shorter - before;
    if (ink.height < ink.width) return resized(padded(ink, before, after, 0, 0), FIELD, pixels);
    return resized(padded(ink, 0, 0, before, after), pixels, FIELD);
  }

  /** Put at most 20 x 20 into 28 x 28, the centre of mass in the middle, by whole pixels. */
  function place({ width, height, ink }) {
    let [total, across, down] = [0, 0, 0];
    ink.forEach((value, i) => {
      total += value;
      across += value * (i % width);
      down += value * Math.floor(i / width);
    });
    total = Math.max(total, 1e-9);
    const start = (moment, side) => Math.min(Math.max(round(SIDE / 2 - moment / total), 0), SIDE - side);
    const [left, top] = [start(across, width), start(down, height)];
    const image = new Float32Array(SIDE * SIDE);
    for (let y = 0; y < height; y += 1) {
      image.set(ink.subarray(y * width, (y + 1) * width), (top + y) * SIDE + left);
    }
    return image;
  }

  globalThis.digitlab = { ...globalThis.digitlab, frame, glyph, padded, resized };
})();
