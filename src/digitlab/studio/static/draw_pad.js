// A sheet to draw on: mouse, finger, pen with pressure, or arrow keys. What is drawn is answered while one draws.
const SENT_PX = 360; // width of the picture that is sent; more pixels tell no more
const GAP_MS = 40;
const STEP = 1 / 48;

export default {
  props: { url: String, answer: Number },
  emits: ["focusing"],
  data() {
    return { strokes: [], width: 16, cursor: null, isDown: false, isAsking: false };
  },
  template: `
    <div class="draw-pad" ref="root" :aria-busy="String(isAsking)">
      <canvas ref="canvas" tabindex="0" role="application" aria-describedby="draw-pad-keys"
        aria-label="Sheet to draw digits on" @pointerdown="begin" @pointermove="go" @pointerup="end" @pointercancel="end"
        @keydown="key" @blur="leave" @contextmenu.prevent></canvas>
      <p class="draw-pad-hint muted" v-if="!strokes.length" aria-hidden="true">Draw a digit, or several side by side.</p>
      <p class="sr-only" id="draw-pad-keys">Arrow keys move the pen, Space puts it down and lifts it, Control Z takes the last stroke back.</p>
      <div class="toolbar draw-pad-tools">
        <button type="button" class="command" :aria-disabled="!strokes.length || null" @click="undo">Undo</button>
        <button type="button" class="command" :aria-disabled="!strokes.length || null" @click="clear">Clear</button>
        <label class="pen-width"><span class="muted">Pen</span>
          <input type="range" min="3" max="40" v-model.number="width" :style="{ '--filled': (100 * (width - 3)) / 37 + '%' }"
            :aria-valuetext="width + ' pixels wide'" aria-label="Width of the pen"></label>
      </div>
    </div>`,

  mounted() {
    this.sizes = new ResizeObserver(() => this.draw());
    this.sizes.observe(this.$refs.canvas);
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.scheme.addEventListener("change", this.draw);
    document.addEventListener("keydown", this.shortcut);
  },
  beforeUnmount() {
    this.sizes.disconnect();
    this.scheme.removeEventListener("change", this.draw);
    document.removeEventListener("keydown", this.shortcut);
    clearTimeout(this.timer);
  },

  methods: {
    // ---- drawing; all places are parts of the sheet's width, so that a sheet of another size shows the same ----
    begin(event) {
      if (event.button !== 0 || this.pointer !== undefined) return;
      event.preventDefault();
      this.$refs.canvas.focus({ preventScroll: true });
      this.$refs.canvas.setPointerCapture(event.pointerId);
      this.pointer = event.pointerId;
      this.cursor = null;
      this.strokes.push([this.point(event)]);
      this.changed();
    },
    go(event) {
      if (event.pointerId !== this.pointer) return;
      const events = event.getCoalescedEvents?.() ?? [];
      for (const part of events.length ? events : [event]) this.strokes.at(-1).push(this.point(part));
      this.changed();
    },
    end(event) {
      if (event.pointerId !== this.pointer) return;
      this.pointer = undefined;
    },
    point(event) {
      const box = this.$refs.canvas.getBoundingClientRect();
      // Mice and fingers report a pressure of 0.5 or 0, which means nothing.
      const press = event.pointerType === "pen" && event.pressure > 0 ? 0.35 + 1.3 * event.pressure : 1;
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.width, (this.width * press) / 560];
    },
    undo() {
      if (!this.strokes.length) return;
      this.strokes.pop();
      this.changed();
    },
    clear() {
      if (!this.strokes.length) return;
      this.strokes = [];
      this.isDown = false;
      this.changed();
    },

    // ---- the keyboard ----
    shortcut(event) {
      const isUndo = (event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "z";
      if (!isUndo || !this.$refs.root?.checkVisibility() || event.target.closest?.("input, textarea, .q-dialog")) return;
      event.preventDefault();
      this.undo();
    },
    key(event) {
      const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [];
      if (event.ctrlKey || event.metaKey || (dx === undefined && event.key !== " ")) return;
      event.preventDefault();
      const step = event.shiftKey ? STEP / 4 : STEP;
      const bottom = this.$refs.canvas.clientHeight / this.$refs.canvas.clientWidth;
      const [x, y] = this.cursor ?? [0.5, bottom / 2];
      this.cursor = [Math.min(Math.max(x + step * (dx ?? 0), 0), 1), Math.min(Math.max(y + step * (dy ?? 0), 0), bottom)];
      if (dx === undefined) {
        this.isDown = !this.isDown;
        if (this.isDown) this.strokes.push([]);
      }
      if (!this.isDown) return this.draw();
      this.strokes.at(-1).push([...this.cursor, this.width / 560]);
      this.changed();
    },
    leave() {
      this.cursor = null;
      this.isDown = false;
      this.draw();
    },

    // ---- showing ----
    draw() {
      const canvas = this.$refs.canvas;
      if (!canvas?.clientWidth) return;
      const scale = window.devicePixelRatio || 1;
      const [width, height] = [Math.round(canvas.clientWidth * scale), Math.round(canvas.clientHeight * scale)];
      if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
      const pen = canvas.getContext("2d");
      pen.clearRect(0, 0, width, height);
      const style = getComputedStyle(canvas);
      this.trace(pen, width, style.color);
      if (!this.cursor) return;
      pen.strokeStyle = style.getPropertyValue("--accent");
      pen.lineWidth = 2 * scale;
      pen.beginPath();
      pen.arc(this.cursor[0] * width, this.cursor[1] * width, (this.isDown ? 7 : 11) * scale, 0, 7);
      pen.stroke();
    },
    trace(pen, width, color) {
      pen.strokeStyle = pen.fillStyle = color;
      pen.lineCap = pen.lineJoin = "round";
      for (const stroke of this.strokes) {
        for (let i = 0; i < stroke.length; i += 1) {
          const [x, y, w] = stroke[i];
          const [fromX, fromY, before] = stroke[Math.max(i - 1, 0)];
          pen.beginPath();
          pen.lineWidth = ((w + before) / 2) * width;
          pen.moveTo(fromX * width, fromY * width);
          pen.lineTo(x * width + 0.01, y * width);
          pen.stroke();
        }
      }
    },

    // ---- asking: one question at a time, and the last drawing always gets its answer ----
    changed() {
      this.draw();
      this.isAsked = true;
      if (!this.isAsking) this.ask();
    },
    async ask() {
      this.isAsking = true;
      while (this.isAsked) {
        this.isAsked = false;
        const began = performance.now();
        try {
          const reply = await fetch(`${this.url}?width=${SENT_PX}`, { method: "POST", body: this.picture() });
          const answer = await reply.json();
          runMethod(this.answer, "show", [answer, performance.now() - began]);
        } catch {
          runMethod(this.answer, "show", [{ sentence: "The connection to digitlab is lost." }, 0]);
        }
        await new Promise((done) => (this.timer = setTimeout(done, Math.max(0, GAP_MS - (performance.now() - began)))));
      }
      this.isAsking = false;
    },
    // One byte a pixel, 0 for ink and 255 for paper, row by row: making a PNG would take longer than the answer.
    picture() {
      const { clientWidth, clientHeight } = this.$refs.canvas;
      const sheet = (this.sheet ??= document.createElement("canvas"));
      [sheet.width, sheet.height] = [SENT_PX, Math.max(1, Math.round((SENT_PX * clientHeight) / (clientWidth || 1)))];
      const pen = sheet.getContext("2d", { willReadFrequently: true });
      this.trace(pen, SENT_PX, "#000");
      const { data } = pen.getImageData(0, 0, sheet.width, sheet.height);
      return Uint8Array.from({ length: data.length / 4 }, (_, i) => 255 - data[4 * i + 3]);
    },
  },
};
