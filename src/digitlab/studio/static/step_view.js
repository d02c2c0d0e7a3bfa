// One step of learning: the batch's images, every filter before and after with its gradient and change, and the
// arithmetic behind the change of one weight. Drawn as the picture of the network is.
import { inflated, made, nice, paint, palette } from "/studio/maps.js";

const ROWS = ["before", "gradient", "change", "after"];
const TITLES = { before: "Before", gradient: "Gradient", change: "Change", after: "After" };
const RAISED = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
const raised = (number) => String(number).replace(/./g, (sign) => RAISED[sign]);
const minus = (text) => text.replace(/-/g, "−");

/** A number in figures: seven that count, which is what float32 has. */
function figure(value, digits = 7) {
  if (value === 0) return "0";
  const exponent = Math.floor(Math.log10(Math.abs(value)));
  if (exponent >= -4 && exponent < 7) return minus(String(Number(value.toPrecision(digits))));
  const scaled = Number((value / 10 ** exponent).toPrecision(digits));
  return minus(`${scaled} × 10`) + raised(exponent);
}

/**
 * Rows of a name and a number as figures that add up to the sum's, in one power of ten. What is left over, because the
 * engine adds in float32, is a row of its own where it can be seen.
 */
function addedUp(rows, sum, least = 4, hasRest = false) {
  const terms = rows.map(([, value]) => value);
  const most = Math.max(Math.abs(sum), ...terms.map(Math.abs));
  const exponent = most > 0 && most < 1e-3 ? Math.floor(Math.log10(most)) : 0;
  const scaled = [...terms, sum].map((value) => value / 10 ** exponent);
  const whole = scaled.pop();
  // As many figures of the largest as are worth reading.
  const first = Math.max(least, most > 0 && !exponent ? 3 - Math.floor(Math.log10(most)) : 0);
  for (let few = first; few < first + 4; few++)
    for (let many = few; many < few + 3; many++) {
      const total = scaled.reduce((so, term) => so + Number(term.toFixed(many)), 0);
      const isLast = hasRest && few === first + 3 && many === few + 2;
      if (total.toFixed(few) !== whole.toFixed(few) && !isLast) continue;
      const unit = exponent ? `in units of 10${raised(exponent)}` : "";
      return { unit, rows: rows.map(([name], k) => [name, nice(scaled[k], many)]), sum: nice(whole, few) };
    }
  return addedUp([...rows, ["float32 rounding", sum - terms.reduce((so, term) => so + term, 0)]], sum, least, true);
}

