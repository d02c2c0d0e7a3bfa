// A photo with a box around every mark: one stop for the Tab key, arrow keys go on, a digit key corrects. What can be said
// of the chosen mark stands beside it. The photo can be turned, and a rectangle dragged on it is kept or hidden.
import LabelKeys, { labelOf, valueOf } from "/studio/label_keys.js";

const ZOOMS = [1, 1.5, 2, 3, 4, 6];
const MODES = { crop: "Crop to it", hide: "Leave it out" };
const LEAST = 0.02;
const same = (a, b) => String(a) === String(b);

export default {
  components: { LabelKeys },
  props: { src: String, name: String, width: Number, height: Number, marks: Array, serial: Number, keeps: Boolean, isEdited: Boolean },
  emits: ["correct", "edit", "inside"],
  data() {
    return { at: 0, chosen: null, zoom: 0, note: "", number: "", place: {}, mode: "", rect: null, isBusy: false };
  },
  computed: {
    ratio() {
      return this.width / this.height || 1;
    },
    sheet() {
      const zoom = ZOOMS[this.zoom];
      // Fitting: as wide as the card, and not higher than the window allows.
      return { width: `calc(min(100%, 68vh * ${this.ratio}) * ${zoom})`, aspectRatio: `${this.width} / ${this.height}` };
    },
    mark() {
      return this.chosen === null ? null : this.marks[this.chosen];
    },
    words() {
      return MODES[this.mode];
    },
    canChange() {
      return this.number !== this.mark?.number?.value;
    },
  },
  watch: {
    serial() {
      Object.assign(this, { at: 0, chosen: null, note: "", mode: "", rect: null, isBusy: false });
    },
    src() {
      this.zoom = 0;
    },
    // After a correction the same mark may stand elsewhere in the list: a refused one becomes a digit.
    marks(now, before) {
      const again = (i) => (before[i] ? now.findIndex((mark) => same(mark.box, before[i].box)) : -1);
      const [chosen, at] = [again(this.chosen), again(this.at)];
      this.chosen = chosen < 0 ? null : chosen;
      const hadFocus = this.$refs.sheet?.contains(document.activeElement);
      this.at = at < 0 ? 0 : at;
      this.number = this.mark?.number?.value ?? "";
      if (hadFocus) this.$nextTick(() => this.buttons()[this.at]?.focus({ preventScroll: true }));
    },
    chosen() {
      this.number = this.mark?.number?.value ?? "";
      this.$nextTick(this.beside);
    },
    zoom() {
      this.$nextTick(this.beside);
    },
  },
  mounted() {
    this.sizes = new ResizeObserver(() => this.beside());
    this.sizes.observe(this.$refs.stage);
  },
  beforeUnmount() {
    this.sizes.disconnect();
  },
  template: `
    <div class="photo-view">
      <div class="photo-tools">
        <div class="toolbar" role="group" aria-label="Size of the photo">
          <button type="button" class="command" :aria-disabled="zoom === 0 || null" @click="zoom = Math.max(zoom - 1, 0)" aria-label="Smaller">−</button>
          <button type="button" class="command" :aria-disabled="zoom === 0 || null" @click="zoom = 0">Fit</button>
          <button type="button" class="command" :aria-disabled="zoom === 5 || null" @click="zoom = Math.min(zoom + 1, 5)" aria-label="Larger">+</button>
        </div>
        <div class="toolbar" role="group" aria-label="Change the photo">
          <button type="button" class="command" title="Turn left" aria-label="Turn left" :aria-disabled="isBusy || null" @click="edit('left')">↶</button>
          <button type="button" class="command" title="Turn right" aria-label="Turn right" :aria-disabled="isBusy || null" @click="edit('right')">↷</button>
          <button type="button" class="command" :aria-pressed="String(mode === 'crop')" :aria-disabled="isBusy || null" @click="start('crop')">Crop</button>
          <button type="button" class="command" :aria-pressed="String(mode === 'hide')" :aria-disabled="isBusy || null" @click="start('hide')">Leave out</button>
          <button type="button" class="command" v-if="isEdited" :aria-disabled="isBusy || null" @click="edit('reset')">Reset</button>
        </div>
        <span class="photo-legend muted"><i class="is-digit"></i> read <i class="is-refused"></i> refused</span>
      </div>
      <div v-if="mode" class="photo-mode toolbar">
        <span class="muted" id="photo-mode-words">{{ mode === "crop" ? "Drag over what is to be read." : "Drag over what is to be left out." }}
          Arrow keys move the rectangle, with Shift they change its size.</span>
        <button type="button" class="command command-main" :aria-disabled="!rect || null" @click="apply">{{ words }}</button>
        <button type="button" class="command" @click="cancel">Cancel</button>
      </div>
      <div class="photo-stage" ref="stage">
        <div class="photo-window" ref="window" tabindex="-1" @scroll="beside" :aria-busy="String(isBusy)">
          <div class="photo-sheet" :class="{ 'is-busy': isBusy }" :style="sheet" ref="sheet" @keydown="key">
            <img :src="src" :alt="name" draggable="false" @load="beside">
            <button v-for="(mark, i) in marks" :key="i" type="button" class="mark" :class="look(mark)" :style="onPhoto(mark.box)" :title="mark.says"
              :tabindex="i === at ? 0 : -1" :aria-label="says(mark, i)" :aria-pressed="String(i === chosen)" @click="choose(i)" @focus="at = i">
              <span aria-hidden="true">{{ mark.value ?? "×" }}</span></button>
            <div v-if="mode" class="photo-drawing" :class="'is-' + mode" @pointerdown="down" @pointermove="move" @pointerup="up" @pointercancel="up">
              <div v-if="rect" ref="rect" class="photo-rect" tabindex="0" role="application" :aria-label="'Rectangle: ' + words" aria-describedby="photo-mode-words"
                :style="rectStyle()" @keydown.stop="rectKey"></div>
            </div>
          </div>
        </div>
        <div v-if="mark" class="correcting photo-correcting" ref="panel" :style="place" role="group" aria-label="The chosen mark" @keydown.esc.stop="close">
          <p><b class="photo-says">{{ mark.says }}</b>
            <button type="button" class="photo-close" aria-label="Close" @click="close">×</button></p>
          <label-keys name="this mark" :kept="mark.isCorrected ? (mark.value ?? 10) : null" @choose="correct(chosen, $event)" />
          <form v-if="mark.number" class="number-field" @submit.prevent="correctNumber">
            <label>The whole number <input class="num" v-model="number" inputmode="numeric" pattern="[0-9 ]*" title="Digits only" maxlength="60" autocomplete="off" size="8"></label>
            <button type="submit" class="command" :aria-disabled="!canChange || null">Change</button>
          </form>
          <button type="button" class="command look-inside" @click="$emit('inside', { serial, box: mark.box })">Look inside</button>
          <button v-if="mark.isCorrected" type="button" class="command take-back" @click="$emit('correct', { serial, box: mark.box, value: null })">As it was read</button>
        </div>
      </div>
      <p v-if="marks.length && !mode" class="muted photo-hint">Choose a box to see how sure the answer is, or to correct it{{ keeps ? "; corrections are kept to learn from" : "" }}.</p>
      <p class="correcting-note" role="status">{{ note }}</p>
    </div>`,

  methods: {
    buttons() {
      return this.$refs.sheet.querySelectorAll("button.mark");
    },
    onPhoto([left, top, right, bottom]) {
      const part = (length, whole) => `${(100 * length) / whole}%`;
      return { left: part(left, this.width), top: part(top, this.height), width: part(right - left, this.width), height: part(bottom - top, this.height) };
    },
    look(mark) {
      const isUnsure = mark.value !== null && !mark.isCorrected && mark.probabilities[mark.value] < 0.9;
      return { "is-refused": mark.value === null, "is-kept": mark.isCorrected, "is-unsure": isUnsure };
    },
    says(mark, i) {
      return `Mark ${i + 1} of ${this.marks.length}: ${mark.says}`;
    },

    // ---- correcting ----
    choose(i) {
      if (this.mode) return;
      this.chosen = this.chosen === i ? null : i;
      this.note = "";
    },
    close() {
      const i = this.chosen;
      this.chosen = null;
      this.buttons()[i]?.focus({ preventScroll: true });
    },
    correct(i, label) {
      const value = valueOf(label);
      this.$emit("correct", { serial: this.serial, box: this.marks[i].box, value, isNumber: false });
      this.note = value === "" ? "Corrected: not a digit." : `Corrected: a ${value}.`;
    },
    correctNumber() {
      if (!this.canChange) return;
      const value = this.number.replace(/\s/g, "");
      this.$emit("correct", { serial: this.serial, box: this.mark.number.box, value, isNumber: true });
      this.note = value ? `Corrected: the number is ${value}.` : "Corrected: there is no number.";
    },
    // The panel stands below its mark, or above it where there is more room, within the width of the photo's window.
    beside() {
      const panel = this.$refs.panel;
      const button = this.chosen === null ? null : this.buttons()[this.chosen];
      if (!panel || !button) return;
      const [stage, mark, view] = [this.$refs.stage, button, this.$refs.window].map((e) => e.getBoundingClientRect());
      const left = Math.max(0, Math.min(mark.left - stage.left, stage.width - panel.offsetWidth));
      const [top, bottom] = [Math.max(mark.top, view.top), Math.min(mark.bottom, view.bottom)].map((y) => y - stage.top);
      const isAbove = bottom + stage.top + panel.offsetHeight > innerHeight && top + stage.top - panel.offsetHeight - 24 > 0;
      this.place = { left: `${left}px`, top: `${isAbove ? top - panel.offsetHeight - 24 : bottom + 8}px` };
    },
    key(event) {
      if (this.mode) {
        if (event.key === "Escape") this.cancel();
        return;
      }
      const label = labelOf(event);
      if (label !== null && this.marks.length) {
        event.preventDefault();
        this.correct(this.at, label);
        return;
      }
      const last = this.marks.length - 1;
      const to = { ArrowRight: this.at + 1, ArrowDown: this.at + 1, ArrowLeft: this.at - 1, ArrowUp: this.at - 1, Home: 0, End: last }[event.key];
      if (event.key === "Escape") this.chosen = null;
      if (to === undefined || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      if (to < 0 || to > last) return;
      this.at = to;
      if (this.chosen !== null) this.chosen = to;
      const button = this.buttons()[to];
      button.focus({ preventScroll: true });
      button.scrollIntoView({ block: "nearest", inline: "nearest" });
    },

    // ---- the photo itself ----
    edit(kind, box) {
      if (this.isBusy) return;
      Object.assign(this, { isBusy: true, chosen: null });
      this.$emit("edit", { serial: this.serial, kind, box });
    },
    idle() {
      this.isBusy = false;
    },
    start(mode) {
      if (this.isBusy) return;
      this.mode = this.mode === mode ? "" : mode;
      this.chosen = null;
      this.rect = this.mode ? [0.2, 0.3, 0.8, 0.7] : null;
      if (this.mode) this.$nextTick(() => this.$refs.rect?.focus({ preventScroll: true }));
    },
    cancel() {
      Object.assign(this, { mode: "", rect: null });
    },
    apply() {
      if (!this.rect) return;
      const [left, top, right, bottom] = this.rect;
      const { mode, width, height } = this;
      this.cancel();
      this.edit(mode, [Math.floor(left * width), Math.floor(top * height), Math.ceil(right * width), Math.ceil(bottom * height)]);
    },
    rectStyle() {
      const [left, top, right, bottom] = this.rect.map((part) => 100 * part);
      return { left: `${left}%`, top: `${top}%`, width: `${right - left}%`, height: `${bottom - top}%` };
    },
    point(event) {
      const box = this.$refs.sheet.getBoundingClientRect();
      const clamped = (value) => Math.min(Math.max(value, 0), 1);
      return [clamped((event.clientX - box.left) / box.width), clamped((event.clientY - box.top) / box.height)];
    },
    down(event) {
      if (event.button !== 0) return;
      event.preventDefault();
      event.currentTarget.setPointerCapture(event.pointerId);
      this.from = this.point(event);
    },
    move(event) {
      if (!this.from) return;
      const [[x, y], [u, v]] = [this.from, this.point(event)];
      this.rect = [Math.min(x, u), Math.min(y, v), Math.max(x, u), Math.max(y, v)];
    },
    up() {
      this.from = null;
      if (this.rect && (this.rect[2] - this.rect[0] < LEAST / 2 || this.rect[3] - this.rect[1] < LEAST / 2)) this.rect = null;
      this.$nextTick(() => this.$refs.rect?.focus({ preventScroll: true }));
    },
    rectKey(event) {
      if (event.key === "Enter") return event.preventDefault(), this.apply();
      if (event.key === "Escape") return this.cancel();
      const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [];
      if (dx === undefined || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      const [left, top, right, bottom] = this.rect;
      const bounded = (value, least, most) => Math.min(Math.max(value, least), most);
      if (event.shiftKey) {
        this.rect = [left, top, bounded(right + LEAST * dx, left + LEAST, 1), bounded(bottom + LEAST * dy, top + LEAST, 1)];
      } else {
        const [x, y] = [bounded(LEAST * dx, -left, 1 - right), bounded(LEAST * dy, -top, 1 - bottom)];
        this.rect = [left + x, top + y, right + x, bottom + y];
      }
    },
  },
};
