// The arithmetic behind any one number: what adds up to it, taken apart from numbers that are all here or told by a server
// (account_of of inside_frames.py), and the panel that shows it so that what is written adds up.
import {made, nice, rounded, shade} from "./maps.js";

const SHOWN_TERMS = 12;

/**
 * Digits after the point so that the rounded terms add up to the rounded sum, and the digits of that sum; `holds(many,
 * few)` says what else has to be right as it is written down.
 */
function enoughDigits(terms, sum, holds = () => true) {
  if (terms.every((term) => term === 0)) return [3, 3];
  for (let few = 3; few < 8; few++)
    for (let many = few; many < few + 4; many++) {
      const added = terms.reduce((total, term) => total + rounded(term, many), 0);
      if (added.toFixed(few) === sum.toFixed(few) && Math.abs(sum) >= 10 ** -few && holds(many, few)) return [many, few];
    }
  return [9, 7];
}

/** The fewest digits, `least` to `most`, with which something is right as it is written down. */
function fewestDigits(least, holds, most = 9) {
  let digits = least;
  while (digits < most && !holds(digits)) digits++;
  return digits;
}

/** Whether two factors with so many digits give a product of so many. */
const multiplies = (a, b, digits, many) => (rounded(a, digits) * rounded(b, digits)).toFixed(many) === (a * b).toFixed(many);