export default {
  template: `
    <div class="step-view inside">
      <section aria-label="The images of the batch">
        <h3>{{ heading }}</h3>
        <ul class="step-images" ref="images"></ul>
        <button type="button" class="ask" v-if="n < total" @click="$emit('more', n)">Show more images</button>
      </section>
      <section aria-label="Every filter in this step">
        <div class="legend">
          <span class="key less"><i></i>less than 0</span><span class="key none"><i></i>0</span><span class="key more"><i></i>more than 0</span>
          <label class="choice">Layer <select ref="layer" aria-label="Layer" @change="look({ layer: Number($event.target.value), first: 0 })">
            <option v-for="(layer, k) in layers" :key="k" :value="k">{{ layer.name }}: {{ layer.n_weights.toLocaleString("en") }} weights</option></select></label>
          <label class="choice" v-if="own && own.n_read > 1">Of the maps that are read, <select ref="read" aria-label="Which map is read" @change="look({ read: Number($event.target.value) })">
            <option v-for="k in own.n_read" :key="k" :value="k - 1">map {{ k - 1 }}</option></select></label>
          <label class="choice" v-if="own && maps && own.n_units > maps.n">{{ unitWord(true) }} <select ref="first" aria-label="Which are shown" @change="look({ first: Number($event.target.value) })">
            <option v-for="k in Math.ceil(own.n_units / maps.n)" :key="k" :value="(k - 1) * maps.n">{{ (k - 1) * maps.n }} to {{ Math.min(own.n_units, k * maps.n) - 1 }}</option></select></label>
        </div>
        <div class="step-maps" ref="maps" role="group" aria-label="Weights before and after, their gradients and changes"></div>
        <p class="soft">Choose a weight: click it, or move with the arrow keys; Page Up and Page Down lead to the next {{ unitWord(false) }}.</p>
      </section>
      <section class="step-account" ref="account" aria-label="The arithmetic behind one weight"></section>
      <p class="soft" v-for="note in notes">{{ note }}</p>
      <p class="unseen" role="status">{{ said }}</p>
    </div>`,
  emits: ["ready", "look", "weight", "more"],

  data() {
    return { layers: [], maps: null, heading: "", n: 0, total: 0, notes: [], said: "" };
  },
  computed: {
    own() {
      return this.maps && this.layers[this.maps.layer];
    },
  },

  mounted() {
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.scheme.addEventListener("change", (this.onScheme = () => requestAnimationFrame(() => this.draw())));
    this.$emit("ready");
  },
  beforeUnmount() {
    this.scheme.removeEventListener("change", this.onScheme);
  },

  methods: {
    // ---- called by the server ----
    async show(plan, images, maps, account) {
      this.plan = plan;
      this.layers = plan.layers;
      this.notes = plan.notes;
      this.total = Math.min(plan.n_images, 960);
      this.heading = `The ${plan.n_images.toLocaleString("en")} images, those with the largest losses first`;
      this.n = 0;
      this.$refs.images.replaceChildren();
      this.add(images);
      await this.put(maps, account);
    },
    add(images) {
      if (images.first !== this.n) return;
      this.n += images.images.length;
      this.$refs.images.append(...images.images.map((image, k) => this.image(images, k)));
    },
    async put(maps, account) {
      if (maps) {
        this.content = await inflated(maps.content);
        this.maps = maps;
      }
      this.account = account;
      await this.$nextTick();
      if (maps) this.build();
      this.$refs.layer.value = this.maps.layer;
      if (this.$refs.read) this.$refs.read.value = this.maps.read;
      if (this.$refs.first) this.$refs.first.value = this.maps.first;
      this.draw();
      this.explain();
    },

    // ---- the images ----
    name(label) {
      return this.plan.class_names[label];
    },
    tile({ sprite, n, at }) {
      const tile = made("span", { className: "step-image" });
      tile.style.backgroundImage = `url(${sprite})`;
      tile.style.backgroundSize = `${100 * n}% 100%`;
      tile.style.backgroundPositionX = `${n > 1 ? (100 * at) / (n - 1) : 0}%`;
      return tile;
    },
    image({ sprite, images }, k) {
      const [, label, answer, loss] = images[k];
      const isRight = label === answer;
      const words = isRight ? this.name(label) : `${this.name(label)}, not ${this.name(answer)}`;
      return made("li", { className: isRight ? "right" : "wrong", "aria-label": `${this.name(label)}, answered ${this.name(answer)}: loss ${loss.toFixed(3)}` },
        this.tile({ sprite, n: images.length, at: k }), made("span", { "aria-hidden": "true", textContent: `${isRight ? "✓" : "✗"} ${words}` }), made("span", { className: "soft", "aria-hidden": "true", textContent: `loss ${loss.toFixed(3)}` }));
    },

    // ---- the filters ----
    unitWord(isMany) {
      const word = this.own?.is_filter ?? true ? "filter" : "unit";
      return isMany ? `${word[0].toUpperCase()}${word.slice(1)}s` : word;
    },
    unitName(unit) {
      return this.own.units ? this.own.units[unit] : `${this.unitWord(false)} ${unit}`;
    },
    look(change) {
      const { layer, read, first } = this.maps;
      this.$emit("look", { layer, read: change.layer === undefined ? read : null, first, ...change });
    },
    build() {
      const { n, first, biases, most } = this.maps;
      const cells = [made("span")];
      if (biases) cells.push(made("span", { className: "step-unit", textContent: "biases" }));
      for (let k = 0; k < n; k++) cells.push(made("span", { className: "step-unit", textContent: this.unitName(first + k) }));
      this.canvases = ROWS.map((row, r) => {
        cells.push(made("span", { className: "step-row" }, made("b", { textContent: TITLES[row] }), made("span", { className: "soft", textContent: `up to ${figure(most[r], 2)}` })));
        const own = [];
        for (let k = biases ? -1 : 0; k < n; k++) {
          const canvas = made("canvas", { role: "button", tabIndex: -1 });
          const frame = made("span", { className: "step-map" }, canvas, made("i"));
          canvas.addEventListener("click", (event) => this.clicked(event, canvas, k));
          canvas.addEventListener("keydown", (event) => this.steer(event, r));
          own.push({ canvas, frame, k });
          cells.push(frame);
        }
        return own;
      });
      const grid = this.$refs.maps;
      grid.style.setProperty("--columns", n + (biases ? 1 : 0));
      grid.style.setProperty("--shape", this.maps.width / this.maps.height);
      grid.classList.toggle("large", this.maps.width > 12);
      grid.replaceChildren(...cells);
    },
    draw() {
      if (!this.maps || !this.canvases) return;
      const colours = palette(this.$el);
      const { n, height, width, most, levels, biases, first } = this.maps;
      const { unit, place, at } = this.account;
      const isHere = at === this.maps.layer;
      const side = Math.ceil(Math.sqrt(n));
      this.canvases.forEach((own, r) => {
        for (const { canvas, frame, k } of own) {
          const isBias = k < 0;
          const isChosen = isHere && (isBias ? place === null : place !== null && unit === first + k);
          if (isBias) paint(canvas, Math.ceil(n / side), side, (y, x) => biases[r][y * side + x] ?? 0, Math.max(1e-30, ...(r === 0 || r === 3 ? [...biases[0], ...biases[3]] : biases[r]).map(Math.abs)), colours);
          else paint(canvas, height, width, (y, x) => this.content[((r * n + k) * height + y) * width + x], levels, colours);
          const [row, column] = isBias ? [Math.floor((unit - first) / side), (unit - first) % side] : (place ?? [0, 0]);
          const pin = frame.querySelector("i");
          pin.hidden = !isChosen;
          frame.classList.toggle("is-chosen", isChosen);
          if (isChosen && r === 0) this.reveal(frame);
          if (isChosen) Object.assign(pin.style, { left: `${(100 * column) / canvas.width}%`, top: `${(100 * row) / canvas.height}%`, width: `${100 / canvas.width}%`, height: `${100 / canvas.height}%` });
          canvas.tabIndex = isChosen ? 0 : -1;
          const where = isChosen ? (isBias ? `, the bias of ${this.unitName(unit)}` : `, row ${row}, column ${column}`) : "";
          canvas.setAttribute("aria-label", `${TITLES[ROWS[r]]}: ${isBias ? "biases" : this.unitName(first + k)}${where}`);
        }
      });
    },
    /** Move the maps sideways so that one is seen. */
    reveal(frame) {
      const grid = this.$refs.maps;
      const [left, right] = [frame.offsetLeft - grid.querySelector(".step-row").offsetWidth - 8, frame.offsetLeft + frame.offsetWidth + 8 - grid.clientWidth];
      if (grid.scrollLeft > left || grid.scrollLeft < right) grid.scrollLeft = Math.min(left, Math.max(right, 0));
    },
    clicked(event, canvas, k) {
      const box = canvas.getBoundingClientRect();
      const at = (position, start, length, n) => Math.max(0, Math.min(n - 1, Math.floor(((position - start) / length) * n)));
      this.choose(k, at(event.clientY, box.top, box.height, canvas.height), at(event.clientX, box.left, box.width, canvas.width));
    },
    /** Choose a weight of the k-th filter that is seen; k = -1 are the biases. */
    choose(k, row, column) {
      const { n, first, width, n_inputs, read } = this.maps;
      if (k < 0) {
        const side = Math.ceil(Math.sqrt(n));
        this.$emit("weight", { unit: first + Math.min(n - 1, row * side + column), place: null });
        return;
      }
      // The last row of a dense layer's inputs may have a gap.
      if (!this.own.is_filter && (row * width + column) * this.own.n_read + read >= n_inputs) return;
      this.$emit("weight", { unit: first + k, place: [row, column] });
    },
    steer(event, r) {
      const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      const turn = { PageUp: -1, PageDown: 1 }[event.key];
      if (!move && !turn) return;
      event.preventDefault();
      const { n, first, height, width, biases } = this.maps;
      const { unit, place } = this.account;
      const within = (value, size) => Math.max(0, Math.min(size - 1, value));
      this.focused = r;
      if (turn) {
        const [least, all] = [biases ? -1 : 0, n + (biases ? 1 : 0)];
        const here = place === null ? -1 : unit - first;
        const k = ((here - least + turn + all) % all) + least;
        this.choose(k, ...(k < 0 ? [0, 0] : (place ?? [0, 0])));
      } else if (place === null) {
        const side = Math.ceil(Math.sqrt(n));
        this.$emit("weight", { unit: first + within(unit - first + move[0] * side + move[1], n), place: null });
      } else this.choose(unit - first, within(place[0] + move[0], height), within(place[1] + move[1], width));
    },

    // ---- the arithmetic ----
    explain() {
      const told = this.account;
      const bias = told.array === "bias";
      const maps = told.kind === "Conv2D" || this.own.n_read === 1 ? "" : `, map ${told.read}`;
      const deep = told.kind === "Conv2D" && this.own.n_read > 1 ? `, map ${told.read}` : maps;
      const where = bias ? `the bias of ${this.unitName(told.unit)}` : `row ${told.place[0]}, column ${told.place[1]}${deep} of ${this.unitName(told.unit)}`;
      const content = [
        made("h2", {}, made("b", { textContent: told.layer }), `, ${where}: `, made("span", { className: "result", textContent: `${figure(told.before)} → ${figure(told.after)}` })),
        made("p", { className: "soft", textContent: this.plan.says_gradient }),
        made("p", { className: "formula", textContent: this.plan.gradient_formula }),
        made("div", { className: "sums" }, this.shares(told), this.products(told)),
        made("p", { className: "soft", textContent: this.plan.says_optimizer }),
        made("p", { className: "formula", textContent: told.formula + (told.weight_decay ? "; weight decay takes rate × decay × weight besides" : "") }),
        this.moves(told),
      ];
      const focus = this.$refs.account.contains(document.activeElement) ? document.activeElement.dataset.image : undefined;
      this.$refs.account.replaceChildren(...content);
      if (focus !== undefined) this.$refs.account.querySelector(`[data-image="${focus}"]`)?.focus({ preventScroll: true });
      if (this.focused !== undefined) {
        this.canvases[this.focused].find(({ canvas }) => canvas.tabIndex === 0)?.canvas.focus({ preventScroll: true });
        this.focused = undefined;
      }
      Object.assign(this.$el.dataset, { step: this.plan.step, told: Number(this.$el.dataset.told ?? 0) + 1 });
      this.said = `${told.layer}, ${where}: from ${figure(told.before)} to ${figure(told.after)}`;
    },
    /** A table whose rows add up to its foot. */
    column(caption, given, sumName, total, least) {
      const { rows, sum, unit } = addedUp(given, total, least);
      const body = rows.map(([name, text]) => made("tr", {}, made("th", { scope: "row" }, name), made("td", { className: "term", textContent: text })));
      return made("div", {}, made("h3", { textContent: unit ? `${caption}, ${unit}` : caption }),
        made("table", { className: "column-sum", "aria-label": caption }, made("tbody", {}, ...body),
          made("tfoot", {}, made("tr", {}, made("th", { scope: "row", textContent: sumName }), made("td", { className: "sum", textContent: sum })))));
    },
    shares(told) {
      const others = told.n_shares - told.shares.length;
      const rows = told.shares.map(([image, label, answer, share], k) => {
        const button = made("button", { type: "button", className: "step-share", "aria-pressed": String(image === told.image), onclick: () => this.$emit("weight", { unit: told.unit, place: told.place, image }) },
          this.tile({ sprite: told.sprite, n: told.shares.length, at: k }), `${this.name(label)}${label === answer ? "" : `, not ${this.name(answer)}`}`);
        button.dataset.image = image;
        return [button, share];
      });
      if (others) rows.push([`the other ${others.toLocaleString("en")} images`, told.other_shares]);
      return this.column("What each image gives", rows, "gradient g", told.gradient);
    },
    products(told) {
      const others = told.n_products - told.products.length;
      const rows = told.products.map(([place, value, error]) => [`${place.length ? `row ${place[0]}, column ${place[1]}: ` : ""}${figure(value)} × ${figure(error)}`, value * error]);
      if (others) rows.push([`the other ${others.toLocaleString("en")} positions`, told.other_products]);
      return this.column("The chosen image: input × error", rows, "its share", told.share);
    },
    moves(told) {
      const { update, gradient, learning_rate, weight_decay, decay, change, before, after } = told;
      const [g, rate, move] = [figure(gradient), figure(learning_rate), change - decay];
      const rows = [];
      if (told.update.t) {
        const { t, beta_1, beta_2 } = update;
        const left = (beta) => figure(1 - beta);
        rows.push(
          ["m, the mean of gradients", `${figure(beta_1)} × ${figure(update.mean_before)} + ${left(beta_1)} × ${g}`, update.mean],
          ["v, the mean of squares", `${figure(beta_2)} × ${figure(update.square_before)} + ${left(beta_2)} × (${g})²`, update.square],
          ["m̂, corrected", `${figure(update.mean)} / (1 − ${figure(beta_1)}${raised(t)})`, update.corrected_mean],
          ["v̂, corrected", `${figure(update.square)} / (1 − ${figure(beta_2)}${raised(t)})`, update.corrected_square],
          ["change", `−${rate} × ${figure(update.corrected_mean)} / (√(${figure(update.corrected_square)}) + ${figure(update.corrected_epsilon)})`, move],
        );
      } else {
        if (update.momentum) rows.push(["velocity", `${figure(update.momentum)} × ${figure(update.velocity_before)} − ${rate} × ${g}`, update.velocity]);
        if (update.nesterov) rows.push(["change", `${figure(update.momentum)} × ${figure(update.velocity)} − ${rate} × ${g}`, move]);
        else if (!update.momentum) rows.push(["change", `−${rate} × ${g}`, move]);
      }
      if (weight_decay) rows.push(["weight decay", `−${rate} × ${figure(weight_decay)} × ${figure(before)}`, decay]);
      const body = rows.map(([name, arithmetic, value]) => made("tr", {}, made("th", { scope: "row", textContent: name }), made("td", { className: "arithmetic-text", textContent: arithmetic }), made("td", { className: "term", textContent: figure(value) })));
      const parts = weight_decay ? [before, move, decay] : [before, move];
      const names = ["before", update.momentum && !update.nesterov ? "velocity" : "change", "weight decay"];
      return made("div", { className: "sums" },
        made("div", {}, made("h3", { textContent: `What ${this.plan.optimizer} makes of it` }), made("div", { className: "step-wide" }, made("table", { className: "step-moves", "aria-label": `What ${this.plan.optimizer} makes of the gradient` }, made("tbody", {}, ...body)))),
        this.column("The weight", parts.map((part, k) => [names[k], part]), "after", after, 6));
    },
  },
};
