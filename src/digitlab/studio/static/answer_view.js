// Some digits with the network's present answers: a sign and a colour for right and wrong, and how sure it is.
export default {
  template: `
    <ul class="answer-view" :aria-label="label">
      <li v-for="(digit, i) in digits" :key="i" :class="kind(i)" :aria-label="told(i)">
        <span class="answer-image" :style="style(i)"></span>
        <span class="answer-words num" aria-hidden="true">
          <b>{{ sign(i) }} {{ answers ? name(answers[i]) : "–" }}</b><span>{{ sure(i) }}</span>
        </span>
        <span class="answer-bar" aria-hidden="true"><i :style="{ transform: 'scaleX(' + (answers ? confidences[i] : 0) + ')' }"></i></span>
      </li>
    </ul>`,

  props: { label: String, sprite: String, digits: Array, names: Array },

  data() {
    return { answers: null, confidences: null };
  },

  methods: {
    show(answers, confidences) {
      this.answers = answers;
      this.confidences = confidences;
    },

    style(i) {
      const n = this.digits.length;
      return { backgroundImage: `url(${this.sprite})`, backgroundPositionX: `${n > 1 ? (100 * i) / (n - 1) : 0}%`, backgroundSize: `${100 * n}% 100%` };
    },
    name(label) {
      return this.names[label] ?? label;
    },
    isRight(i) {
      return this.answers[i] === this.digits[i];
    },
    kind(i) {
      return this.answers ? (this.isRight(i) ? "right" : "wrong") : "";
    },
    sign(i) {
      return this.answers ? (this.isRight(i) ? "✓" : "✗") : "";
    },
    sure(i) {
      if (!this.answers) return "";
      const percent = 100 * this.confidences[i];
      return percent > 99.5 && percent < 100 ? ">99 %" : `${Math.round(percent)} %`;
    },
    told(i) {
      if (!this.answers) return `A ${this.name(this.digits[i])}, not answered yet`;
      return `A ${this.name(this.digits[i])}, answered ${this.name(this.answers[i])}: ${this.isRight(i) ? "right" : "wrong"}, ${this.sure(i)} sure`;
    },
  },
};
