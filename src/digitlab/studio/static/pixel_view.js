// A digit as the numbers that it is: a canvas, a chosen pixel, and one line that tells its value.
export default {
  props: ["pixels", "name", "width"],
  data() {
    return { x: 14, y: 14, chosen: false };
  },
  computed: {
    height() {
      return this.pixels.length / this.width;
    },
    told() {
      if (!this.chosen) return "Point at a pixel, or use the arrow keys, to read its number.";
      const value = this.pixels[this.y * this.width + this.x];
      return `Row ${this.y + 1}, column ${this.x + 1}: ${value} of 255; the network sees ${(value / 255).toFixed(3)}.`;
    },
  },
  watch: {
    pixels() {
      this.draw();
    },
  },
  mounted() {
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.$refs.canvas);
  },
  beforeUnmount() {
    this.observer.disconnect();
  },
  template: `
    <div class="pixel-view">
      <canvas ref="canvas" tabindex="0" role="application" :aria-label="name + ': ' + height + ' rows of ' + width + ' pixels; arrow keys choose one'"
        @pointermove="point" @pointerdown="point" @pointerleave="leave" @keydown="move"></canvas>
      <output class="num">{{ told }}</output>
    </div>
  `,
  methods: {
    point(event) {
      const box = this.$refs.canvas.getBoundingClientRect();
      this.choose(
        Math.floor(((event.clientX - box.left) / box.width) * this.width),
        Math.floor(((event.clientY - box.top) / box.height) * this.height),
      );
    },
    leave() {
      if (document.activeElement === this.$refs.canvas) return;
      this.chosen = false;
      this.draw();
    },
    move(event) {
      const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [];
      if (dx === undefined) return;
      event.preventDefault();
      this.choose(this.x + dx, this.y + dy);
    },
    choose(x, y) {
      this.x = Math.min(Math.max(x, 0), this.width - 1);
      this.y = Math.min(Math.max(y, 0), this.height - 1);
      this.chosen = true;
      this.draw();
    },
    draw() {
      const canvas = this.$refs.canvas;
      const side = canvas?.clientWidth;
      if (!side || !this.pixels.length) return;
      const scale = window.devicePixelRatio || 1;
      const full = Math.round(side * scale);
      if (canvas.width !== full || canvas.height !== full) canvas.width = canvas.height = full;
      const cell = full / this.width;
      const pen = canvas.getContext("2d");
      // Numbers only where they can be read: in cells of 15 CSS pixels or more.
      const numbers = cell / scale >= 15;
      pen.textAlign = "center";
      pen.textBaseline = "middle";
      pen.font = `${cell * 0.42}px ${getComputedStyle(canvas).fontFamily}`;
      this.pixels.forEach((value, i) => {
        const [x, y] = [i % this.width, Math.floor(i / this.width)];
        const [left, top] = [Math.floor(x * cell), Math.floor(y * cell)];
        pen.fillStyle = `rgb(${value} ${value} ${value})`;
        pen.fillRect(left, top, Math.ceil(cell), Math.ceil(cell));
        if (!numbers) return;
        pen.fillStyle = value === 0 ? "#5b6270" : value > 120 ? "#000" : "#fff";
        pen.fillText(value, (x + 0.5) * cell, (y + 0.54) * cell);
      });
      if (this.chosen) {
        // Two rings, so that one is seen on black, on white and on grey.
        for (const [color, line] of [["#000", 4], ["#ffb000", 2]]) {
          pen.strokeStyle = color;
          pen.lineWidth = line * scale;
          pen.strokeRect(this.x * cell, this.y * cell, cell, cell);
        }
      }
    },
  },
};
