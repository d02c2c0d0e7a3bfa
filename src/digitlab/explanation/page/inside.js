// The inside of a network as one picture: every map of every layer, and the arithmetic behind any one number.
// `showInside(root, data)` draws into an element; the data are those of explanation/page.py. No library, no request.

const NS = "http://www.w3.org/2000/svg";
const SHOWN_TERMS = 12;

/** An array of numbers with its shape; the last axis changes fastest. */
class Numbers {
  constructor({shape, kind, content}) {
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    this.shape = shape;
    this.values = kind === "float64" ? new Float64Array(bytes.buffer) : new Float32Array(bytes.buffer);
  }
  at(...place) {
    return this.values[place.reduce((sum, at, axis) => sum * this.shape[axis] + at, 0)];
  }
  get largest() {
    this.most ??= this.values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    return this.most;
  }
}

function made(kind, settings = {}, ...children) {
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
function palette() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(name).match(/[0-9a-f]{2}/gi).map((pair) => parseInt(pair, 16));
  return {ground: read("--map-ground"), more: read("--map-more"), less: read("--map-less"), mark: style.getPropertyValue("--mark")};
}

function shade(value, most, colours, into, at) {
  const part = most > 0 ? Math.min(1, Math.abs(value) / most) : 0;
  const end = value < 0 ? colours.less : colours.more;
  for (let k = 0; k < 3; k++) into[at + k] = colours.ground[k] + (end[k] - colours.ground[k]) * part;
  into[at + 3] = 255;
}

/** Draw height x width numbers into a canvas of the same size; `value(y, x)` gives them. */
function paint(canvas, height, width, value, most, colours) {
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) shade(value(y, x), most, colours, image.data, 4 * (y * width + x));
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Digits after the point so that the rounded terms add up to the rounded sum, and the digits of that sum. */
function enoughDigits(terms, sum) {
  for (let few = 3; few < 8; few++)
    for (let many = few; many < few + 4; many++) {
      const added = terms.reduce((total, term) => total + Number(term.toFixed(many)), 0);
      if (added.toFixed(few) === sum.toFixed(few) && Math.abs(sum) >= 10 ** -few) return [many, few];
    }
  return [9, 7];
}

const nice = (value, digits) => value.toFixed(digits).replace(/^-(0\.?0*)$/, "$1").replace("-", "−");

function activated(layer, total) {
  const below = layer.below;
  const kinds = {
    linear: (x) => x, relu: (x) => Math.max(0, x), leaky_relu: (x) => (x > 0 ? x : below * x),
    elu: (x) => (x > 0 ? x : below * Math.expm1(x)), sigmoid: (x) => 1 / (1 + Math.exp(-x)), tanh: Math.tanh,
  };
  return kinds[layer.activation](total);
}

/** The terms of a unit: {place, value, weight, product} of each, bias, total and output; as `Inside.why` has them. */
function takenApart(layer, unit) {
  const {inputs, kernel, bias, window} = layer;
  const terms = [];
  const add = (place, weight) => {
    const within = place.every((at, axis) => at >= 0 && at < inputs.shape[axis]);
    const value = within ? inputs.at(...place) : 0;
    terms.push({place, value, weight, product: value * weight, within});
  };
  const isPooling = layer.kind.includes("Pooling");
  let box = null;
  if (window) {
    const [top, left] = window.isGlobal ? [0, 0] : [0, 1].map((a) => unit[a] * window.stride[a] - window.border[a]);
    box = {top, left, height: window.size[0], width: window.size[1]};
  }
  if (layer.kind === "Conv2D") {
    for (let i = 0; i < box.height; i++)
      for (let j = 0; j < box.width; j++)
        for (let k = 0; k < inputs.shape[2]; k++) add([box.top + i, box.left + j, k], kernel.at(i, j, k, unit[2]));
  } else if (isPooling) {
    const channel = unit[unit.length - 1];
    for (let i = 0; i < box.height; i++)
      for (let j = 0; j < box.width; j++) {
        const [y, x] = [box.top + i, box.left + j];
        if (y >= 0 && y < inputs.shape[0] && x >= 0 && x < inputs.shape[1]) add([y, x, channel], 0);
      }
    const kept = terms.reduce((best, term) => (term.value > best.value ? term : best), terms[0]);
    for (const term of terms) {
      term.weight = layer.kind.includes("Max") ? Number(term === kept) : 1 / terms.length;
      term.product = term.value * term.weight;
    }
  } else if (layer.kind === "Dense") {
    for (let i = 0; i < inputs.shape[0]; i++) add([i], kernel.at(i, unit[0]));
    terms.sort((a, b) => Math.abs(b.product) - Math.abs(a.product));
  } else if (layer.kind === "Flatten") {
    const [, width, channels] = inputs.shape;
    const at = unit[0];
    add(inputs.shape.length === 1 ? unit : [Math.floor(at / (width * channels)), Math.floor(at / channels) % width, at % channels], 1);
  } else if (layer.kind === "ZeroPadding2D") {
    add([unit[0] - layer.padding[0], unit[1] - layer.padding[1], unit[2]], 1);
  } else add(unit, 1);
  const own = bias ? bias.at(unit[unit.length - 1]) : 0;
  const total = terms.reduce((sum, term) => sum + term.product, own);
  return {terms, box, bias: own, total, output: layer.outputs.at(...unit)};
}

