// The answer to a drawing: the number, eleven bars for one of its digits, and what to press when it is wrong.
import LabelKeys, { valueOf } from "/studio/label_keys.js";

const NAMES = [..."0123456789", "No digit"];
// Nothing is drawn yet, which is no answer.
const BLANK = { serial: 0, text: "", says: "Draw a digit: it is answered while you draw.", marks: [], probabilities: Array(11).fill(0) };

export default {
  components: { LabelKeys },
  props: { keeps: Boolean },
  emits: ["correct", "inside"],
  data() {
    return { answer: BLANK, chosen: null, told: "", note: "", ms: null, names: NAMES };
  },
  template: `
    <div class="drawn-answer">
      <p class="drawn-text num" :class="{ 'is-none': !answer.text, 'is-long': answer.text.length > 7 }" aria-hidden="true">{{ answer.text || "–" }}</p>
      <p class="drawn-says" :class="{ error: answer.sentence }">{{ answer.sentence || answer.says }}</p>
      <p class="sr-only" role="status">{{ told }}</p>
      <div v-if="answer.marks.length > 1" class="mark-chips" role="group" aria-label="Marks of the drawing">
        <button v-for="(mark, i) in answer.marks" :key="i" type="button" :aria-pressed="String(i === at)" :aria-label="mark.says"
          :class="mark.value === null ? 'is-refused' : ''" @click="chosen = i">{{ mark.value ?? "×" }}</button>
      </div>
      <ul class="eleven-bars" :aria-label="mark ? 'Probabilities: ' + mark.says : 'Probabilities'">
        <li v-for="(p, k) in shown" :key="k" :class="{ 'is-best': k === best, 'is-none': k === 10 }">
          <span class="eleven-name num">{{ names[k] }}</span>
          <span class="eleven-track" aria-hidden="true"><i :style="{ transform: 'scaleX(' + p + ')' }"></i></span>
          <span class="eleven-part num">{{ best < 0 ? "" : part(p) }}</span>
        </li>
      </ul>
      <div v-if="mark" class="correcting">
        <p class="muted">Wrong? Say what it is{{ keeps ? ", and it is kept to learn from" : "" }}.</p>
        <label-keys name="this mark" :kept="mark.isCorrected ? (mark.value ?? 10) : null" @choose="correct" />
        <button type="button" class="command look-inside" @click="$emit('inside', { serial: answer.serial, box: mark.box })">Look inside</button>
        <p class="correcting-note" role="status">{{ note }}</p>
      </div>
      <p v-if="ms !== null" class="muted num drawn-ms">Answered in {{ Math.round(ms) }} ms</p>
    </div>`,

  computed: {
    at() {
      if (this.chosen !== null && this.chosen < this.answer.marks.length) return this.chosen;
      const last = this.answer.marks.findLastIndex((mark) => mark.value !== null);
      return last < 0 ? this.answer.marks.length - 1 : last;
    },
    mark() {
      return this.answer.marks[this.at];
    },
    shown() {
      return this.mark?.probabilities ?? this.answer.probabilities;
    },
    best() {
      const most = Math.max(...this.shown);
      return most > 0 ? this.shown.indexOf(most) : -1;
    },
  },

  methods: {
    show(answer, ms) {
      if (answer.sentence) {
        this.answer = { ...BLANK, sentence: answer.sentence };
      } else {
        if (answer.serial !== this.answer.serial) {
          if (answer.marks.length !== this.answer.marks.length) this.chosen = null;
          this.note = "";
        } else {
          // The same drawing, corrected: its marks may stand in another order.
          const at = answer.marks.findIndex((mark) => String(mark.box) === String(this.mark?.box));
          this.chosen = at < 0 ? null : at;
        }
        this.answer = answer;
        if (ms) this.ms = ms;
      }
      // Screen readers are told when the pen rests, not with every stroke.
      clearTimeout(this.timer);
      this.timer = setTimeout(() => (this.told = this.answer.sentence || this.answer.says), 700);
    },
    part(p) {
      const percent = 100 * p;
      if (percent >= 99.95) return p < 1 ? ">99.9 %" : "100 %";
      return percent < 0.05 ? "0 %" : `${percent.toFixed(1)} %`;
    },
    correct(label) {
      const value = valueOf(label);
      this.$emit("correct", { serial: this.answer.serial, box: this.mark.box, value, isNumber: false });
      this.note = `Corrected: ${value === "" ? "not a digit" : `a ${value}`}.`;
    },
  },
  beforeUnmount() {
    clearTimeout(this.timer);
  },
};
