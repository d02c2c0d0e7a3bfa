// The inside of a network as one picture: every map of every layer, and the arithmetic behind any one number.
// `showInside(root, data)` draws into an element. A page to hand out has every number in its data (inside_page.py); one
// that follows a training gives the plan alone (inside_frames.py), `update`s it with frames, and gives `ask` a function
// that sends the account of a unit to `take`, `why` one that has what speaks for the answer `prove`n, and `like` one for
// what a map `likes` best. Two of them stand beside each other by sides.js, which says where the parts go (`place`), is
// told what somebody chooses (`chosen`), and lets one be drawn against the other (`against`). No library, no request.

const NS = "http://www.w3.org/2000/svg";
const SHOWN_TERMS = 12;
const WHY = "Why this answer";

/** An array of numbers with its shape; the last axis changes fastest. */
class Numbers {
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

function shade(value, most, colours, into, at) {
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
function paintLarge(canvas, height, width, value, most, colours) {
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

/** Digits after the point so that the rounded terms add up to the rounded sum, and the digits of that sum. */
function enoughDigits(terms, sum) {
  for (let few = 3; few < 8; few++)
    for (let many = few; many < few + 4; many++) {
      const added = terms.reduce((total, term) => total + Number(term.toFixed(many)), 0);
      if (added.toFixed(few) === sum.toFixed(few) && Math.abs(sum) >= 10 ** -few) return [many, few];
    }
  return [9, 7];
}

export const nice = (value, digits) => value.toFixed(digits).replace(/^-(0\.?0*)$/, "$1").replace("-", "−");

/** A probability, without saying that something is certain or impossible that is not. */
function inPercent(probability) {
  if (probability > 0 && probability < 0.0005) return "<0.1 %";
  return probability < 1 && probability >= 0.9995 ? ">99.9 %" : `${(100 * probability).toFixed(1)} %`;
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

/** What `account_of` of inside_frames.py tells of a unit, from numbers that are all here. */
function accountOf(layers, position, unit, read, n_classes) {
  const layer = layers[position];
  const {terms, box, bias, total, output} = takenApart(layer, unit);
  const account = {layer: position, unit, read: null, box: box && [box.top, box.left, box.height, box.width], bias, total, output, most_input: layer.inputs.largest};
  if (layer.kind === "Conv2D") {
    const n = layer.inputs.shape[2];
    const of = (k) => terms.filter((_, at) => at % n === k);
    const sums = Array.from({length: n}, (_, k) => of(k).reduce((sum, term) => sum + term.product, 0));
    read ??= sums.reduce((best, sum, k) => (Math.abs(sum) > Math.abs(sums[best]) ? k : best), 0);
    const size = Math.sqrt(layer.window.size[0] * layer.window.size[1]);
    const pull = sums.map((_, k) => of(k).reduce((sum, term) => sum + term.weight, 0) / ((layer.kernel.largest || 1) * size));
    const mine = of(read);
    Object.assign(account, {read, sums, pull, values: mine.map((term) => term.value), weights: mine.map((term) => term.weight), most_weight: layer.kernel.largest});
  } else if (layer.kind.includes("Pooling")) {
    const kept = Math.max(0, terms.findIndex((term) => term.weight === 1));
    Object.assign(account, {n_terms: terms.length, values: terms.length > 64 ? [] : terms.map((term) => term.value), kept});
  } else if (layer.kind === "Dense") {
    const rest = terms.slice(SHOWN_TERMS).reduce((sum, term) => sum + term.product, 0);
    Object.assign(account, {terms: terms.slice(0, SHOWN_TERMS).map(({place, value, weight}) => [place[0], value, weight]), n_terms: terms.length, rest});
  } else account.value = terms.length && terms[0].within ? terms[0].value : null;
  if (layer.activation === "softmax")
    account.totals = Array.from({length: n_classes}, (_, k) => (layer.kernel ? takenApart(layer, [k]).total : layer.inputs.at(k)));
  return account;
}

/** Make a tree like a fresh one and keep its elements where they fit: the focus, and what is being pressed, stay. */
function settle(old, fresh) {
  if (old.nodeName !== fresh.nodeName || old.childNodes.length !== fresh.childNodes.length) {
    old.replaceWith(fresh);
    return;
  }
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const {name} of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const {name, value} of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const others = [...fresh.childNodes]; // one that replaces another leaves the fresh tree
  [...old.childNodes].forEach((child, at) => settle(child, others[at]));
}

export function showInside(root, data, {ask = null, why = null, like = null, place = null, chosen = null, scaled = null} = {}) {
  // A network that wants one row of pixels gets it; the picture shows them as an image all the same.
  const side = Math.sqrt(data.shape[0]);
  const isRow = data.shape.length === 1;
  const layers = data.layers.map((layer) => ({...layer}));
  const places = [{name: "image", kind: "the image", shape: isRow && Number.isInteger(side) ? [side, side, 1] : data.shape, says: data.says_image}, ...layers];
  // The unit that is chosen, of which map what it reads is shown, and its account, once that is known.
  const state = {column: 1, unit: null, read: null, account: null, oneScale: false, label: data.label, hasNumbers: false};
  const columns = [];
  let [proofs, liked] = [[], null];
  // The other side: its probabilities and, where it is the same network, its outputs; whether what differs is coloured.
  let other = null;

  const picture = made("div", {className: "network", role: "group", "aria-label": "Every layer, from the image to the answer"});
  const lines = document.createElementNS(NS, "svg");
  lines.setAttribute("aria-hidden", "true");
  lines.classList.add("lines");
  picture.append(lines);
  const panel = made("section", {className: "arithmetic", "aria-label": "The arithmetic behind one number"});
  const told = made("p", {className: "unseen", role: "status"});
  const scale = made("label", {className: "choice"}, made("input", {type: "checkbox", role: "switch", onchange: (event) => {
    state.oneScale = event.target.checked;
    drawAll();
    scaled?.(state.oneScale);
  }}), "One scale of colours for all layers");
  const asking = (words, act) => {
    const button = made("button", {type: "button", className: "ask", textContent: words, onclick: () => {
      if (button.getAttribute("aria-disabled")) return;
      button.setAttribute("aria-disabled", "true");
      act();
    }});
    return button;
  };
  const target = made("select", {"aria-label": "What it would become by the smallest change"}, made("option", {value: "", textContent: "the next likely"}),
    ...data.class_names.map((name, label) => made("option", {value: label, textContent: name})));
  const button = asking("Show what speaks for it", () => why(target.value === "" ? null : Number(target.value)));
  const likeButton = asking("", () => like(state.account.layer, state.account.unit));
  const favourite = made("div");
  const likes = made("section", {className: "likes", "aria-label": "What it likes best", hidden: !like}, ...(like ? [likeButton] : []), favourite);
  const found = made("div");
  const heading = made("h2", {textContent: WHY, tabIndex: -1});
  const evidence = made("section", {className: "evidence", "aria-label": "Why this answer"}, heading, ...(why ? [made("div", {className: "asks"}, button, made("label", {className: "choice"}, "and what would make it", target))] : []), found);
  root.classList.add("inside");
  const parts = {legend: made("div", {className: "legend"}, ...legend(), scale), picture, panel, likes, evidence, told};
  if (place) place(parts);
  else root.replaceChildren(...Object.values(parts));

  places.forEach((layer, column) => picture.append(makeColumn(layer, column)));
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  const redraw = () => requestAnimationFrame(drawAll);
  scheme.addEventListener("change", redraw);
  const sizes = new ResizeObserver(connect);
  sizes.observe(picture);
  picture.addEventListener("scroll", connect);
  if (data.image) {
    const image = Numbers.unpacked(data.image);
    for (const layer of layers) for (const name of ["kernel", "bias"]) layer[name] = layer[name] && Numbers.unpacked(layer[name]);
    take(image, layers.map((layer) => Numbers.unpacked(layer.outputs)));
    choose(1, firstUnit(layers[0]));
    prove(data.evidence ?? []);
  }

  return {
    /** New numbers of the same network: a frame, and the image, bytes in base64; drawn, unless that comes later. */
    async update(frame, image, isDrawn = true) {
      const content = await inflated(frame.content);
      const pixels = image ? new Numbers(places[0].shape, Float32Array.from(bytesOf(image), (value) => value / 255)) : places[0].outputs;
      const [outputs, most] = [[], [...frame.most]];
      let at = 0;
      for (const layer of layers) {
        if (layer.is_same) {
          const before = outputs.at(-1) ?? pixels;
          outputs.push(new Numbers(layer.shape, before.values));
          continue;
        }
        const n = layer.shape.reduce((product, size) => product * size, 1);
        const unit = most.shift() / frame.levels;
        outputs.push(new Numbers(layer.shape, Float32Array.from(content.subarray(at, at + n), (value) => value * unit)));
        at += n;
      }
      outputs[outputs.length - 1] = new Numbers(layers.at(-1).shape, frame.probabilities);
      state.label = frame.label;
      // What spoke for the answer to another image says nothing of this one.
      if (why && image && image !== state.image && proofs.length) {
        heading.textContent = WHY;
        prove([]);
      }
      state.image = image ?? state.image;
      take(pixels, outputs);
      account(frame.account);
      if (isDrawn) drawAll();
    },
    /** The account of the unit that was asked for. */
    take(one) {
      account(one);
      drawAll();
    },
    /** What speaks for the answer, each a picture with a sentence, under a heading. */
    prove(each, words) {
      button.removeAttribute("aria-disabled");
      if (!words) return;
      heading.textContent = words;
      told.textContent = words;
      prove(each);
    },
    /** Whether it can be told what speaks for the answer; and lead there, asking for it where that was not done yet. */
    hasReason: () => !evidence.hidden,
    reason() {
      if (why && !proofs.length) button.click();
      evidence.scrollIntoView({block: "start"});
      heading.focus({preventScroll: true});
    },
    /** What was found that a map likes best: an image with a title and a sentence; null where nothing was. */
    likes(one) {
      likeButton.removeAttribute("aria-disabled");
      if (!one) return;
      liked = {values: Numbers.unpacked(one.values), canvases: [made("canvas", {role: "img", "aria-label": one.title})]};
      favourite.replaceChildren(figure(liked.canvases, one));
      told.textContent = one.title;
      drawProofs(palette(root));
    },
    /** The numbers that are shown, for the other side. */
    numbers: () => state.hasNumbers && {shape: JSON.stringify(layers.map((layer) => [layer.kind, layer.shape])), names: data.class_names, outputs: layers.map((layer) => layer.outputs)},
    /** Draw against the numbers of the other side; with `isDifference` what differs is coloured. */
    against(numbers, isDifference) {
      other = numbers && {...numbers, isSame: numbers.shape === this.numbers().shape, isDifference};
      if (other && !other.isSame) other.isDifference = false;
      drawAll();
    },
    /** Choose a number, as somebody did at the other side. */
    choose(layer, unit, read) {
      if (!ask) choose(layer + 1, unit, read, false);
      else Object.assign(state, {column: layer + 1, unit, read});
    },
    oneScale(is) {
      state.oneScale = scale.firstChild.checked = is;
      drawAll();
    },
    redraw: drawAll,
    end() {
      scheme.removeEventListener("change", redraw);
      sizes.disconnect();
    },
  };

  function take(image, outputs) {
    places[0].outputs = image;
    let before = isRow ? new Numbers(data.shape, image.values) : image;
    layers.forEach((layer, k) => {
      layer.inputs = before;
      before = layer.outputs = outputs[k];
    });
    state.hasNumbers = true;
  }

  /** Take note of an account, unless another unit has been chosen meanwhile. */
  function account(one) {
    const isAsked = state.unit === null || (one.layer === state.column - 1 && String(one.unit) === String(state.unit));
    if (!isAsked || (state.read !== null && one.read !== state.read)) return;
    Object.assign(state, {column: one.layer + 1, unit: one.unit, read: one.read, account: one});
  }

  function prove(each) {
    proofs = each.map((one) => ({...one, values: Numbers.unpacked(one.values), image: one.image && Numbers.unpacked(one.image)}));
    found.replaceChildren(...proofs.map(proof));
    evidence.hidden = !proofs.length && !why;
    drawProofs(palette(root));
  }

  function proof(each) {
    each.canvases = [...(each.image ? [made("canvas", {role: "img", "aria-label": "The changed image"})] : []), made("canvas", {role: "img", "aria-label": each.title})];
    return figure(each.canvases, each);
  }

  function figure(canvases, {title, says}) {
    return made("figure", {}, made("div", {className: "pair"}, ...canvases), made("figcaption", {}, made("b", {textContent: title}), made("span", {textContent: says})));
  }

  function legend() {
    return [["less", "less than 0, with a hole where there is room"], ["none", "0"], ["more", "more than 0"]].map(([name, words]) =>
      made("span", {className: `key ${name}`}, made("i"), words));
  }

  function firstUnit(layer) {
    const shape = layer.outputs.shape;
    if (shape.length === 1) return [layer.outputs.values.reduce((best, value, at, all) => (Math.abs(value) > Math.abs(all[best]) ? at : best), 0)];
    // Where the first map says most: a window over ink, and not one of the many in the dark.
    let best = [0, 0, 0];
    for (let y = 0; y < shape[0]; y++)
      for (let x = 0; x < shape[1]; x++)
        if (Math.abs(layer.outputs.at(y, x, 0)) > Math.abs(layer.outputs.at(...best))) best = [y, x, 0];
    return best;
  }

  function makeColumn(layer, column) {
    const {shape} = layer;
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
    [entry.most, entry.gap] = [made("span"), made("span")];
    return made("figure", {className: isLast ? "column answer-column" : "column"},
      made("figcaption", {title: layer.says ?? ""}, made("b", {textContent: layer.name}), made("span", {textContent: column ? layer.kind : "pixels, 0 to 1"}), made("span", {textContent: size}), entry.most, entry.gap),
      body);
  }

  function answers(layer, column, entry) {
    return data.class_names.map((name, label) => {
      const button = made("button", {type: "button", className: "answer", onclick: () => choose(column, [label])},
        made("b", {textContent: name}), made("span", {className: "track"}, made("i")), made("span", {className: "gain"}), made("span", {className: "part"}));
      entry.canvases.push(button);
      return button;
    });
  }

  function drawAnswer(button, label, probability, isChosen) {
    const percent = inPercent(probability);
    button.querySelector("i").style.width = `${100 * probability}%`;
    button.querySelector(".part").textContent = percent;
    // Against the class of the same name, in points of percent; networks may tell different classes apart.
    const there = other ? other.names.indexOf(data.class_names[label]) : -1;
    const gain = there < 0 ? null : 100 * (probability - other.outputs.at(-1).at(there));
    const words = gain === null ? "" : Math.abs(gain) < 0.05 ? "±0.0" : `${gain > 0 ? "+" : "−"}${Math.abs(gain).toFixed(1)}`;
    button.querySelector(".gain").textContent = words;
    button.setAttribute("aria-label", `${data.class_names[label]}, ${percent}${words && `, ${words} points against the other side`}: show the arithmetic`);
    button.setAttribute("aria-pressed", String(isChosen));
    button.classList.toggle("is-best", label === state.label);
  }

  /** How a row of features is laid out: as near to a square as can be. */
  function across(n) {
    return Math.ceil(Math.sqrt(n));
  }

  function pointed(event, canvas, entry, channel) {
    const box = canvas.getBoundingClientRect();
    const x = Math.max(0, Math.min(canvas.width - 1, Math.floor(((event.clientX - box.left) / box.width) * canvas.width)));
    const y = Math.max(0, Math.min(canvas.height - 1, Math.floor(((event.clientY - box.top) / box.height) * canvas.height)));
    const {shape} = entry.layer;
    return entry.isRow ? [Math.min(shape[0] - 1, y * across(shape[0]) + x)] : [y, x, channel];
  }

  function steer(event, column, channel) {
    const moves = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]};
    const move = moves[event.key];
    const {shape} = columns[column].layer;
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

  function choose(column, unit, read = null, isOwn = true) {
    if (column === 0) return;
    Object.assign(state, {column, unit, read});
    if (isOwn) chosen?.(column - 1, unit, read);
    if (ask) ask(column - 1, unit, read);
    else {
      account(accountOf(layers, column - 1, unit, read, data.class_names.length));
      drawAll();
    }
  }

  /** What differs from the other side, of a layer by its position. */
  function difference(position) {
    const [own, there] = [layers[position].outputs, other.outputs[position]];
    return new Numbers(own.shape, Float32Array.from(own.values, (value, at) => value - there.values[at]));
  }

  function drawAll() {
    if (!state.hasNumbers || !state.account) return;
    const colours = palette(root);
    const gaps = other?.isSame ? layers.map((_, position) => difference(position)) : null;
    const isGap = Boolean(gaps && other.isDifference);
    // Both sides in the same colours, where they are the same network.
    const largest = layers.map((layer, k) => (isGap ? gaps[k].largest : Math.max(layer.outputs.largest, gaps ? other.outputs[k].largest : 0)));
    const widest = Math.max(...largest);
    // What was asked for last may be on its way: what is told belongs together all the same.
    const {account: told} = state;
    const [chosen, unit] = [told.layer + 1, told.unit];
    const last = unit[unit.length - 1];
    columns.forEach((entry, column) => {
      const {outputs} = entry.layer;
      const most = !column ? outputs.largest : state.oneScale ? widest : largest[column - 1];
      const {values} = isGap && column ? gaps[column - 1] : outputs;
      const [height, width] = entry.layer.shape;
      entry.most.textContent = column && column < columns.length - 1 ? `up to ${nice(outputs.largest, 2)}` : "";
      entry.gap.textContent = gaps && column && column < columns.length - 1 ? `differs ≤ ${nice(gaps[column - 1].largest, 2)}` : "";
      entry.canvases.forEach((canvas, channel) => {
        if (canvas.tagName === "BUTTON") {
          drawAnswer(canvas, channel, outputs.at(channel), column === chosen && unit[0] === channel);
          return;
        }
        const isChosen = column === chosen && (entry.isRow || channel === last);
        canvas.classList.toggle("is-chosen", isChosen);
        if (entry.isRow) {
          const wide = across(height);
          paint(canvas, Math.ceil(height / wide), wide, (y, x) => (y * wide + x < height ? values[y * wide + x] : 0), most, colours);
          if (isChosen) mark(canvas, Math.floor(unit[0] / wide), unit[0] % wide, 1, 1, colours);
        } else {
          const deep = entry.layer.shape[2];
          paint(canvas, height, width, (y, x) => values[(y * width + x) * deep + channel], most, colours);
          if (isChosen) mark(canvas, unit[0], unit[1], 1, 1, colours);
        }
        const isRead = column === chosen - 1 && told.box && (places[chosen].kind === "Conv2D" || channel === last);
        if (isRead) mark(canvas, ...told.box, colours);
      });
    });
    drawProofs(colours);
    connect();
    explain(places[chosen], told, colours);
  }

  function drawProofs(colours) {
    for (const {values, image: changed, canvases} of [...proofs, ...(liked ? [liked] : [])]) {
      const [height, width] = values.shape;
      paintLarge(canvases.at(-1), height, width, (y, x) => values.at(y, x, 0), values.largest, colours);
      if (changed) paint(canvases[0], height, width, (y, x) => changed.at(y, x, 0), changed.largest, colours);
    }
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
    const {account: told} = state;
    if (!told || !picture.clientWidth) return; // it is not shown
    const last = told.unit[told.unit.length - 1];
    const layer = places[told.layer + 1];
    const [from, target] = [columns[told.layer], columns[told.layer + 1]];
    const to = target.canvases[target.isRow && layer !== places.at(-1) ? 0 : last];
    const ground = picture.getBoundingClientRect();
    const middle = (element, side) => {
      const box = element.getBoundingClientRect();
      return [(side ? box.left : box.right) - ground.left + picture.scrollLeft, (box.top + box.bottom) / 2 - ground.top + picture.scrollTop];
    };
    const [x2, y2] = middle(to, 1);
    const paths = [];
    from.canvases.forEach((canvas, channel) => {
      if (!told.pull && !from.isRow && layer.kind !== "Flatten" && channel !== last) return;
      const weight = told.pull ? told.pull[channel] : 1;
      const [x1, y1] = middle(canvas, 0);
      const bend = (x2 - x1) / 2;
      const path = document.createElementNS(NS, "path");
      path.setAttribute("d", `M${x1},${y1} C${x1 + bend},${y1} ${x2 - bend},${y2} ${x2},${y2}`);
      path.setAttribute("class", weight < 0 ? "less" : "more");
      path.style.strokeWidth = `${Math.max(0.75, Math.min(4, 3 * Math.abs(weight)))}px`;
      paths.push(path);
    });
    // By themselves they take no room: where the picture has become narrower, they must not keep it wide.
    lines.setAttribute("width", 0);
    lines.setAttribute("height", 0);
    lines.replaceChildren();
    lines.setAttribute("width", picture.scrollWidth);
    lines.setAttribute("height", picture.scrollHeight);
    lines.replaceChildren(...paths);
  }

  function explain(layer, told, colours) {
    const {unit, total, output} = told;
    const where = unit.length === 3 ? `row ${unit[0]}, column ${unit[1]}, map ${unit[2]}` : layer === places.at(-1) ? data.class_names[unit[0]] : `number ${unit[0]}`;
    const content = [made("h2", {}, made("b", {textContent: layer.name}), ` ${where} = `, made("span", {className: "result", textContent: nice(output, 4)})),
      made("p", {className: "soft", textContent: layer.says}), made("p", {className: "formula", textContent: layer.formula})];
    if (layer.kind === "Conv2D") content.push(...convolution(layer, told, colours));
    else if (layer.kind.includes("Pooling")) content.push(...pooling(layer, told, colours));
    else {
      const parts = layer.kind === "Dense" ? dense(layer, told) : [plain(layer, told.value, total, output)];
      if (layer.activation === "softmax") parts.push(...softmax(told.totals, unit[0]));
      content.push(made("div", {className: "sums"}, ...parts));
    }
    const fresh = made(panel.tagName, {className: panel.className, "aria-label": panel.getAttribute("aria-label")}, ...content);
    if (panel.childNodes.length === content.length) settle(panel, fresh);
    else panel.replaceChildren(...content);
    const select = panel.querySelector("select");
    if (select) select.value = told.read;
    const what = unit.length === 3 ? `map ${unit[2]} of ${layer.name}` : layer === places.at(-1) ? data.class_names[unit[0]] : `number ${unit[0]} of ${layer.name}`;
    likeButton.textContent = `What ${what} likes best`;
    // A screen reader is told of what somebody chose, and not of every batch.
    const words = `${layer.name}, ${where}`;
    if (state.told !== words || !ask) announce(`${words}: ${nice(output, 4)}`);
    state.told = words;
  }

  function announce(words) {
    told.textContent = words;
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

  function convolution(layer, told, colours) {
    const {read, sums, values, weights, bias, total, output} = told;
    const [top, left, height, width] = told.box;
    const [rows, wide] = places[told.layer].shape;
    const n = sums.length;
    const products = values.map((value, at) => value * weights[at]);
    const [many, few] = enoughDigits(products, sums[read]);
    const most = Math.max(...products.map(Math.abs));
    const isBeyond = (i, j) => top + i < 0 || left + j < 0 || top + i >= rows || left + j >= wide;
    const table = (numbers, largest, digits, className, words) =>
      grid(height, width, (i, j) => coloured(nice(numbers[i * width + j], digits), numbers[i * width + j], largest, colours, className === "" && isBeyond(i, j) ? "beyond" : ""), className, words);
    const block = made("div", {className: "products"},
      made("div", {}, made("h3", {textContent: "Window"}), table(values, told.most_input, 2, "", "The window")),
      made("span", {className: "sign", textContent: "×"}),
      made("div", {}, made("h3", {textContent: "Kernel"}), table(weights, told.most_weight, 2, "kernel", "The kernel")),
      made("span", {className: "sign", textContent: "="}),
      made("div", {}, made("h3", {textContent: "Products"}), table(products, most, many, "adds", "The products")),
      made("span", {className: "sign", textContent: "→"}),
      made("div", {}, made("h3", {textContent: "Their sum"}), made("span", {className: "channel-sum", textContent: nice(sums[read], few)})),
    );
    const select = made("select", {"aria-label": "Which map is read", onchange: (event) => choose(state.column, state.unit, Number(event.target.value))},
      ...sums.map((sum, k) => made("option", {value: k, textContent: n === 1 ? "the only one" : `map ${k}: ${nice(sum, 4)}`})));
    const all = [...sums.map((sum, k) => [n === 1 ? "products" : `map ${k}`, sum]), ["bias", bias]];
    const choice = n > 1 ? [made("label", {className: "choice"}, `Of ${n} maps that are read, `, select)] : [];
    return [...choice, made("div", {className: "sums"}, block, column(all, total, layer, output))];
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

  function pooling(layer, told, colours) {
    const {values, kept, n_terms, output} = told;
    const isMax = layer.kind.includes("Max");
    if (!values.length) return [made("p", {textContent: `${isMax ? "The largest" : "The mean"} of ${n_terms} numbers is ${nice(output, 4)}.`})];
    const wide = Math.min(values.length, layer.window.size[1]);
    const table = grid(Math.ceil(values.length / wide), wide, (i, j) => {
      const at = i * wide + j;
      return at < values.length ? coloured(nice(values[at], 4), values[at], told.most_input, colours, isMax && at === kept ? "kept" : "") : made("td");
    }, "pool", "The window");
    return [made("div", {className: "products"}, made("div", {}, made("h3", {textContent: "Window"}), table), made("span", {className: "sign", textContent: "→"}),
      made("div", {}, made("h3", {textContent: isMax ? "The largest" : "Their mean"}), made("span", {className: "channel-sum", textContent: nice(output, 4)})))];
  }

  function dense(layer, {layer: position, terms, rest, n_terms, bias, total, output}) {
    const rows = terms.map(([place, value, weight]) => [`${origin(position, place)}: ${nice(value, 3)} × ${nice(weight, 3)}`, value * weight]);
    if (n_terms > terms.length) rows.push([`the other ${n_terms - terms.length}`, rest]);
    rows.push(["bias", bias]);
    return [made("div", {}, made("h3", {textContent: "The largest contributions"}), column(rows, total, layer, output))];
  }

  /** Where a feature stood before it was laid out in a row. */
  function origin(position, place) {
    if (isRow && position === 0) return `pixel row ${Math.floor(place / places[0].shape[1])}, column ${place % places[0].shape[1]}`;
    // Dropout between them changes no place.
    let before = position - 1;
    while (before > 0 && layers[before].kind === "Dropout") before -= 1;
    const source = layers[before]?.kind === "Flatten" ? places[before].shape : [];
    if (source.length !== 3) return `input ${place}`;
    const [, width, channels] = source;
    return `map ${place % channels}, row ${Math.floor(place / (width * channels))}, column ${Math.floor(place / channels) % width}`;
  }

  function plain(layer, value, total, output) {
    const text = value === null ? nice(output, 4) : `${nice(value, 4)}${layer.activation === "linear" ? "" : ` → ${nice(output, 4)}`}`;
    return made("p", {className: "sign", textContent: layer.activation === "softmax" ? `sum ${nice(total, 4)}` : text});
  }

  function softmax(sums, label) {
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
