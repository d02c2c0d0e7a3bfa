// Picture: the ink of the one digit that a photo, scan or drawing holds, found against the paper around it.
// A shorter way than that of digitlab's reading/: ruled lines, several digits and turned pages are not looked for.
"use strict";
(() => {
  const { glyph, resized } = globalThis.digitlab;
  const SMALL = 64; // longest side of the picture in which the paper is looked for; light changes slowly
  const LEAST_CONTRAST = 0.07;
  const NOISES = 4.5; // ink differs from paper by so many standard deviations of the paper
  const EDGE_OF_INK = 0.42; // of a stroke's own contrast
  const GRAIN = [0.023, 0.228, 0.498, 0.228, 0.023]; // finer than any stroke

  /** The value that this part of them does not exceed. */
  const quantile = (values, part) => (values.length ? values.slice().sort()[Math.floor(part * (values.length - 1))] : 0);
  const mean = (values) => values.reduce((a, b) => a + b, 0) / Math.max(values.length, 1);

  /** Return { image } where the picture is one of MNIST's kind, { ink } of a glyph, or {} where there is none. */
  function picture({ width, height, data }) {
    let light = { width, height, ink: brightness(data) };
    if (isFramed(light)) return { image: light.ink };
    const ends = (quantile(light.ink, 0.01) + quantile(light.ink, 0.99)) / 2;
    const edge = light.ink.filter((_, i) => i < width || i >= light.ink.length - width || (i + 1) % width < 2);
    if (quantile(edge, 0.5) < ends) light.ink = light.ink.map((value) => 1 - value); // bright ink on dark
    const grain = (values) => values.reduce((sum, value, k) => sum + GRAIN[k] * value, 0);
    light = along(light, 2, grain);
    const paper = paperOf(light).ink;
    return chosen({ width, height, ink: light.ink.map((value, i) => (paper[i] - value) / Math.max(paper[i], 0.15)) });
  }

  /** Grey over white paper; or, if that shows nothing, the opacity is the ink. */
  function brightness(data) {
    const light = new Float32Array(data.length / 4);
    const holes = new Float32Array(light.length);
    for (let i = 0; i < light.length; i += 1) {
      const [red, green, blue, alpha] = data.subarray(4 * i, 4 * i + 4);
      holes[i] = 1 - alpha / 255;
      light[i] = (Math.round(0.299 * red + 0.587 * green + 0.114 * blue) / 255) * (1 - holes[i]) + holes[i];
    }
    const span = (values) => quantile(values, 1) - quantile(values, 0);
    return span(holes) > 0.25 && span(light) < 0.125 ? holes : light;
  }

  /** Bright ink on black, within 20 x 20 of 28 x 28, its centre of mass in the middle. */
  function isFramed({ width, height, ink }) {
    if (width !== 28 || height !== 28 || mean(ink) > 0.5) return false;
    const inked = [...ink.keys()].filter((i) => ink[i] > quantile(ink, 1) / 8);
    return [(i) => i % 28, (i) => Math.floor(i / 28)].every((place) => {
      const places = inked.map(place);
      const middle = ink.reduce((sum, value, i) => sum + value * place(i), 0) / (784 * mean(ink));
      return Math.max(...places) - Math.min(...places) < 20 && middle >= 13 && middle <= 15;
    });
  }

  /** Replace every value by what `of` makes of those within `reach`, along rows and then columns; borders repeat. */
  function along({ width, height, ink }, reach, of) {
    const pass = (from, n, step, start) => {
      const to = new Float32Array(from.length);
      for (let line = 0; line * n < from.length; line += 1) {
        for (let i = 0; i < n; i += 1) {
          const near = [];
          for (let k = i - reach; k <= i + reach; k += 1) near.push(from[start(line) + step * Math.min(Math.max(k, 0), n - 1)]);
          to[start(line) + step * i] = of(near);
        }
      }
      return to;
    };
    const rows = pass(ink, width, 1, (line) => line * width);
    return { width, height, ink: pass(rows, height, width, (line) => line) };
  }

  /** The paper's brightness: all that is darker and narrower than a sixth of the picture is filled in. */
  function paperOf(light) {
    const scale = Math.min(1, SMALL / Math.max(light.width, light.height));
    const sides = [light.width, light.height].map((side) => Math.max(1, Math.round(side * scale)));
    const reach = Math.max(1, Math.round(Math.min(...sides) / 12));
    let paper = resized(light, ...sides);
    for (const of of [(near) => Math.max(...near), (near) => Math.min(...near), mean]) paper = along(paper, reach, of);
    return resized(paper, light.width, light.height);
  }

  /** The soft ink of the largest component and of what is close to it. */
  function chosen(flat) {
    const threshold = thresholdOf(flat.ink);
    const found = components(flat, threshold).filter(({ pixels }) => pixels.length > 3);
    const inner = found.filter(({ left, top, right, bottom }) =>
      left > 0 && top > 0 && right < flat.width && bottom < flat.height);
    const parts = inner.length ? inner : found; // the paper's edge and the table are along the border
    if (!parts.length) return {};
    const weight = ({ pixels, top, bottom }) => pixels.length * (bottom - top);
    const main = parts.reduce((a, b) => (weight(b) > weight(a) ? b : a));
    const size = (one) => Math.max(one.right - one.left, one.bottom - one.top);
    const apart = (one, low, high) => Math.max(one[low] - main[high], main[low] - one[high]);
    const kept = parts.filter((one) => one === main || (size(one) > 0.3 * size(main) &&
      Math.max(apart(one, "left", "right"), apart(one, "top", "bottom")) < 0.3 * size(main)));
    const ink = glyph(flat.width, flat.height);
    for (const { pixels } of kept) {
      const values = pixels.map((i) => flat.ink[i]);
      const level = mean(values.filter((value) => value >= mean(values)));
      const near = new Set();
      for (const i of pixels) {
        if (flat.ink[i] <= EDGE_OF_INK * level) continue;
        for (const j of neighbours(i, flat)) near.add(j);
      }
      for (const i of near) {
        const soft = (flat.ink[i] - 0.12 * level) / (0.73 * level);
        ink.ink[i] = Math.max(ink.ink[i], Math.min(Math.max(soft, 0), 1));
      }
    }
    return { ink };
  }

  /** The least contrast of ink, from the paper's own noise. */
  function thresholdOf(flat) {
    const values = flat.filter((value) => value < LEAST_CONTRAST);
    const middle = quantile(values, 0.5);
    const noise = 1.4826 * quantile(values.map((value) => Math.abs(value - middle)), 0.5);
    return Math.max(LEAST_CONTRAST, middle + NOISES * noise);
  }

  function neighbours(i, { width, ink }) {
    const x = i % width;
    const columns = [0, ...(x > 0 ? [-1] : []), ...(x < width - 1 ? [1] : [])];
    return [-width, 0, width].flatMap((row) => columns.map((step) => i + row + step)).filter((j) => j >= 0 && j < ink.length);
  }

  function components(flat, threshold) {
    const seen = new Uint8Array(flat.ink.length);
    const found = [];
    for (let start = 0; start < seen.length; start += 1) {
      if (seen[start] || flat.ink[start] <= threshold) continue;
      const one = { pixels: [start], left: Infinity, top: Infinity, right: 0, bottom: 0 };
      seen[start] = 1;
      for (const i of one.pixels) { // which grows meanwhile
        const [x, y] = [i % flat.width, Math.floor(i / flat.width)];
        [one.left, one.top] = [Math.min(one.left, x), Math.min(one.top, y)];
        [one.right, one.bottom] = [Math.max(one.right, x + 1), Math.max(one.bottom, y + 1)];
        for (const j of neighbours(i, flat)) {
          if (seen[j] || flat.ink[j] <= threshold) continue;
          seen[j] = 1;
          one.pixels.push(j);
        }
      }
      found.push(one);
    }
    return found;
  }

  globalThis.digitlab = { ...globalThis.digitlab, picture };
})();