export function showInside(root, data) {
  const layers = data.layers.map((layer) => ({...layer}));
  const image = new Numbers(data.image);
  // A network that wants one row of pixels gets it; the picture shows them as an image all the same.
  let before = data.is_row ? Object.assign(Object.create(Numbers.prototype), {shape: [image.values.length], values: image.values}) : image;
  for (const layer of layers) {
    layer.inputs = before;
    for (const name of ["outputs", "kernel", "bias"]) layer[name] = layer[name] && new Numbers(layer[name]);
    before = layer.outputs;
  }
  const places = [{name: "image", kind: "the image", outputs: image, says: data.says_image}, ...layers];
  const state = {column: 1, unit: firstUnit(layers[0]), oneScale: false};
  const columns = [];

  const picture = made("div", {className: "network", role: "group", "aria-label": "Every layer, from the image to the answer"});
  const lines = document.createElementNS(NS, "svg");
  lines.setAttribute("aria-hidden", "true");
  lines.classList.add("lines");
  picture.append(lines);
  const panel = made("section", {className: "arithmetic", "aria-label": "The arithmetic behind one number"});
  const told = made("p", {className: "unseen", role: "status"});
  const scale = made("label", {className: "choice"}, made("input", {type: "checkbox", onchange: (event) => {
    state.oneScale = event.target.checked;
    drawAll();
  }}), "One scale of colours for all layers");
  const proofs = (data.evidence ?? []).map((each) => ({...each, values: new Numbers(each.values), image: each.image && new Numbers(each.image)}));
  const evidence = made("section", {className: "evidence", "aria-label": "Why this answer"}, made("h2", {textContent: "Why this answer"}), made("div", {}, ...proofs.map(proof)));
  root.append(made("div", {className: "legend"}, ...legend(), scale), picture, panel, evidence, told);

  places.forEach((layer, column) => picture.append(makeColumn(layer, column)));
  const redraw = () => requestAnimationFrame(() => { drawAll(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  new ResizeObserver(() => connect()).observe(picture);
  picture.addEventListener("scroll", connect);
  drawAll();

  function proof(each) {
    each.canvases = [...(each.image ? [made("canvas", {role: "img", "aria-label": "The changed image"})] : []), made("canvas", {role: "img", "aria-label": each.title})];
    return made("figure", {}, made("div", {className: "pair"}, ...each.canvases), made("figcaption", {}, made("b", {textContent: each.title}), made("span", {textContent: each.says})));
  }

  function legend() {
    return [["less", "less than 0"], ["none", "0"], ["more", "more than 0"]].map(([name, words]) =>
      made("span", {className: `key ${name}`}, made("i"), words));
  }

  function firstUnit(layer) {
    const shape = layer.outputs.shape;
    if (shape.length === 1) return [0];
    // Where the first map says most: a window over ink, and not one of the many in the dark.
    let best = [0, 0, 0];
    for (let y = 0; y < shape[0]; y++)
      for (let x = 0; x < shape[1]; x++)
        if (Math.abs(layer.outputs.at(y, x, 0)) > Math.abs(layer.outputs.at(...best))) best = [y, x, 0];
    return best;
  }

  function makeColumn(layer, column) {
    const shape = layer.outputs.shape;
    const isLast = column === places.length - 1;
    const body = made("div", {className: "maps"});
    const entry = {layer, body, canvases: [], isRow: shape.length === 1};
    columns.push(entry);
    const n = shape.length === 3 ? shape[2] : 1;
    if (isLast) body.append(...answers(layer, column, entry));
    else for (let channel = 0; channel < n; channel++) {
      const words = column === 0 ? "the image" : shape.length === 3 ? `${layer.name}, map ${channel}` : `${layer.name}, all ${shape[0]} numbers`;
      const canvas = made("canvas", {tabIndex: channel ? -1 : 0, role: "img", "aria-label": words});
      canvas.dataset.channel = channel;
      canvas.addEventListener("click", (event) => choose(column, pointed(event, canvas, entry, channel)));
      canvas.addEventListener("keydown", (event) => steer(event, column, channel));
      entry.canvases.push(canvas);
      body.append(canvas);
    }
    body.classList.toggle("many", n > 12);
    body.classList.toggle("crowd", n > 36);
    const size = shape.join(" × ");
    return made("figure", {className: isLast ? "column answer-column" : "column"},
      made("figcaption", {title: layer.says ?? ""}, made("b", {textContent: layer.name}), made("span", {textContent: column ? layer.kind : "pixels, 0 to 1"}), made("span", {textContent: size})),
      body);
  }

  function answers(layer, column, entry) {
    return data.class_names.map((name, label) => {
      const probability = layer.outputs.at(label);
      const bar = made("i");
      bar.style.width = `${100 * probability}%`;
      const button = made("button", {type: "button", className: "answer", onclick: () => choose(column, [label]),
        "aria-label": `${name}, ${(100 * probability).toFixed(1)} %: show the arithmetic`},
        made("b", {textContent: name}), made("span", {className: "track"}, bar), made("span", {textContent: `${(100 * probability).toFixed(1)} %`}));
      button.classList.toggle("is-best", label === data.label);
      entry.canvases.push(button);
      return button;
    });
  }

  /** How a row of features is laid out: as near to a square as can be. */
  function across(n) {
    return Math.ceil(Math.sqrt(n));
  }

  function pointed(event, canvas, entry, channel) {
    const box = canvas.getBoundingClientRect();
    const x = Math.max(0, Math.min(canvas.width - 1, Math.floor(((event.clientX - box.left) / box.width) * canvas.width)));
    const y = Math.max(0, Math.min(canvas.height - 1, Math.floor(((event.clientY - box.top) / box.height) * canvas.height)));
    const shape = entry.layer.outputs.shape;
    return entry.isRow ? [Math.min(shape[0] - 1, y * across(shape[0]) + x)] : [y, x, channel];
  }

  function steer(event, column, channel) {
    const moves = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]};
    const move = moves[event.key];
    const shape = columns[column].layer.outputs.shape;
    const turn = {PageUp: -1, PageDown: 1}[event.key];
    if (!move && !turn && event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    let unit = state.column === column ? [...state.unit] : shape.length === 1 ? [0] : [shape[0] >> 1, shape[1] >> 1, channel];
    if (turn && shape.length === 3) unit[2] = (unit[2] + turn + shape[2]) % shape[2];
    if (move && shape.length === 1) unit = [Math.max(0, Math.min(shape[0] - 1, unit[0] + move[0] * across(shape[0]) + move[1]))];
    else if (move && state.column === column)
      for (const axis of [0, 1]) unit[axis] = Math.max(0, Math.min(shape[axis] - 1, unit[axis] + move[axis]));
    choose(column, unit);
    const target = shape.length === 3 ? columns[column].canvases[unit[2]] : columns[column].canvases[0];
    target.focus({preventScroll: true});
  }

  function choose(column, unit) {
    if (column === 0) return;
    Object.assign(state, {column, unit});
    drawAll();
  }

  function drawAll() {
    const colours = palette();
    const widest = Math.max(...layers.map((layer) => layer.outputs.largest));
    const layer = places[state.column];
    const parts = takenApart(layer, state.unit);
    columns.forEach((entry, column) => {
      const {outputs} = entry.layer;
      const most = state.oneScale && column ? widest : outputs.largest;
      const [height, width] = outputs.shape;
      entry.canvases.forEach((canvas, channel) => {
        const isButton = canvas.tagName === "BUTTON";
        const isChosen = column === state.column && (entry.isRow || channel === state.unit[2]);
        if (isButton) {
          canvas.setAttribute("aria-pressed", String(column === state.column && state.unit[0] === channel));
          return;
        }
        canvas.classList.toggle("is-chosen", isChosen);
        if (entry.isRow) {
          const wide = across(height);
          paint(canvas, Math.ceil(height / wide), wide, (y, x) => (y * wide + x < height ? outputs.at(y * wide + x) : 0), most, colours);
          if (isChosen) mark(canvas, Math.floor(state.unit[0] / wide), state.unit[0] % wide, 1, 1, colours);
        } else {
          paint(canvas, height, width, (y, x) => outputs.at(y, x, channel), most, colours);
          if (isChosen) mark(canvas, state.unit[0], state.unit[1], 1, 1, colours);
        }
        const isRead = column === state.column - 1 && parts.box && (layer.kind === "Conv2D" || channel === state.unit[state.unit.length - 1]);
        if (isRead) mark(canvas, parts.box.top, parts.box.left, parts.box.height, parts.box.width, colours);
      });
    });
    for (const {values, image: changed, canvases} of proofs) {
      const [height, width] = values.shape;
      paint(canvases.at(-1), height, width, (y, x) => values.at(y, x, 0), values.largest, colours);
      if (changed) paint(canvases[0], height, width, (y, x) => changed.at(y, x, 0), changed.largest, colours);
    }
    connect();
    explain(layer, parts, colours);
  }

  /** A frame around some pixels, sharp at any size: the canvas is made larger for it. */
  function mark(canvas, top, left, height, width, colours) {
    const times = Math.max(1, Math.round(240 / Math.max(canvas.width, canvas.height)));
    const small = document.createElement("canvas");
    small.width = canvas.width;
    small.height = canvas.height;
    small.getContext("2d").drawImage(canvas, 0, 0);
    canvas.width *= times;
    canvas.height *= times;
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, canvas.width, canvas.height);
    context.strokeStyle = colours.mark;
    context.lineWidth = Math.max(3, times / 2);
    context.strokeRect(left * times, top * times, width * times, height * times);
  }

  /** Lines from the maps that are read to the map that is made: orange where the filter adds, blue where it takes away. */
  function connect() {
    lines.replaceChildren();
    const layer = places[state.column];
    const from = columns[state.column - 1];
    const to = columns[state.column].canvases[columns[state.column].isRow && layer !== places.at(-1) ? 0 : state.unit[state.unit.length - 1]];
    const ground = picture.getBoundingClientRect();
    lines.setAttribute("width", picture.scrollWidth);
    lines.setAttribute("height", picture.scrollHeight);
    const middle = (element, side) => {
      const box = element.getBoundingClientRect();
      return [(side ? box.left : box.right) - ground.left + picture.scrollLeft, (box.top + box.bottom) / 2 - ground.top + picture.scrollTop];
    };
    from.canvases.forEach((canvas, channel) => {
      let weight = 1;
      if (layer.kind === "Conv2D") {
        weight = 0;
        for (let i = 0; i < layer.window.size[0]; i++)
          for (let j = 0; j < layer.window.size[1]; j++) weight += layer.kernel.at(i, j, channel, state.unit[2]);
        weight /= layer.kernel.largest * Math.sqrt(layer.window.size[0] * layer.window.size[1]);
      } else if (!from.isRow && layer.kind !== "Flatten" && channel !== state.unit[state.unit.length - 1]) return;
      const [x1, y1] = middle(canvas, 0);
      const [x2, y2] = middle(to, 1);
      const path = document.createElementNS(NS, "path");
      const bend = (x2 - x1) / 2;
      path.setAttribute("d", `M${x1},${y1} C${x1 + bend},${y1} ${x2 - bend},${y2} ${x2},${y2}`);
      path.setAttribute("class", weight < 0 ? "less" : "more");
      path.style.strokeWidth = `${Math.max(0.75, Math.min(4, 3 * Math.abs(weight)))}px`;
      lines.append(path);
    });
  }

  function explain(layer, parts, colours) {
    const {terms, bias, total, output} = parts;
    const unit = state.unit;
    const where = unit.length === 3 ? `row ${unit[0]}, column ${unit[1]}, map ${unit[2]}` : layer === places.at(-1) ? data.class_names[unit[0]] : `number ${unit[0]}`;
    const content = [made("h2", {}, made("b", {textContent: layer.name}), ` ${where} = `, made("span", {className: "result", textContent: nice(output, 4)})),
      made("p", {className: "soft", textContent: layer.says}), made("p", {className: "formula", textContent: layer.formula})];
    if (layer.kind === "Conv2D") content.push(...convolution(layer, terms, bias, total, output, colours));
    else if (layer.kind.includes("Pooling")) content.push(...pooling(layer, terms, output, colours));
    else {
      const parts = layer.kind === "Dense" ? dense(layer, terms, bias, total, output) : [plain(layer, terms, total, output)];
      if (layer.activation === "softmax") parts.push(...softmax(layer, unit[0], layer.kind !== "Activation"));
      content.push(made("div", {className: "sums"}, ...parts));
    }
    panel.replaceChildren(...content);
    told.textContent = `${layer.name}, ${where}: ${nice(output, 4)}`;
  }

  function grid(rows, columnsCount, cell, className, words) {
    const body = made("tbody");
    for (let i = 0; i < rows; i++) {
      const row = made("tr");
      for (let j = 0; j < columnsCount; j++) row.append(cell(i, j));
      body.append(row);
    }
    return made("table", {className: `grid ${className}`, "aria-label": words}, body);
  }

  function coloured(text, value, most, colours, extra = "") {
    const cell = made("td", {textContent: text, className: extra});
    const shown = new Uint8ClampedArray(4);
    shade(value, most, colours, shown, 0);
    cell.style.background = `rgb(${shown[0]} ${shown[1]} ${shown[2]})`;
    // Ink by the ground's lightness (Rec. 709), so that every number can be read.
    cell.style.color = 0.2126 * shown[0] + 0.7152 * shown[1] + 0.0722 * shown[2] > 140 ? "#14161b" : "#fff";
    return cell;
  }

  function convolution(layer, terms, bias, total, output, colours) {
    const [height, width] = layer.window.size;
    const n = layer.inputs.shape[2];
    const sums = Array.from({length: n}, (_, k) => terms.filter((_, at) => at % n === k).reduce((sum, term) => sum + term.product, 0));
    const order = [...sums.keys()].sort((a, b) => Math.abs(sums[b]) - Math.abs(sums[a]));
    const chosen = order[0];
    const mine = (i, j, k) => terms[(i * width + j) * n + k];
    const block = made("div", {className: "products"});
    const select = made("select", {"aria-label": "Which map is read", onchange: (event) => fill(Number(event.target.value))},
      ...order.map((k) => made("option", {value: k, textContent: n === 1 ? "the only one" : `map ${k}: ${nice(sums[k], 4)}`})));
    const fill = (k) => {
      const own = Array.from({length: height * width}, (_, at) => mine(Math.floor(at / width), at % width, k));
      const [many, few] = enoughDigits(own.map((term) => term.product), sums[k]);
      const most = Math.max(...own.map((term) => Math.abs(term.product)));
      block.replaceChildren(
        made("div", {}, made("h3", {textContent: "Window"}), grid(height, width, (i, j) => coloured(nice(mine(i, j, k).value, 2), mine(i, j, k).value, layer.inputs.largest, colours, mine(i, j, k).within ? "" : "beyond"), "", "The window")),
        made("span", {className: "sign", textContent: "×"}),
        made("div", {}, made("h3", {textContent: "Kernel"}), grid(height, width, (i, j) => coloured(nice(mine(i, j, k).weight, 2), mine(i, j, k).weight, layer.kernel.largest, colours), "", "The kernel")),
        made("span", {className: "sign", textContent: "="}),
        made("div", {}, made("h3", {textContent: "Products"}), grid(height, width, (i, j) => coloured(nice(mine(i, j, k).product, many), mine(i, j, k).product, most, colours), "adds", "The products")),
        made("span", {className: "sign", textContent: "→"}),
        made("div", {}, made("h3", {textContent: "Their sum"}), made("span", {className: "channel-sum", textContent: nice(sums[k], few)})),
      );
    };
    fill(chosen);
    const rows = [...sums.map((sum, k) => [n === 1 ? "products" : `map ${k}`, sum]), ["bias", bias]];
    const choice = n > 1 ? [made("label", {className: "choice"}, `Of ${n} maps that are read, `, select)] : [];
    return [...choice, made("div", {className: "sums"}, block, column(rows, total, layer, output))];
  }

  /** Rows that add up, and what is made of their sum. */
  function column(rows, total, layer, output) {
    const [many, few] = enoughDigits(rows.map(([, value]) => value), total);
    const body = rows.map(([name, value]) => made("tr", {}, made("th", {scope: "row", textContent: name}), made("td", {className: "term", textContent: nice(value, many)})));
    const foot = [made("tr", {}, made("th", {scope: "row", textContent: "sum"}), made("td", {className: "sum", textContent: nice(total, few)}))];
    if (!["linear", "softmax"].includes(layer.activation))
      foot.push(made("tr", {}, made("th", {scope: "row", textContent: layer.activation.replace("_", " ")}), made("td", {className: "output", textContent: nice(output, few)})));
    const table = made("table", {className: "column-sum", "aria-label": "What adds up"}, made("tbody", {}, ...body), made("tfoot", {}, ...foot));
    table.classList.toggle("long", rows.length > 14);
    return table;
  }

  function pooling(layer, terms, output, colours) {
    const isMax = layer.kind.includes("Max");
    const wide = Math.min(terms.length, layer.window.size[1]);
    if (terms.length > 64) return [made("p", {textContent: `${isMax ? "The largest" : "The mean"} of ${terms.length} numbers is ${nice(output, 4)}.`})];
    const rows = Math.ceil(terms.length / wide);
    const table = grid(rows, wide, (i, j) => {
      const term = terms[i * wide + j];
      return term ? coloured(nice(term.value, 4), term.value, layer.inputs.largest, colours, isMax && term.weight ? "kept" : "") : made("td");
    }, "pool", "The window");
    return [made("div", {className: "products"}, made("div", {}, made("h3", {textContent: "Window"}), table), made("span", {className: "sign", textContent: "→"}),
      made("div", {}, made("h3", {textContent: isMax ? "The largest" : "Their mean"}), made("span", {className: "channel-sum", textContent: nice(output, 4)})))];
  }

  function dense(layer, terms, bias, total, output) {
    const shown = terms.slice(0, SHOWN_TERMS);
    const rest = terms.slice(SHOWN_TERMS).reduce((sum, term) => sum + term.product, 0);
    const rows = shown.map((term) => [`${origin(term.place[0])}: ${nice(term.value, 3)} × ${nice(term.weight, 3)}`, term.product]);
    if (terms.length > SHOWN_TERMS) rows.push([`the other ${terms.length - SHOWN_TERMS}`, rest]);
    rows.push(["bias", bias]);
    return [made("div", {}, made("h3", {textContent: "The largest contributions"}), column(rows, total, layer, output))];
  }

  /** Where a feature stood before it was laid out in a row. */
  function origin(place) {
    const flat = places[state.column - 1];
    const source = flat.kind === "Flatten" ? flat.inputs : null;
    if (data.is_row && state.column === 1) return `pixel row ${Math.floor(place / image.shape[1])}, column ${place % image.shape[1]}`;
    if (!source || source.shape.length !== 3) return `input ${place}`;
    const [, width, channels] = source.shape;
    return `map ${place % channels}, row ${Math.floor(place / (width * channels))}, column ${Math.floor(place / channels) % width}`;
  }

  function plain(layer, terms, total, output) {
    const text = terms.length ? `${nice(terms[0].value, 4)}${layer.activation === "linear" ? "" : ` → ${nice(output, 4)}`}` : nice(output, 4);
    return made("p", {className: "sign", textContent: layer.activation === "softmax" ? `sum ${nice(total, 4)}` : text});
  }

  function softmax(layer, label, hasSums) {
    const sums = data.class_names.map((_, k) => (hasSums ? takenApart(layer, [k]).total : layer.inputs.at(k)));
    const most = Math.max(...sums);
    const exponentials = sums.map((sum) => Math.exp(sum - most));
    const whole = exponentials.reduce((a, b) => a + b, 0);
    const [many, few] = enoughDigits(exponentials, whole);
    const rows = data.class_names.map((name, k) => {
      const row = made("tr", {}, made("th", {scope: "row", textContent: name}), made("td", {textContent: nice(sums[k], 3)}),
        made("td", {className: "term", textContent: nice(exponentials[k], many)}), made("td", {textContent: `${(100 * exponentials[k] / whole).toFixed(2)} %`}));
      row.classList.toggle("is-chosen", k === label);
      return row;
    });
    return [made("div", {}, made("h3", {textContent: "Softmax: each exponential over the sum of all"}),
      made("p", {className: "soft", textContent: `The largest sum, ${nice(most, 3)}, is taken from all before, which changes no probability and keeps the exponentials from growing too large.`}),
      made("table", {className: "softmax", "aria-label": "Softmax"},
        made("thead", {}, made("tr", {}, ...["", "sum", "exp(sum − largest)", "probability"].map((words) => made("th", {scope: "col", textContent: words})))),
        made("tbody", {}, ...rows), made("tfoot", {}, made("tr", {}, made("th", {scope: "row", textContent: "in all"}), made("td"), made("td", {className: "sum", textContent: nice(whole, few)}), made("td", {textContent: "100 %"})))))];
  }
}
