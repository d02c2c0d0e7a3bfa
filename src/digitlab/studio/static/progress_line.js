// A bar and a line of text that change many times a second without the page being rendered anew.
export default {
  template: `
    <div class="progress-line">
      <div class="progress-bar" role="progressbar" :aria-label="label" aria-valuemin="0" aria-valuemax="100"
        :aria-valuenow="Math.round(100 * part)" :aria-valuetext="words">
        <i :style="{ transform: 'scaleX(' + part + ')' }"></i>
      </div>
      <div class="progress-text num muted">{{ words }}</div>
    </div>`,
  props: { label: String, fraction: Number, text: String },
  data() {
    return { part: this.fraction, words: this.text };
  },
  methods: {
    show(fraction, text) {
      this.part = fraction;
      this.words = text;
    },
  },
};