/** What a layer makes of a sum by itself. */
function activated({activation, below}, sum) {
  if (activation === "relu") return Math.max(0, sum);
  if (activation === "leaky_relu") return sum > 0 ? sum : below * sum;
  if (activation === "elu") return sum > 0 ? sum : below * Math.expm1(sum);
  if (activation === "sigmoid") return 1 / (1 + Math.exp(-sum));
  return activation === "tanh" ? Math.tanh(sum) : sum;
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
export function accountOf(layers, position, unit, read, n_classes) {
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

/**
 * The panel, and what `show`s an account in it; `read` is told which of several maps somebody wants to see read, and
 * `say` what a screen reader is to hear.
 */
export function arithmeticPanel({places, names, isRow, read: choose, say}) {
  const layers = places.slice(1);
  // What is shown, and which product of a layer's windows somebody chose to see written out.
  let [shown, product] = [null, null];
  const panel = made("section", {className: "arithmetic", "aria-label": "The arithmetic behind one number"});
  panel.addEventListener("click", (event) => multiply(event.target.closest("[data-product]")));
  panel.addEventListener("keydown", stride);
  return {panel, show};

  function show(told, where, colours) {
    shown = [told, where, colours];
    const layer = layers[told.layer];
    const {unit, total, output} = told;
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
    // One product is written out: the largest, or the one of this layer's kernel that somebody chose.
    const isKept = product?.layer === told.layer && product.at < products.length;
    const one = isKept ? product.at : products.findIndex((each) => Math.abs(each) === most);
    const digits = fewestDigits(2, (so) => multiplies(values[one], weights[one], so, many));
    const isBeyond = (i, j) => top + i < 0 || left + j < 0 || top + i >= rows || left + j >= wide;
    const table = (numbers, largest, so, className, words) =>
      grid(height, width, (i, j) => {
        const at = i * width + j;
        const cell = coloured(nice(numbers[at], so), numbers[at], largest, colours, className === "" && isBeyond(i, j) ? "beyond" : "");
        cell.classList.toggle("is-one", at === one);
        cell.dataset.product = at;
        if (className === "adds") cell.tabIndex = at === one ? 0 : -1;
        return cell;
      }, className, words);
    const block = made("div", {className: "products"},
      made("div", {}, made("h3", {textContent: "Window"}), table(values, told.most_input, 2, "", "The window")),
      made("span", {className: "sign", textContent: "×"}),
      made("div", {}, made("h3", {textContent: "Kernel"}), table(weights, told.most_weight, 2, "kernel", "The kernel")),
      made("span", {className: "sign", textContent: "="}),
      made("div", {}, made("h3", {textContent: "Products"}), table(products, most, many, "adds", "The products, of which the arrow keys choose one")),
      made("span", {className: "sign", textContent: "→"}),
      made("div", {}, made("h3", {textContent: "Their sum"}), made("span", {className: "channel-sum", textContent: nice(sums[read], few)})),
    );
    const select = made("select", {"aria-label": "Which map is read", onchange: (event) => choose(Number(event.target.value))},
      ...sums.map((sum, k) => made("option", {value: k, textContent: n === 1 ? "the only one" : `map ${k}: ${nice(sum, 4)}`})));
    block.querySelector(".adds").setAttribute("role", "grid");
    const [i, j] = [Math.floor(one / width), one % width];
    const inWords = `Row ${top + i}, column ${left + j}${isBeyond(i, j) ? ", in the border of zeros" : ""}: ${nice(values[one], digits)} × ${nice(weights[one], digits)} = ${nice(products[one], many)}`;
    const written = made("p", {className: "one-product", textContent: inWords});
    const all = [...sums.map((sum, k) => [n === 1 ? "products" : `map ${k}`, sum]), ["bias", bias]];
    const choice = n > 1 ? [made("label", {className: "choice"}, `Of ${n} maps that are read, `, select)] : [];
    return [...choice, made("div", {className: "sums"}, made("div", {}, block, written), column(all, total, layer, output))];
  }

  /** Write out another product of the window. */
  function multiply(cell) {
    if (!cell) return;
    product = {layer: shown[0].layer, at: Number(cell.dataset.product)};
    show(...shown);
    panel.querySelector(".adds .is-one").focus({preventScroll: true});
    say(panel.querySelector(".one-product").textContent);
  }

  function stride(event) {
    const cell = event.target.closest(".adds [data-product]");
    const move = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
    if (!cell || !move) return;
    event.preventDefault();
    multiply(cell.closest("tbody").rows[cell.parentElement.rowIndex + move[0]]?.cells[cell.cellIndex + move[1]]);
  }

  /** Rows that add up, and what is made of their sum. */
  function column(rows, total, layer, output) {
    const [many, few] = digitsOf(rows, total, layer, output);
    const body = rows.map(([name, value]) => made("tr", {}, made("th", {scope: "row", textContent: name}), made("td", {className: "term", textContent: nice(value, many)})));
    const foot = [made("tr", {}, made("th", {scope: "row", textContent: "sum"}), made("td", {className: "sum", textContent: nice(total, few)}))];
    if (!["linear", "softmax"].includes(layer.activation))
      foot.push(made("tr", {}, made("th", {scope: "row", textContent: layer.activation.replace("_", " ")}), made("td", {className: "output", textContent: nice(output, few)})));
    const table = made("table", {className: "column-sum", "aria-label": "What adds up"}, made("tbody", {}, ...body), made("tfoot", {}, ...foot));
    table.classList.toggle("long", rows.length > 14);
    return table;
  }

  function digitsOf(rows, total, layer, output) {
    const isMade = (_, few) => activated(layer, rounded(total, few)).toFixed(few) === output.toFixed(few);
    return enoughDigits(rows.map(([, value]) => value), total, layer.activation === "softmax" ? undefined : isMade);
  }

  function pooling(layer, told, colours) {
    const {values, kept, n_terms, output} = told;
    const isMax = layer.kind.includes("Max");
    if (!values.length) {
      const [, wide] = layer.window.size;
      const sum = nice(n_terms * output, fewestDigits(4, (so) => (rounded(n_terms * output, so) / n_terms).toFixed(4) === output.toFixed(4)));
      const words = isMax ? `The largest of ${n_terms} numbers, that of row ${Math.floor(kept / wide)}, column ${kept % wide}, is` : `The mean of ${n_terms} numbers is their sum, ${sum}, over ${n_terms}:`;
      return [made("p", {textContent: `${words} ${nice(output, 4)}`})];
    }
    const mean = (so) => values.reduce((sum, value) => sum + rounded(value, so), 0) / values.length;
    const digits = isMax ? 4 : fewestDigits(4, (so) => mean(so).toFixed(4) === output.toFixed(4));
    const wide = Math.min(values.length, layer.window.size[1]);
    const table = grid(Math.ceil(values.length / wide), wide, (i, j) => {
      const at = i * wide + j;
      return at < values.length ? coloured(nice(values[at], digits), values[at], told.most_input, colours, isMax && at === kept ? "kept" : "") : made("td");
    }, "pool", "The window");
    return [made("div", {className: "products"}, made("div", {}, made("h3", {textContent: "Window"}), table), made("span", {className: "sign", textContent: "→"}),
      made("div", {}, made("h3", {textContent: isMax ? "The largest" : "Their mean"}), made("span", {className: "channel-sum", textContent: nice(output, 4)})))];
  }

  function dense(layer, {layer: position, terms, rest, n_terms, bias, total, output}) {
    const rows = terms.map(([, value, weight]) => ["", value * weight]);
    if (n_terms > terms.length) rows.push([`the other ${n_terms - terms.length}`, rest]);
    rows.push(["bias", bias]);
    const [many] = digitsOf(rows, total, layer, output);
    terms.forEach(([place, value, weight], k) => {
      const digits = fewestDigits(3, (so) => multiplies(value, weight, so, many));
      rows[k][0] = `${origin(position, place)}: ${nice(value, digits)} × ${nice(weight, digits)}`;
    });
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
    const parts = exponentials.map((exponential) => (100 * exponential) / whole);
    // In all 100 % as they are written; where a few digits do not reach that, what they do add up to.
    const inAll = (so) => nice(parts.reduce((sum, part) => sum + rounded(part, so), 0), so);
    const percents = fewestDigits(2, (so) => Number(inAll(so)) === 100, 4);
    const isPart = (many, few) => exponentials.every((exponential, k) => ((100 * rounded(exponential, many)) / rounded(whole, few)).toFixed(percents) === parts[k].toFixed(percents));
    const [many, few] = enoughDigits(exponentials, whole, isPart);
    const digits = fewestDigits(3, (so) => sums.every((sum, k) => Math.exp(rounded(sum, so) - rounded(most, so)).toFixed(many) === exponentials[k].toFixed(many)));
    const rows = names.map((name, k) => {
      const row = made("tr", {}, made("th", {scope: "row", textContent: name}), made("td", {textContent: nice(sums[k], digits)}),
        made("td", {className: "term", textContent: nice(exponentials[k], many)}), made("td", {textContent: `${nice(parts[k], percents)} %`}));
      row.classList.toggle("is-chosen", k === label);
      return row;
    });
    return [made("div", {}, made("h3", {textContent: "Softmax: each exponential over the sum of all"}),
      made("p", {className: "soft", textContent: `The largest sum, ${nice(most, digits)}, is taken from all before, which changes no probability and keeps the exponentials from growing too large.`}),
      made("table", {className: "softmax", "aria-label": "Softmax"},
        made("thead", {}, made("tr", {}, ...["", "sum", "exp(sum − largest)", "probability"].map((words) => made("th", {scope: "col", textContent: words})))),
        made("tbody", {}, ...rows), made("tfoot", {}, made("tr", {}, made("th", {scope: "row", textContent: "in all"}), made("td"), made("td", {className: "sum", textContent: nice(whole, few)}), made("td", {textContent: `${Number(inAll(percents))} %`})))))];
  }
}
