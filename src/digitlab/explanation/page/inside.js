// The inside of a network as one picture: every map of every layer, and the arithmetic behind any one number.
// `showInside(root, data)` draws into an element. A page to hand out has every number in its data (inside_page.py); one
// that follows a training gives the plan alone (inside_frames.py), `update`s it with frames, and gives `ask` a function
// that sends the account of a unit to `take`, `why` one that has what speaks for the answer `prove`n, and `like` one for
// what a map `likes` best. Two of them stand beside each other by sides.js, which says where the parts go (`place`), is
// told what somebody chooses (`chosen`), and lets one be drawn against the other (`against`). No library, no request.

import {accountOf, arithmeticPanel} from "./arithmetic.js";
import {bytesOf, inPercent, inflated, made, nice, Numbers, paint, paintLarge, palette, rounded} from "./maps.js";

const NS = "http://www.w3.org/2000/svg";
const WHY = "Why this answer";

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
  const arithmetic = arithmeticPanel({places, names: data.class_names, isRow, read: (map) => choose(state.column, state.unit, map), say: announce});
  const {panel} = arithmetic;
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
    /** The number that is chosen here, as the other side's `choose` takes it. */
    chosen: () => [state.column - 1, state.unit, state.read],
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
    const gain = there < 0 ? null : rounded(100 * probability, 1) - rounded(100 * other.outputs.at(-1).at(there), 1);
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
    const {unit, output} = told;
    const where = unit.length === 3 ? `row ${unit[0]}, column ${unit[1]}, map ${unit[2]}` : layer === places.at(-1) ? data.class_names[unit[0]] : `number ${unit[0]}`;
    arithmetic.show(told, where, colours);
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
}
