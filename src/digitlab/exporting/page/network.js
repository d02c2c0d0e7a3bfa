// Network: a TensorFlow.js layers model answers an image, in plain JavaScript. An image of 28 x 28 needs no library.
// Values lie as TensorFlow.js has them: height, width, channels; kernels height, width, in, out.
"use strict";
(() => {
  /** Make a network of what model.json says and of the bytes of its weights. */
  function network(model, bytes) {
    const weights = weightsOf(model.weightsManifest, bytes);
    const { layers } = model.modelTopology.model_config.config;
    const input = layers[0].config.batch_input_shape.slice(1);
    const steps = layers.map(({ class_name: kind, config }) => {
      if (!Object.hasOwn(RUN, kind)) throw new Error(`This page does not know the layer ${kind}.`);
      const [kernel, bias] = ["kernel", "bias"].map((part) => weights.get(`${config.name}/${part}`));
      return (values) => activated(RUN[kind](values, config, kernel, bias), config.activation);
    });
    /** Answer a Float32Array, 0-1: the probability of every class. */
    const predict = (image) => steps.reduce((values, step) => step(values), { shape: input, data: image }).data;
    return { input, predict };
  }

  function weightsOf(manifest, bytes) {
    const weights = new Map();
    let at = 0;
    for (const { name, shape } of manifest.flatMap((group) => group.weights)) {
      const n = shape.reduce((a, b) => a * b, 1);
      weights.set(name, { shape, data: new Float32Array(bytes, at, n) });
      at += 4 * n;
    }
    if (at !== bytes.byteLength) throw new Error("The weights are not whole; export the page again.");
    return weights;
  }

  const RUN = {
    Conv2D: convolved,
    MaxPooling2D: (values, config) => pooled(values, config, largest),
    AveragePooling2D: (values, config) => pooled(values, config, mean),
    GlobalMaxPooling2D: (values) => whole(values, largest),
    GlobalAveragePooling2D: (values) => whole(values, mean),
    ZeroPadding2D: bordered,
    Activation: (values) => values, // what it does is done behind every layer
    LeakyReLU: (values, { alpha }) => activated(values, "leaky_relu", alpha),
    ELU: (values, { alpha }) => activated(values, "elu", alpha),
    Flatten: ({ data }) => ({ shape: [data.length], data }),
    Dense: connected,
    Dropout: (values) => values, // it does nothing when images are answered
  };

  /** How many windows fit along a side, and how many pixels the first lies before the image. */
  function windows(side, size, stride, padding) {
    if (padding !== "same") return [Math.floor((side - size) / stride) + 1, 0];
    const n = Math.ceil(side / stride);
    return [n, Math.floor(Math.max((n - 1) * stride + size - side, 0) / 2)];
  }

  function convolved({ shape: [height, width, channels], data }, config, kernel, bias) {
    const [high, wide, , filters] = kernel.shape;
    const [down, across] = config.strides;
    const [rows, above] = windows(height, high, down, config.padding);
    const [columns, before] = windows(width, wide, across, config.padding);
    const sums = new Float32Array(rows * columns * filters);
    for (let y = 0; y < rows; y += 1) {
      for (let x = 0; x < columns; x += 1) {
        const to = (y * columns + x) * filters;
        if (bias) sums.set(bias.data, to);
        for (let i = 0; i < high; i += 1) {
          const row = y * down + i - above;
          if (row < 0 || row >= height) continue;
          for (let j = 0; j < wide; j += 1) {
            const column = x * across + j - before;
            if (column < 0 || column >= width) continue;
            const from = (row * width + column) * channels;
            addProducts(sums, to, filters, data, from, channels, kernel.data, (i * wide + j) * channels * filters);
          }
        }
      }
    }
    return { shape: [rows, columns, filters], data: sums };
  }

  /** Add data[from + c] times the kernel's row c to the sums, for every c. */
  function addProducts(sums, to, filters, data, from, channels, kernel, at) {
    for (let c = 0; c < channels; c += 1) {
      const value = data[from + c];
      if (value === 0) continue; // after ReLU and on paper, most are
      const row = at + c * filters;
      for (let f = 0; f < filters; f += 1) sums[to + f] += value * kernel[row + f];
    }
  }

  const largest = { begin: -Infinity, add: Math.max, end: (most) => most };
  const mean = { begin: 0, add: (sum, value) => sum + value, end: (sum, n) => sum / n };

  /** Every window's largest value, or the mean of what the image has of it. */
  function pooled({ shape: [height, width, channels], data }, config, { begin, add, end }) {
    const [high, wide] = config.pool_size;
    const [down, across] = config.strides;
    const [rows, above] = windows(height, high, down, config.padding);
    const [columns, before] = windows(width, wide, across, config.padding);
    const found = new Float32Array(rows * columns * channels);
    for (let to = 0; to < found.length; to += 1) {
      const [y, x] = [Math.floor(to / channels / columns), Math.floor(to / channels) % columns];
      const [top, left] = [y * down - above, x * across - before];
      let [value, n] = [begin, 0];
      for (let i = Math.max(top, 0); i < Math.min(top + high, height); i += 1) {
        for (let j = Math.max(left, 0); j < Math.min(left + wide, width); j += 1) {
          value = add(value, data[(i * width + j) * channels + (to % channels)]);
          n += 1;
        }
      }
      found[to] = end(value, n);
    }
    return { shape: [rows, columns, channels], data: found };
  }

  function whole({ shape: [height, width, channels], data }, pooling) {
    const config = { pool_size: [height, width], strides: [1, 1] };
    return { shape: [channels], data: pooled({ shape: [height, width, channels], data }, config, pooling).data };
  }

  function bordered({ shape: [height, width, channels], data }, { padding: [[top, bottom], [left, right]] }) {
    const wider = left + width + right;
    const values = new Float32Array((top + height + bottom) * wider * channels);
    for (let y = 0; y < height; y += 1) {
      const row = data.subarray(y * width * channels, (y + 1) * width * channels);
      values.set(row, ((top + y) * wider + left) * channels);
    }
    return { shape: [top + height + bottom, wider, channels], data: values };
  }

  function connected({ data }, config, kernel, bias) {
    const [features, units] = kernel.shape;
    const sums = new Float32Array(units);
    if (bias) sums.set(bias.data);
    addProducts(sums, 0, units, data, 0, features, kernel.data, 0);
    return { shape: [units], data: sums };
  }

  const EACH = {
    linear: (x) => x,
    relu: (x) => Math.max(x, 0),
    leaky_relu: (x, slope) => (x > 0 ? x : slope * x),
    elu: (x, alpha) => (x > 0 ? x : alpha * Math.expm1(x)),
    sigmoid: (x) => 1 / (1 + Math.exp(-x)),
    tanh: Math.tanh,
  };

  function activated({ shape, data }, activation = "linear", below = 1) {
    if (activation === "softmax") return { shape, data: softmax(data) };
    if (!Object.hasOwn(EACH, activation)) throw new Error(`This page does not know the activation ${activation}.`);
    return activation === "linear" ? { shape, data } : { shape, data: data.map((x) => EACH[activation](x, below)) };
  }

  function softmax(logits) {
    const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
    const powers = Array.from(logits, (value) => Math.exp(value - most));
    const total = powers.reduce((a, b) => a + b, 0);
    return Float32Array.from(powers, (power) => power / total);
  }

  /** The softmax of logits / temperature, the odds of the last class raised until its threshold is one half. */
  function calibrated(probabilities, temperature, threshold) {
    if (temperature === 1 && threshold === 0.5) return probabilities;
    const powers = Array.from(probabilities, (p) => Math.max(p, 1e-12) ** (1 / temperature));
    powers.push((powers.pop() * (1 - threshold)) / threshold);
    const total = powers.reduce((a, b) => a + b, 0);
    return Float32Array.from(powers, (power) => power / total);
  }

  /** The bytes of a text in base64. */
  const decoded = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;

  globalThis.digitlab = { ...globalThis.digitlab, network, calibrated, decoded };
})();
