// Images as points, each written as its class: one stop for the Tab key, arrow keys go to the next point in a direction.
import { bytesOf } from "/studio/maps.js";

const GLYPH_PX = 11;
const NEAR_PX = 18;
const EDGE_PX = 26;

export default {
  emits: ["look", "choose"],
  data() {
    return { names: [], explained: ["", ""], at: null, hidden: [], isMistakes: false, told: "", n: 0 };
  },
  template: `
    <div class="answer-map">
      <div class="map-classes" role="group" aria-label="Classes that are shown">
        <button v-for="(name, k) in names" :key="k" type="button" class="map-class" :class="'is-' + (k % 10)" :aria-pressed="String(!hidden[k])" @click="toggle(k)">
          <b aria-hidden="true">{{ glyph(k) }}</b> {{ name }}</button>
        <button type="button" class="command" @click="only(null)">All</button>
        <button type="button" class="command" @click="only(-1)">None</button>
        <label class="map-mistakes"><input type="checkbox" role="switch" v-model="isMistakes"> Mistakes only</label>
      </div>
      <div class="map-body">
        <div class="map-field">
          <span class="map-axis is-second">Second direction: {{ explained[1] }} of the variance</span>
          <canvas ref="canvas" tabindex="0" role="application" aria-label="Map of the test images. Arrow keys go to the next point, Enter puts the image into the network."
            @pointermove="point" @pointerleave="leave" @click="click" @keydown="key" @focus="focus"></canvas>
          <span class="map-axis">First direction: {{ explained[0] }} of the variance</span>
        </div>
        <div class="map-aside">
          <canvas ref="digit" width="28" height="28" role="img" :aria-label="told || 'No image is chosen'"></canvas>
          <p class="map-told" role="status">{{ told || "Point at an image, or move with the arrow keys." }}</p>
          <button type="button" class="command" :aria-disabled="at === null || null" @click="choose">Put it into the network</button>
          <p class="muted">Each image is written as what it is; a ring means that it is answered otherwise.</p>
        </div>
      </div>
    </div>`,

  watch: {
    isMistakes() {
      this.draw();
    },
  },
  mounted() {
    this.sizes = new ResizeObserver(() => this.draw());
    this.sizes.observe(this.$refs.canvas);
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.scheme.addEventListener("change", (this.onScheme = () => requestAnimationFrame(this.draw)));
  },
  beforeUnmount() {
    this.sizes.disconnect();
    this.scheme.removeEventListener("change", this.onScheme);
    clearTimeout(this.timer);
  },

  methods: {
    // ---- called by the server ----
    show({ places, labels, predicted, explained, names }) {
      Object.assign(this, { names, explained, at: null, told: "", hidden: names.map(() => false) });
      // Not Vue's: ten thousand points need no watching.
      this.points = Object.freeze({ places: new Int16Array(bytesOf(places).buffer), labels: bytesOf(labels), predicted: bytesOf(predicted) });
      this.n = this.points.labels.length;
      this.$nextTick(this.draw);
    },
    picture(number, pixels) {
      if (number !== this.at) return;
      const image = new ImageData(28, 28);
      bytesOf(pixels).forEach((value, k) => image.data.set([value, value, value, 255], 4 * k));
      this.$refs.digit.getContext("2d").putImageData(image, 0, 0);
    },

    glyph(k) {
      return this.names[k]?.length <= 2 ? this.names[k] : String(k);
    },
    toggle(k) {
      this.hidden[k] = !this.hidden[k];
      this.draw();
    },
    only(k) {
      this.hidden = this.names.map((_, other) => k !== null && other !== k);
      this.draw();
    },
    isShown(k) {
      const { labels, predicted } = this.points;
      return !this.hidden[labels[k]] && (!this.isMistakes || labels[k] !== predicted[k]);
    },

    draw() {
      const canvas = this.$refs.canvas;
      if (!this.points || !canvas?.clientWidth) return;
      const [width, height, sharp] = [canvas.clientWidth, canvas.clientHeight, window.devicePixelRatio || 1];
      [canvas.width, canvas.height] = [width * sharp, height * sharp];
      const style = getComputedStyle(this.$el);
      const colours = Array.from({ length: 10 }, (_, k) => style.getPropertyValue(`--class-${k}`));
      const context = canvas.getContext("2d");
      context.scale(sharp, sharp);
      const { places, labels, predicted } = this.points;
      // Both directions in the same measure, as far as the points reach.
      const reach = [0, 1].map((axis) => {
        let [least, most] = [Infinity, -Infinity];
        for (let k = axis; k < places.length; k += 2) [least, most] = [Math.min(least, places[k]), Math.max(most, places[k])];
        return [least, most];
      });
      const times = Math.min((width - 2 * EDGE_PX) / Math.max(1, reach[0][1] - reach[0][0]), (height - 2 * EDGE_PX) / Math.max(1, reach[1][1] - reach[1][0]));
      const middle = reach.map(([least, most]) => (least + most) / 2);
      this.xs = new Float32Array(this.n);
      this.ys = new Float32Array(this.n);
      for (let k = 0; k < this.n; k++) {
        this.xs[k] = width / 2 + (places[2 * k] - middle[0]) * times;
        this.ys[k] = height / 2 - (places[2 * k + 1] - middle[1]) * times;
      }
      context.strokeStyle = style.getPropertyValue("--line");
      context.beginPath();
      const [zeroX, zeroY] = [width / 2 - middle[0] * times, height / 2 + middle[1] * times];
      for (const [x1, y1, x2, y2] of [[0, zeroY, width, zeroY], [zeroX, 0, zeroX, height]]) {
        context.moveTo(x1, y1);
        context.lineTo(x2, y2);
      }
      context.stroke();
      context.font = `600 ${GLYPH_PX}px system-ui, sans-serif`;
      context.textAlign = "center";
      context.textBaseline = "middle";
      for (let k = 0; k < this.n; k++) {
        if (!this.isShown(k)) continue;
        context.fillStyle = colours[labels[k] % 10];
        context.fillText(this.glyph(labels[k]), this.xs[k], this.ys[k]);
      }
      context.strokeStyle = style.getPropertyValue("--ink");
      context.lineWidth = 1;
      for (let k = 0; k < this.n; k++)
        if (labels[k] !== predicted[k] && this.isShown(k)) this.ring(context, k, 7);
      if (this.at !== null) {
        context.lineWidth = 3;
        context.strokeStyle = style.getPropertyValue("--accent");
        this.ring(context, this.at, 12);
      }
    },
    ring(context, k, radius) {
      context.beginPath();
      context.arc(this.xs[k], this.ys[k], radius, 0, 2 * Math.PI);
      context.stroke();
    },

    // ---- which point ----
    /** The point with the least cost of all that are shown; null for none. */
    nearest(cost, most = Infinity) {
      let [best, least] = [null, most];
      for (let k = 0; k < this.n; k++) {
        if (!this.isShown(k)) continue;
        const own = cost(this.xs[k], this.ys[k], k);
        if (own < least) [best, least] = [k, own];
      }
      return best;
    },
    go(k) {
      if (k === null || k === this.at) return;
      this.at = k;
      const { labels, predicted } = this.points;
      const answer = labels[k] === predicted[k] ? "answered right" : `answered ${this.names[predicted[k]]}`;
      this.told = `Test image ${k.toLocaleString("en")} is ${this.names[labels[k]]}, ${answer}.`;
      cancelAnimationFrame(this.drawing);
      this.drawing = requestAnimationFrame(this.draw);
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.$emit("look", k), 40);
    },
    under(event) {
      const [x, y] = [event.offsetX, event.offsetY];
      return this.nearest((px, py) => (px - x) ** 2 + (py - y) ** 2, NEAR_PX ** 2);
    },
    point(event) {
      if (!event.buttons && this.xs) this.go(this.under(event));
    },
    leave() {
      clearTimeout(this.timer);
      if (this.at !== null) this.$emit("look", this.at);
    },
    click(event) {
      const k = this.under(event);
      if (k === null) return;
      this.go(k);
      this.choose();
    },
    focus() {
      if (this.at === null && this.xs) this.go(this.nearest((x, y) => Math.hypot(x - this.$refs.canvas.clientWidth / 2, y - this.$refs.canvas.clientHeight / 2)));
    },
    key(event) {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (way && this.at !== null) {
        event.preventDefault();
        const [x, y] = [this.xs[this.at], this.ys[this.at]];
        // The nearest that lies more ahead than aside.
        this.go(this.nearest((px, py, k) => {
          const [ahead, aside] = [(px - x) * way[0] + (py - y) * way[1], Math.abs((px - x) * way[1]) + Math.abs((py - y) * way[0])];
          return k === this.at || ahead <= 0.01 || aside > ahead ? Infinity : ahead + aside;
        }));
      } else if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        this.choose();
      }
    },
    choose() {
      if (this.at === null) return;
      this.$emit("choose", this.at);
      if (!this.told.includes("above")) this.told = `${this.told} It goes through the network above.`;
    },
  },
};
