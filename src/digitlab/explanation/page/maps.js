// The numbers of a network: how they come, how they are written, and how they are painted.

/** An array of numbers with its shape; the last axis changes fastest. */
export class Numbers {
  constructor(shape, values) {
    this.shape = shape;
    this.values = values;
  }
  static unpacked({shape, kind, content}) {
    const bytes = bytesOf(content);
    return new Numbers(shape, kind === "float64" ? new Float64Array(bytes.buffer) : new Float32Array(bytes.buffer));
  }
  at(...place) {
    return this.values[place.reduce((sum, at, axis) => sum * this.shape[axis] + at, 0)];
  }
  get largest() {
    this.most ??= this.values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    return this.most;
  }
}

export const bytesOf = (content) => Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));

export async function inflated(content) {
  const stream = new Blob([bytesOf(content)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Int8Array(await new Response(stream).arrayBuffer());
}

export function made(kind, settings = {}, ...children) {
  const element = document.createElement(kind);
  for (const [name, value] of Object.entries(settings)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && !name.startsWith("aria")) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// Colours: nothing is the ground, more is orange, less than nothing is blue: told apart by who sees no red or green too.
export function palette(root) {
  const style = getComputedStyle(root);
  const read = (name) => style.getPropertyValue(name).match(/[0-9a-f]{2}/gi).map((pair) => parseInt(pair, 16));
  return {ground: read("--map-ground"), more: read("--map-more"), less: read("--map-less"), mark: style.getPropertyValue("--mark")};
}

export function shade(value, most, colours, into, at) {
  const part = most > 0 ? Math.min(1, Math.abs(value) / most) : 0;
  const end = value < 0 ? colours.less : colours.more;
  for (let k = 0; k < 3; k++) into[at + k] = colours.ground[k] + (end[k] - colours.ground[k]) * part;
  into[at + 3] = 255;
}

/** Draw height x width numbers into a canvas of the same size; `value(y, x)` gives them. */
export function paint(canvas, height, width, value, most, colours) {
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) shade(value(y, x), most, colours, image.data, 4 * (y * width + x));
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Draw them larger: what is less than 0 has a hole in the middle, to be told from what is more without any colour. */
export function paintLarge(canvas, height, width, value, most, colours) {
  const small = document.createElement("canvas");
  paint(small, height, width, value, most, colours);
  const times = Math.max(1, Math.round(336 / Math.max(height, width)));
  canvas.width = width * times;
  canvas.height = height * times;
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
  if (times < 6) return;
  const hole = Math.round(times / 3);
  context.fillStyle = `rgb(${colours.ground})`;
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      if (value(y, x) < -0.08 * most) context.fillRect(x * times + hole, y * times + hole, times - 2 * hole, times - 2 * hole);
}

export const rounded = (value, digits) => Number(value.toFixed(digits));

export const nice = (value, digits) => value.toFixed(digits).replace(/^-(0\.?0*)$/, "$1").replace("-", "−");

/** A probability, without saying that something is certain or impossible that is not. */
export function inPercent(probability) {
  if (probability > 0 && probability < 0.0005) return "<0.1 %";
  return probability < 1 && probability >= 0.9995 ? ">99.9 %" : `${(100 * probability).toFixed(1)} %`;
}
