// A photo with a box around every mark: one stop for the Tab key, arrow keys go on, a digit key corrects.
import LabelKeys, { labelOf, named } from "/studio/label_keys.js";

const ZOOMS = [1, 1.5, 2, 3, 4, 6];

export default {
  components: { LabelKeys },
  props: { src: String, name: String, width: Number, height: Number, marks: Array, serial: Number, keeps: Boolean },
  emits: ["correct"],
  data() {
    return { at: 0, chosen: null, zoom: 0, kept: {}, note: "" };
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
  },
  watch: {
    serial() {
      Object.assign(this, { at: 0, chosen: null, kept: {}, note: "" });
    },
    src() {
      this.zoom = 0;
    },
  },
  template: `
    <div class="photo-view">
      <div class="toolbar photo-zoom" role="group" aria-label="Size of the photo">
        <button type="button" class="command" :aria-disabled="zoom === 0 || null" @click="zoom = Math.max(zoom - 1, 0)" aria-label="Smaller">−</button>
        <button type="button" class="command" :aria-disabled="zoom === 0 || null" @click="zoom = 0">Fit</button>
        <button type="button" class="command" :aria-disabled="zoom === 5 || null" @click="zoom = Math.min(zoom + 1, 5)" aria-label="Larger">+</button>
        <span class="photo-legend muted"><i class="is-digit"></i> read <i class="is-refused"></i> refused</span>
      </div>
      <div class="photo-window" tabindex="-1">
        <div class="photo-sheet" :style="sheet" ref="sheet" @keydown="key">
          <img :src="src" :alt="name">
          <button v-for="(mark, i) in marks" :key="i" type="button" class="mark" :class="look(mark, i)" :style="place(mark)" :title="mark.says"
            :tabindex="i === at ? 0 : -1" :aria-label="says(mark, i)" :aria-pressed="String(i === chosen)" @click="choose(i)" @focus="at = i">
            <span aria-hidden="true">{{ kept[i] === undefined ? (mark.value ?? "×") : kept[i] === 10 ? "×" : kept[i] }}</span></button>
        </div>
      </div>
      <div class="correcting photo-correcting" v-if="mark">
        <p><b>{{ mark.says }}</b> <span class="muted">Wrong? Say what it is, and it is kept to learn from.</span></p>
        <label-keys name="this mark" :kept="kept[chosen] ?? null" :allowed="keeps" @choose="correct(chosen, $event)" />
      </div>
      <p v-else-if="marks.length" class="muted">Choose a box to see how sure the answer is, or to correct it.</p>
      <p class="correcting-note" role="status">{{ note }}</p>
    </div>`,

  methods: {
    place({ box: [left, top, right, bottom] }) {
      const part = (length, whole) => `${(100 * length) / whole}%`;
      return { left: part(left, this.width), top: part(top, this.height), width: part(right - left, this.width), height: part(bottom - top, this.height) };
    },
    look(mark, i) {
      return { "is-refused": mark.value === null, "is-kept": this.kept[i] !== undefined, "is-unsure": mark.value !== null && mark.probabilities[mark.value] < 0.9 };
    },
    says(mark, i) {
      const kept = this.kept[i] === undefined ? "" : ` Corrected: it is ${named(this.kept[i])}.`;
      return `Mark ${i + 1} of ${this.marks.length}: ${mark.says}${kept}`;
    },
    choose(i) {
      this.chosen = this.chosen === i ? null : i;
      this.note = "";
    },
    correct(i, label) {
      this.$emit("correct", { serial: this.serial, mark: i, label });
    },
    corrected(serial, mark, label) {
      if (serial !== this.serial) return;
      this.kept = { ...this.kept, [mark]: label };
      this.note = `Kept: mark ${mark + 1} is ${named(label)}.`;
    },
    key(event) {
      const label = labelOf(event);
      if (label !== null && this.keeps) {
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
      const button = this.$refs.sheet.querySelectorAll("button.mark")[to];
      button.focus({ preventScroll: true });
      button.scrollIntoView({ block: "nearest", inline: "nearest" });
    },
  },
};
