// The first layer's filters as small images: one colour for weights below zero, another for those above, none for zero.
export default {
  template: `
    <div class="filter-view">
      <canvas ref="canvas" role="img" :aria-label="spoken"></canvas>
      <div class="filter-scale num muted" aria-hidden="true"><span>{{ low }}</span><i></i><span>{{ high }}</span></div>
      <p class="muted num" aria-hidden="true">{{ spoken }}</p>
    </div>`,

  data() {
    return { spoken: "The filters of the first layer", low: "", high: "" };
  },

  created() {
    this.filters = null;
  },

  mounted() {
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.$el);
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.scheme.addEventListener("change", (this.onScheme = () => this.draw()));
  },

  beforeUnmount() {
    this.observer.disconnect();
    this.scheme.removeEventListener("change", this.onScheme);
  },

  methods: {
    // weights: bytes in base64, 0-254 with 127 for zero, filter by filter, row by row.
    show(weights, height, width, most, spoken) {
      this.filters = { pixels: Uint8Array.from(atob(weights), (c) => c.charCodeAt(0)), height, width };
      this.low = `−${most}`;
      this.high = `+${most}`;
      this.spoken = spoken;
      this.draw();
    },

    draw() {
      const space = this.$el.clientWidth;
      if (!this.filters || !space) return;
      const { pixels, height, width } = this.filters;
      const n = pixels.length / (height * width);
      const gap = 8;
      // As many in a row as look well, and equally many in all rows if that can be: 4 and 4 rather than 5 and 3.
      const most = Math.min(n, Math.max(4, Math.floor((space + gap) / (56 + gap))));
      const columns = Math.ceil(n / Math.ceil(n / most));
      const scale = Math.max(1, Math.min(Math.floor(((space + gap) / columns - gap) / width), Math.ceil(84 / width)));
      const rows = Math.ceil(n / columns);
      const canvas = this.$refs.canvas;
      const dense = Math.max(1, Math.round(devicePixelRatio));
      canvas.width = (columns * (width * scale + gap) - gap) * dense;
      canvas.height = (rows * (height * scale + gap) - gap) * dense;
      canvas.style.width = `${canvas.width / dense}px`;
      canvas.style.height = `${canvas.height / dense}px`;
      const context = canvas.getContext("2d");
      const [below, zero, above] = ["--below", "--zero", "--above"].map((name) => this.rgb(name));
      const side = scale * dense;
      for (let f = 0; f < n; f += 1) {
        const left = (f % columns) * (width * scale + gap) * dense;
        const top = Math.floor(f / columns) * (height * scale + gap) * dense;
        for (let y = 0; y < height; y += 1) {
          for (let x = 0; x < width; x += 1) {
            const weight = (pixels[(f * height + y) * width + x] - 127) / 127;
            const end = weight < 0 ? below : above;
            const part = Math.abs(weight);
            context.fillStyle = `rgb(${end.map((c, i) => Math.round(zero[i] + part * (c - zero[i]))).join()})`;
            context.fillRect(left + x * side, top + y * side, side, side);
          }
        }
      }
    },

    rgb(name) {
      const hex = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
      return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
    },
  },
};
